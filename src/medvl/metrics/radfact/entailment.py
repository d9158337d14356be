"""Entailment both ways: questions to the judge, and its verdicts attached to the phrases.

For each phrase one question, whose reference is the whole other report in its order. ``attach`` and ``attach_as_radfact`` are the two
readings of the answers; the module ``metric`` lists how they differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medvl.judges.judge import EntailmentQuery, Verdict
from medvl.metrics.radfact.evidence import normalise, normalise_as_radfact, positions
from medvl.metrics.radfact.study import BoxArithmetic, JudgedPhrase, SpatialStatus, box_precision, exceeds
from medvl.records import Phrase

NO_EVIDENCE = "no_evidence"
INVENTED_EVIDENCE = "invented_evidence"


class InventedEvidence(Exception):
    """Some evidence is nowhere in the other report: RadFact gives the whole study up."""


@dataclass(frozen=True, slots=True)
class BoxRule:
    """When boxes are entailed: their precision in the evidence's boxes is above the threshold."""

    arithmetic: BoxArithmetic
    threshold: float


def questions(phrases: Sequence[Phrase], other: Sequence[Phrase], language: str) -> list[EntailmentQuery]:
    """One question per phrase; they share one tuple of the other report's texts."""
    reference = tuple(phrase.text for phrase in other)
    return [EntailmentQuery(reference, phrase.text, language) for phrase in phrases]


def failure_of(verdict: Verdict) -> str | None:
    """Why a verdict is no usable answer; an entailment without any evidence is none."""
    if verdict.failure is None and verdict.status == "entailment" and not verdict.evidence:
        return NO_EVIDENCE
    return verdict.failure


def attach(phrases: Sequence[Phrase], other: Sequence[Phrase], verdicts: Sequence[Verdict], rule: BoxRule) -> tuple[JudgedPhrase, ...]:
    """Each phrase with its own verdict; invented evidence is dropped, and an entailment left without any fails."""
    texts = [phrase.text for phrase in other]
    judged = []
    for phrase, verdict in zip(phrases, verdicts, strict=True):
        failure = failure_of(verdict)
        found = positions(verdict.evidence, texts, normalise) if failure is None else []
        indices = list(dict.fromkeys(index for places in found for index in places))
        dropped = tuple(text for text, places in zip(verdict.evidence, found, strict=False) if not places)
        if verdict.status == "entailment" and failure is None and not indices:
            failure = INVENTED_EVIDENCE
        judged.append(_judged(phrase, verdict, failure, indices, other, rule, dropped))
    return tuple(judged)


def attach_as_radfact(
    phrases: Sequence[Phrase], other: Sequence[Phrase], verdicts: Sequence[Verdict], rule: BoxRule
) -> tuple[JudgedPhrase, ...]:
    """Each phrase with the verdict of the first phrase that equals it, evidence at the first phrase that equals it.

    Raises:
        InventedEvidence: if any evidence of any verdict, entailed or not, is nowhere in the other report.
    """
    texts = [phrase.text for phrase in other]
    names = [normalise_as_radfact(phrase.text) for phrase in phrases]
    answers = []
    for verdict in verdicts:
        failure = failure_of(verdict)
        found = positions(verdict.evidence, texts, normalise_as_radfact) if failure is None else []
        if not all(found):
            raise InventedEvidence
        answers.append((verdict, failure, [places[0] for places in found]))
    return tuple(_judged(phrase, *answers[names.index(name)], other, rule) for phrase, name in zip(phrases, names, strict=True))


def _judged(
    phrase: Phrase,
    verdict: Verdict,
    failure: str | None,
    indices: list[int],
    other: Sequence[Phrase],
    rule: BoxRule,
    dropped: tuple[str, ...] = (),
) -> JudgedPhrase:
    status = verdict.status if failure is None else "not_entailment"
    found = tuple(other[index] for index in indices)
    precision = box_precision(phrase.boxes, found, rule.arithmetic) if phrase.boxes and status == "entailment" else None
    spatial: SpatialStatus = "no_spatial_entailment" if phrase.boxes else "no_boxes"
    if exceeds(precision, rule.threshold):
        spatial = "spatial_entailment"
    rewritten = failure is None and verdict.reply_phrase not in (None, phrase.text)
    return JudgedPhrase(
        phrase.text, phrase.boxes, status, spatial, found, tuple(indices), precision, failure, dropped, rewritten, verdict.explanation
    )
