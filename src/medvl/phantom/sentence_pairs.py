"""Pairs of sentences and their relation, correct by construction because both are worded from statements.

Temporal pairs as in MS-CXR-T (paraphrase, contradiction): subset ``RadGraph`` holds two independent wordings of the same change or of
opposed ones, subset ``Swaps`` the same sentence with another word for the change. Inference pairs as in RadNLI (entailment, neutral,
contradiction), subset ``RadNLI``. English and Spanish pairs are parallel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np

from medvl.phantom.draws import generator
from medvl.phantom.facts import ChangeLabel, FindingName, Patient, Visit
from medvl.phantom.language import bank
from medvl.phantom.language.bank import Bank
from medvl.phantom.phrasing import Sentence, phrase, swapped
from medvl.phantom.statements import SWEEPS, Statement, Subject, finding_statements, prior_visit
from medvl.records import SentencePair

Judged = tuple[Sentence, Sentence, str]

OPPOSED: dict[ChangeLabel, tuple[ChangeLabel, ...]] = {
    "new": ("stable", "improving", "resolved"),
    "worsening": ("stable", "improving", "resolved"),
    "stable": ("worsening", "improving", "resolved"),
    "improving": ("stable", "worsening", "new"),
    "resolved": ("stable", "worsening", "new"),
}
SWAPPED: tuple[ChangeLabel, ...] = ("worsening", "improving", "stable", "resolved")
UNRELATED: tuple[FindingName, ...] = ("fracture", "pneumothorax", "nodule", "pleural_effusion", "cardiomegaly")
RELATIONS = ("entailment", "neutral", "contradiction")


def sentence_pairs(patients: Iterable[Patient], *, seed: int) -> Iterator[SentencePair]:
    """Temporal and inference pairs from every visit, in both languages, worded from the bank of the patient's split."""
    for patient in patients:
        wording = bank.plain("test" if patient.split == "test" else "train")
        for visit in patient.visits:
            random = generator(seed, "sentence pairs", patient.patient_id, visit.study_id)
            prior = prior_visit(patient, visit)
            statements = finding_statements(visit, prior, get_args(FindingName), random)
            moving = [s for s in statements if s.change and s.subject != "fracture"]
            for subset, pairs in (
                ("RadGraph", _reworded(moving, wording, random)),
                ("Swaps", _swaps(moving, wording, random)),
                ("RadNLI", _inferences(visit, statements, wording, random)),
            ):
                for number, (first, second, relation) in enumerate(p for p in pairs if _differ(p[0], p[1])):
                    for language in first.texts:
                        yield SentencePair(
                            first.texts[language], second.texts[language], relation, subset,
                            f"{visit.study_id}-{subset}-{number}", language, "public",
                        )  # fmt: skip


def _differ(first: Sentence, second: Sentence) -> bool:
    return all(first.texts[language] != second.texts[language] for language in first.texts)


def _reworded(statements: list[Statement], wording: Bank, random: np.random.Generator) -> Iterator[Judged]:
    for statement in statements:
        same = random.random() < 0.4
        other = statement if same else _changed(statement, OPPOSED[statement.change or "stable"], random)
        first, second = (phrase([replace(s, severity_word=None)], wording, random) for s in (statement, other))
        yield first, second, "paraphrase" if same else "contradiction"


def _swaps(statements: list[Statement], wording: Bank, random: np.random.Generator) -> Iterator[Judged]:
    for statement in (s for s in statements if s.change in SWAPPED):
        same = random.random() < 0.4
        options = [c for c in SWAPPED if (c == statement.change) == same]
        change = options[int(random.integers(len(options)))]
        pair = swapped(statement, change, wording, random)
        if pair is not None:
            yield *pair, "paraphrase" if same else "contradiction"


def _changed(statement: Statement, options: tuple[ChangeLabel, ...], random: np.random.Generator) -> Statement:
    change = options[int(random.integers(len(options)))]
    return replace(statement, change=change, status="negative" if change == "resolved" else "positive")


def _inferences(visit: Visit, statements: list[Statement], wording: Bank, random: np.random.Generator) -> Iterator[Judged]:
    told = [replace(s, change=None) for s in statements if s.status == "positive"]
    if told:
        premise = told[int(random.integers(len(told)))]
        relation = RELATIONS[int(random.integers(3))] if premise.certain else "neutral"
        hypothesis = _hypothesis(premise, relation, random)
        yield phrase([premise], wording, random), phrase([hypothesis], wording, random), relation
    yield from _from_absence(visit, wording, random)
    for organ, (finding, *_) in SWEEPS.items():
        if random.random() < 0.2 and not {f.name for f in visit.findings} & set(SWEEPS[organ]):
            contradicts = random.random() < 0.5
            hypothesis = Statement(finding, "positive" if contradicts else "negative")
            premise_sentence = phrase([Statement(organ, "negative")], wording, random)
            yield premise_sentence, phrase([hypothesis], wording, random), "contradiction" if contradicts else "entailment"


def _hypothesis(premise: Statement, relation: str, random: np.random.Generator) -> Statement:
    """A statement that the premise entails, leaves open or contradicts."""
    if relation == "entailment":
        return replace(premise, side=None, zone=None, severity_word=None, lesion_ids=())
    if relation == "contradiction":
        return Statement(premise.subject, "negative")
    if not premise.certain:  # a hedge leaves open whether it is so
        return replace(premise, certain=True)
    if premise.severity_word is None and premise.subject in ("pleural_effusion", "consolidation") and random.random() < 0.6:
        return replace(premise, severity_word="small")
    return _unrelated([premise.subject], random)


def _unrelated(subjects: Sequence[Subject], random: np.random.Generator) -> Statement:
    options = [n for n in UNRELATED if n not in subjects]
    return Statement(options[int(random.integers(len(options)))], "positive" if random.random() < 0.6 else "negative")


def _from_absence(visit: Visit, wording: Bank, random: np.random.Generator) -> Iterator[Judged]:
    """A list of negatives entails each of them, contradicts its presence and says nothing of others."""
    present = {f.name for f in visit.findings}
    absent: list[Subject] = [n for n in ("pneumothorax", "pleural_effusion", "consolidation", "edema") if n not in present]
    if len(absent) < 2:
        return
    chosen: list[Subject] = [absent[i] for i in random.permutation(len(absent))[:3]]
    relation = RELATIONS[int(random.integers(3))]
    hypothesis = Statement(chosen[0], "negative" if relation == "entailment" else "positive")
    if relation == "neutral":
        hypothesis = _unrelated(chosen, random)
    premise = phrase([Statement(n, "negative") for n in chosen], wording, random)
    yield premise, phrase([hypothesis], wording, random), relation
