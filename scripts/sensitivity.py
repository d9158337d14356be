"""Which metrics of a report see which errors: one error at a time is told in reports that are written from the phantom's facts.

    python scripts/sensitivity.py [--patients 250] [--seed 0] [--out table.md]

Of each study of a training patient the report is planned once and worded three times: as reference, as a sound prediction, and as the same
prediction with one statement altered, word for word equal everywhere else. The control rewords a sentence without altering what it says.
RadFact asks the rules judge. Prints a Markdown table of drops with paired intervals over patients (bold: the interval lies above 0), and
ends with status 1 if a metric does not see an error that it claims to see.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

from medvl.benchmarks.metric_configs import named_metrics
from medvl.benchmarks.metric_sensitivity import Case, broken_claims, sensitivity, table
from medvl.judges.rules import RulesJudge
from medvl.phantom.draws import generator
from medvl.phantom.export.boxes import second_reader
from medvl.phantom.export.study import ExportedView, frontal_acquisition
from medvl.phantom.facts import FindingName, Patient, Visit
from medvl.phantom.language import bank
from medvl.phantom.phrasing import phrase
from medvl.phantom.report_plan import Group, plan_findings
from medvl.phantom.sentence_pairs import OPPOSED
from medvl.phantom.statements import Statement
from medvl.phantom.world import sample_cohort
from medvl.records import Box, Phrase
from medvl.runtime.files import write_text

FINDINGS = get_args(FindingName)
SIZED, GRADED = ("pleural_effusion", "pneumothorax", "consolidation"), ("cardiomegaly", "edema", "atelectasis")
FILM = 160  # pixels of the short side of the films whose lesions give the boxes

STATISTICS = (
    *("bleu/bleu_4", "rouge_l/rouge_l", "meteor/meteor", "cider/cider", "chexpert_f1_rules/micro_f1_14", "temporal_entities/temporal_f1"),
    *("lines_and_tubes/type_f1", "lines_and_tubes/placement_accuracy"),
    *("radfact/logical_precision", "radfact/logical_recall", "radfact/logical_f1", "radfact/spatial_f1", "radfact/grounding_f1"),
)
CLAIMS = {
    "negation flipped": ("chexpert_f1_rules/micro_f1_14", "radfact/logical_f1"),
    "side swapped": ("radfact/logical_f1",),
    "severity changed": ("radfact/logical_f1",),
    "finding dropped": ("chexpert_f1_rules/micro_f1_14", "radfact/logical_recall"),
    "finding added": ("chexpert_f1_rules/micro_f1_14", "radfact/logical_precision"),
    "wrong change": ("temporal_entities/temporal_f1", "radfact/logical_f1"),
    "device dropped": ("lines_and_tubes/type_f1", "radfact/logical_recall"),
    "device misplaced": ("lines_and_tubes/placement_accuracy", "radfact/logical_f1"),
    "box moved": ("radfact/spatial_f1", "radfact/grounding_f1"),
}

Alter = Callable[[Statement, np.random.Generator], Statement | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file of the table")
    options = parser.parse_args()
    names = list(dict.fromkeys(name.split("/")[0] for name in STATISTICS))
    found = cases(options.patients, options.seed)
    drops = sensitivity(found, named_metrics(names), STATISTICS, RulesJudge(), seed=options.seed)
    text = table(drops, CLAIMS)
    print(text, end="")
    if options.out:
        write_text(options.out, text)
    if broken := broken_claims(drops, CLAIMS):
        sys.exit("not seen: " + "; ".join(f"{drop.error} by {drop.statistic}" for drop in broken))


def cases(patients: int, seed: int) -> dict[str, list[Case]]:
    """Error → its cases, the control first; a study is in every error that its report has a statement for."""
    found: dict[str, list[Case]] = {name: [] for name in ("control: reworded", *CLAIMS)}
    for patient in sample_cohort(patients, seed=seed):
        for visit in patient.visits if patient.split == "train" else ():
            plan = plan_findings(patient, visit, generator(seed, "sensitivity plan", visit.study_id))
            for error, case in _cases(patient, visit, plan, seed):
                found[error].append(case)
    return found


def _cases(patient: Patient, visit: Visit, plan: Sequence[Group], seed: int) -> Iterator[tuple[str, Case]]:
    key = (patient.patient_id, visit.study_id)
    random = generator(seed, "sensitivity error", *key)
    reference, sound = ([_worded(group, seed, *key, wording, n) for n, group in enumerate(plan)] for wording in ("reference", "sound"))
    if plan:
        n = int(random.integers(len(plan)))
        reworded = _worded(plan[n], seed, *key, "control", n)
        yield "control: reworded", _case(key, reference, sound, [*sound[:n], reworded, *sound[n + 1 :]])
    for error, alter in ALTERATIONS.items():
        options = [(n, other) for n, group in enumerate(plan) if len(group) == 1 and (other := alter(group[0], random)) is not None]
        if options:
            n, other = options[int(random.integers(len(options)))]
            yield error, _case(key, reference, sound, [*sound[:n], _worded((other,), seed, *key, "sound", n), *sound[n + 1 :]])
    for error, names in (("finding dropped", FINDINGS), ("device dropped", ("nasogastric_tube", "central_venous_line", "chest_tube"))):
        present = [n for n, group in enumerate(plan) if len(group) == 1 and group[0].status == "positive" and group[0].subject in names]
        if present and len(plan) > 1:
            n = present[int(random.integers(len(present)))]
            yield error, _case(key, reference, sound, [*sound[:n], *sound[n + 1 :]])
    told = {statement.subject for group in plan for statement in group if statement.status == "positive"}
    if absent := [name for name in ("pneumothorax", "fracture", "cardiomegaly", "edema") if name not in told]:
        name = absent[int(random.integers(len(absent)))]
        side = ("left", "right")[int(random.integers(2))] if name in ("pneumothorax", "fracture") else None
        added = _worded((Statement(name, "positive", side=side),), seed, *key, "sound", len(plan))
        yield "finding added", _case(key, reference, sound, [*sound, added])
    if case := _box_moved(patient, visit, plan, reference, sound, random):
        yield "box moved", case


def _flipped(told: Statement, random: np.random.Generator) -> Statement | None:
    return Statement(told.subject, "negative") if told.subject in FINDINGS and told.status == "positive" else None


def _other_side(told: Statement, random: np.random.Generator) -> Statement | None:
    if told.subject not in FINDINGS or told.side not in ("left", "right"):
        return None
    return replace(told, side="right" if told.side == "left" else "left")


def _other_degree(told: Statement, random: np.random.Generator) -> Statement | None:
    if told.status != "positive" or told.severity_word is None or told.subject not in (*SIZED, *GRADED):
        return None
    if told.subject in SIZED:
        return replace(told, severity_word="small" if told.severity_word == "large" else "large")
    return replace(told, severity_word="mild" if told.severity_word == "severe" else "severe")


def _other_change(told: Statement, random: np.random.Generator) -> Statement | None:
    if told.subject not in FINDINGS or told.status != "positive" or told.change is None:
        return None
    options = [change for change in OPPOSED[told.change] if change != "resolved"]
    return replace(told, change=options[int(random.integers(len(options)))])


def _misplaced(told: Statement, random: np.random.Generator) -> Statement | None:
    if told.placement != "proper" or told.subject not in ("nasogastric_tube", "central_venous_line"):
        return None
    return replace(told, placement="in_esophagus" if told.subject == "nasogastric_tube" else "right_atrium")


ALTERATIONS: dict[str, Alter] = {
    "negation flipped": _flipped,
    "side swapped": _other_side,
    "severity changed": _other_degree,
    "wrong change": _other_change,
    "device misplaced": _misplaced,
}


def _worded(group: Group, seed: int, *key: str | int) -> Phrase:
    """The group's sentence in words that say no more than it; one key always draws the same."""
    return Phrase(phrase(group, bank.plain("train"), generator(seed, "sensitivity words", *key)).texts["en"], boxes=None)


