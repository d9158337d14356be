"""Reports as structured rows in the columns of ``Lunguage.csv``: one row per entity mention, linked through time by the facts.

Categories, relations and the two group columns are those of Lunguage (Moon et al., CHIL 2026). An entity group is one lesion, device or
organ called in one way (a descriptive *opacity* and a diagnostic *pneumonia* stay apart, sides and zones too); a temporal group counts its
episodes, from 1: a lesion keeps its episode as long as it lasts, absence before or after is another one. Resolved findings are told as
positive with ``improved``, as Lunguage's prompt does; a normal organ is negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medvl.phantom.facts import Patient, Visit
from medvl.phantom.phrasing import Sentence
from medvl.phantom.reports import WrittenReport
from medvl.phantom.statements import DEVICES, Statement

SECTIONS = {"findings": "find", "impression": "impr"}
CATEGORIES: dict[str, str] = {**dict.fromkeys(DEVICES, "oth"), "pneumonia": "cf", "edema": "cf"}
CHANGE_COLUMNS = {"new": "onset", "worsening": "worsened", "stable": "no change", "improving": "improved", "resolved": "improved"}
DESCRIPTORS = {"new": "new", "worsening": "worsening", "stable": "stable", "improving": "improving", "resolved": "resolved"}
SIZES = ("pleural_effusion", "pneumothorax", "consolidation", "opacity", "nodule")
"""Findings whose grade is a measurement (small, large); that of the others is a severity (mild, severe)."""

RELATIONS = (
    "cat", "dx_status", "dx_certainty", "location", "placement", "associate", "evidence", "morphology", "distribution", "measurement",
    "severity", "comparison", "onset", "no change", "improved", "worsened", "past hx", "other source", "assessment limitations",
)  # fmt: skip


def structured_rows(patient: Patient, reports: Mapping[str, WrittenReport]) -> list[dict[str, Any]]:
    """The rows of all the patient's English reports, in order of time.

    Args:
        reports: study id → report, for every visit to be structured.

    Returns:
        Rows with the columns of Lunguage.csv (lower-case text, ``None`` where a relation says nothing).
    """
    rows: list[dict[str, Any]] = []
    for visit in patient.visits:
        report = reports.get(visit.study_id)
        if report is not None:
            rows += _study_rows(patient, visit, report)
    _link(patient, rows)
    return rows


def _study_rows(patient: Patient, visit: Visit, report: WrittenReport) -> list[dict[str, Any]]:
    shared = {
        "subject_id": f"p{patient.patient_id}", "study_id": f"s{visit.study_id}", "sequence": visit.index + 1,
        "report": report.text("en").lower(), "StudyDateTime": visit.time.isoformat(sep=" "),
    }  # fmt: skip
    rows: list[dict[str, Any]] = []
    for section, code in SECTIONS.items():
        told = [s for s in report.sentences if s.statements[0].section == section]
        section_report = " ".join(s.texts["en"] for s in told).lower()
        mentions = 0
        for number, sentence in enumerate(told, start=1):
            place = {"section": code, "section_report": section_report, "sent": sentence.texts["en"].lower(), "sent_idx": number}
            made = _sentence_rows(sentence, first=mentions + 1)
            mentions += len(made)
            rows += [shared | place | row for row in made]
    return rows


def _sentence_rows(sentence: Sentence, first: int) -> list[dict[str, Any]]:
    mentions = {words["entity"]: (statement, words) for statement, words in zip(sentence.statements, sentence.words, strict=True)}
    rows = [
        {"ent": words["entity"], "ent_idx": index, **_relations(statement, words), "_statement": statement}
        for index, (statement, words) in enumerate(mentions.values(), start=first)
    ]
    subjects = [s.subject for s in sentence.statements]
    if subjects == ["opacity", "pneumonia"] and len(rows) == 2:
        look, diagnosis = rows
        look["associate"] = f"{diagnosis['ent']}, idx{diagnosis['ent_idx']}"
        diagnosis["evidence"] = f"{look['ent']}, idx{look['ent_idx']}"
    return rows


def _relations(statement: Statement, words: Mapping[str, str]) -> dict[str, str | None]:
    resolved = statement.change == "resolved"
    row: dict[str, str | None] = dict.fromkeys(RELATIONS)
    row["cat"] = CATEGORIES.get(statement.subject, "pf")
    row["dx_status"] = "positive" if resolved else statement.status
    row["dx_certainty"] = "definitive" if statement.certain else "tentative"
    row["location"] = f"loc: {words['location']}" if words.get("location") else None
    row["measurement" if statement.subject in SIZES else "severity"] = words.get("severity")
    if statement.subject == "lung_volumes":
        row["measurement"] = "low"
    if statement.placement:
        row["placement"] = "expected position" if statement.placement == "proper" else statement.placement.replace("_", " ")
    if statement.change:
        row[CHANGE_COLUMNS[statement.change]] = words.get("change", statement.change)
    return row


def _link(patient: Patient, rows: list[dict[str, Any]]) -> None:
    """Give each row its entity group's name and its episode number, from the lesions that it speaks of."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(_group_key(row["_statement"]), []).append(row)
    for key, members in groups.items():
        episodes: list[object] = []
        name = _group_name(key, [m["_statement"] for m in members])
        for row in members:
            statement: Statement = row.pop("_statement")
            episode: object = statement.lesion_ids or "absent"
            if statement.subject in DEVICES and statement.lesion_ids:
                episode = _stay(patient, row["sequence"] - 1, statement)
            if episode not in episodes:
                episodes.append(episode)
            row["gt_entity_group"], row["gt_temporal_group"] = name, episodes.index(episode) + 1


def _stay(patient: Patient, index: int, statement: Statement) -> object:
    """When the device that is spoken of was put in: the same device reinserted after a removal is another episode."""
    device = statement.lesion_ids[0]
    here = [any(d.device_id == device for d in v.devices) for v in patient.visits]
    start = index - 1 if statement.change == "resolved" else index
    while start > 0 and here[start - 1]:
        start -= 1
    return device, start


def _group_key(statement: Statement) -> tuple[Any, ...]:
    if not statement.lesion_ids:
        return statement.subject, None, None
    return statement.subject, statement.side, statement.zone


def _group_name(key: tuple[Any, ...], statements: list[Statement]) -> str:
    """Entity, place and the latest word for its change, e.g. ``pleural effusion left improving``."""
    subject, side, zone = key
    change = next((DESCRIPTORS[s.change] for s in reversed(statements) if s.change), None)
    return " ".join(str(p).replace("_", " ") for p in (subject, side, zone, change) if p)
