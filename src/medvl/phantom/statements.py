"""What a report can say of a visit, before any wording: findings as statements, never against the facts.

Two lesions of one name on both sides that are alike (same zone, same severity word, same change) become one bilateral statement. Changes
are told only where there is an earlier study, lesions that have gone as resolved. Which statements a report holds, and in which order, is
``report_plan.py``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from medvl.phantom.facts import ChangeLabel, DeviceName, Finding, FindingName, Patient, PlacementError, Side, Visit, Zone

Status = Literal["positive", "negative"]
Section = Literal["findings", "impression"]
SeverityWord = Literal["trace", "small", "mild", "moderate", "large", "severe"]
Placement = PlacementError | Literal["proper"]
Organ = Literal["lungs", "heart", "mediastinum", "pleura", "bones"]
Subject = FindingName | DeviceName | Organ | Literal["opacity", "pneumonia", "lung_volumes", "chest"]

DEVICES: tuple[DeviceName, ...] = ("endotracheal_tube", "nasogastric_tube", "central_venous_line", "chest_tube", "pacemaker")
LUNG: tuple[FindingName, ...] = ("consolidation", "atelectasis", "edema", "nodule")
PLEURA: tuple[FindingName, ...] = ("pleural_effusion", "pneumothorax", "pleural_thickening")
ZONED = ("atelectasis", "consolidation", "nodule", "pneumothorax", "pleural_thickening")
"""Findings that are told with their zone; an effusion is basal and an edema perihilar by nature."""
SWEEPS: dict[Organ, tuple[FindingName, ...]] = {
    "lungs": LUNG,
    "pleura": PLEURA,
    "heart": ("cardiomegaly",),
    "mediastinum": ("enlarged_mediastinum",),
    "bones": ("fracture",),
}
"""Organ of a normal sweep → the findings that rule the sweep out."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing said about a study, in no language yet.

    Attributes:
        subject: a finding or device of ``facts``; ``opacity`` (a consolidation or atelectasis called by its look), ``pneumonia`` (a
            consolidation interpreted), ``lung_volumes``; an organ in a normal sweep; ``chest`` for "no acute process".
        status: ``negative`` means absent, resolved, removed, or, for an organ, normal.
        certain: ``False`` when the wording hedges.
        severity_word: the canonical grade; ``None`` when the report leaves it out.
        change: since the prior study; ``None`` when not told. Devices: ``new``, ``stable``, ``resolved`` (removed).
        placement: of a device that is present: ``proper`` or how it is misplaced.
        tip_cm: endotracheal tube: distance of the tip above the carina.
        lesion_ids: the lesions or devices spoken of; for resolved ones, those of the prior study; empty for other negatives.
    """

    subject: Subject
    status: Status
    certain: bool = True
    side: Side | None = None
    zone: Zone | None = None
    severity_word: SeverityWord | None = None
    change: ChangeLabel | None = None
    placement: Placement | None = None
    tip_cm: float | None = None
    lesion_ids: tuple[str, ...] = ()
    section: Section = "findings"


def severity_word(name: FindingName, severity: float) -> SeverityWord | None:
    """The canonical grade of a finding's severity (0…1); ``None`` for findings that are not graded."""
    if name in ("pleural_effusion", "pneumothorax"):
        return "trace" if severity < 0.15 else "small" if severity < 0.45 else "moderate" if severity < 0.75 else "large"
    if name == "consolidation":
        return "small" if severity < 0.35 else "moderate" if severity < 0.7 else "large"
    if name == "nodule":
        return "small" if severity < 0.5 else None
    if name == "fracture":
        return None
    return "mild" if severity < 0.4 else "moderate" if severity < 0.75 else "severe"


def prior_visit(patient: Patient, visit: Visit) -> Visit | None:
    """The visit before, if it is strictly earlier; the report compares with it."""
    if visit.index == 0:
        return None
    prior = patient.visits[visit.index - 1]
    return prior if prior.time < visit.time else None


def infectious(visit: Visit) -> bool:
    """Whether the clinical question makes a consolidation a pneumonia."""
    return visit.reason in ("fever", "cough")


def finding_statements(visit: Visit, prior: Visit | None, names: Iterable[FindingName], random: np.random.Generator) -> list[Statement]:
    """Every present or resolved finding of these names, like lesions of both sides merged."""
    changes = {c.lesion_id: c.label for c in visit.changes} if prior else {}
    statements = []
    for name in names:
        present = [_positive(f, changes.get(f.lesion_id)) for f in visit.findings if f.name == name]
        gone = [_resolved(f) for f in prior.findings if f.name == name and changes.get(f.lesion_id) == "resolved"] if prior else []
        gone = [g for g in gone if not any(_overlap(g, p) for p in present) and random.random() < 0.85]
        for statement in merge_sides(present) + merge_sides(gone):
            statements.append(_leave_out(statement, random))
    return statements


def merge_sides(statements: Sequence[Statement]) -> list[Statement]:
    """Left and right statements that are otherwise equal become one bilateral statement; the rest stays as it is."""

    def alike(s: Statement) -> Statement:
        return replace(s, side=None, lesion_ids=())

    merged: list[Statement] = []
    for statement in statements:
        twin = next((m for m in merged if alike(m) == alike(statement) and {m.side, statement.side} == {"left", "right"}), None)
        if twin is None:
            merged.append(statement)
        else:
            merged[merged.index(twin)] = replace(twin, side="bilateral", lesion_ids=twin.lesion_ids + statement.lesion_ids)
    return merged


def _positive(finding: Finding, change: ChangeLabel | None) -> Statement:
    side = None if finding.name == "edema" else finding.side  # bilateral by nature
    zone = finding.zone if finding.name in ZONED else None
    return Statement(
        finding.name, "positive", finding.certain, side, zone,
        severity_word(finding.name, finding.severity), change if finding.certain else None, lesion_ids=(finding.lesion_id,),
    )  # fmt: skip


def _resolved(finding: Finding) -> Statement:
    return replace(_positive(finding, None), status="negative", certain=True, severity_word=None, change="resolved")


def _overlap(a: Statement, b: Statement) -> bool:
    sides = {a.side, b.side}
    return len(sides) == 1 or None in sides or "bilateral" in sides


def _leave_out(statement: Statement, random: np.random.Generator) -> Statement:
    """Reports often leave out the grade, a pneumothorax's zone or, with a prior at hand, the change."""
    if statement.status == "negative":
        return statement
    grade = None if random.random() < (0.5 if statement.change else 0.25) else statement.severity_word
    change = statement.change if random.random() < 0.85 else None
    if statement.subject == "fracture" and change in ("improving", "worsening"):
        change = None  # fractures do not grow and shrink
    zone = None if statement.subject == "pneumothorax" and random.random() < 0.6 else statement.zone
    return replace(statement, severity_word=grade, change=change, zone=zone)