def _case(key: tuple[str, str], reference: Sequence[Phrase], sound: Sequence[Phrase], erroneous: Sequence[Phrase]) -> Case:
    return Case(key[1], key[0], tuple(reference), tuple(sound), tuple(erroneous))


def _box_moved(
    patient: Patient, visit: Visit, plan: Sequence[Group], reference: Sequence[Phrase], sound: Sequence[Phrase], random: np.random.Generator
) -> Case | None:
    """Boxes of one reader in the reference and of another in the prediction, one phrase's moved to the far corner of the film."""
    taken = frontal_acquisition(visit)
    lesions = [tuple(i for s in group if s.status == "positive" for i in s.lesion_ids) for group in plan]
    if taken is None or not any(lesions):
        return None
    drawn = ExportedView(patient, visit, taken, FILM, noise=0.0).boxes
    boxes = [tuple(box for name in names for box in drawn.get(name, ())) or None for names in lesions]
    if not any(boxes):
        return None
    of_sound = [replace(p, boxes=b and tuple(second_reader(box, random) for box in b)) for p, b in zip(sound, boxes, strict=True)]
    grounded = [n for n, phrase in enumerate(of_sound) if phrase.boxes]
    n = grounded[int(random.integers(len(grounded)))]
    moved = replace(of_sound[n], boxes=tuple(map(_far_corner, of_sound[n].boxes or ())))
    of_reference = [replace(p, boxes=b) for p, b in zip(reference, boxes, strict=True)]
    return _case((patient.patient_id, visit.study_id), of_reference, of_sound, [*of_sound[:n], moved, *of_sound[n + 1 :]])


def _far_corner(box: Box) -> Box:
    width, height = box.x_max - box.x_min, box.y_max - box.y_min
    x = 0.0 if box.x_min + box.x_max > 1 else 1 - width
    y = 0.0 if box.y_min + box.y_max > 1 else 1 - height
    return Box(x, y, min(1.0, x + width), min(1.0, y + height))


if __name__ == "__main__":
    main()
