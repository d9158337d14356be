"""Lines and tubes in a text, by the lexicon's structured rows: the rule extractor of the lines-and-tubes metric (ours).

A row of a device becomes a ``Device``; a denied one none, a resolved one ``removed``. Beside the rows three things are read from the words
that follow the device in its sentence: that it was moved ("has been advanced"; "should be advanced" is advice and no change), that its
position cannot be judged, and, for the whole report, extubation and intubation. Mentions of one type that do not contradict each other in
side are one device; a bilateral one is two. Numbers ("two chest tubes") are not counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from medvl.lexicon.structure import Row, structure
from medvl.metrics.lines_and_tubes import Change, Device, DeviceType, Placement

Language = Literal["en", "es"]

TYPE_OF: dict[str, DeviceType] = {
    "endotracheal_tube": "endotracheal_tube",
    "tracheostomy_tube": "tracheostomy_tube",
    "nasogastric_tube": "enteric_tube",
    "feeding_tube": "enteric_tube",
    "central_venous_line": "central_venous_catheter",
    "internal_jugular_line": "central_venous_catheter",
    "subclavian_line": "central_venous_catheter",
    "femoral_line": "central_venous_catheter",
    "picc": "picc",
    "dialysis_catheter": "dialysis_catheter",
    "port": "port",
    "pulmonary_artery_catheter": "pulmonary_artery_catheter",
    "intra_aortic_balloon_pump": "intra_aortic_balloon_pump",
    "chest_tube": "chest_tube",
    "pacemaker": "cardiac_device",
    "defibrillator": "cardiac_device",
    "pacing_lead": "cardiac_device",
    **dict.fromkeys(("umbilical_catheter", "mediastinal_drain", "pericardial_drain", "drain", "tube", "catheter"), "other"),
    **dict.fromkeys(("ventricular_assist_device", "ecmo_cannula", "temperature_probe", "gastrostomy_tube"), "other"),
}
"""Concepts of the lexicon that are lines or tubes; valves, wires, clips and stents are not."""

_CHANGE: dict[str | None, Change] = {"new": "new", "stable": "unchanged", "resolved": "removed"}
_PLACEMENT: dict[str | None, Placement] = {"proper": "satisfactory", "malpositioned": "malpositioned"}
_MOVED: dict[Language, tuple[tuple[Change, re.Pattern[str]], ...]] = {
    "en": (
        ("advanced", re.compile(r"\b(?:been|was|were|is now|interval(?:ly)?) (?:\w+ )?advance(?:d|ment)\b|\badvancement of\b")),
        (
            "retracted",
            re.compile(
                r"\b(?:been|was|were|is now|interval(?:ly)?) (?:\w+ )?(?:withdrawn|retracted|pulled back|repositioned"
                r"|withdrawal|retraction|repositioning)\b"
                r"|\b(?:withdrawal|retraction|repositioning) of\b"
            ),
        ),
    ),
    "es": (
        ("advanced", re.compile(r"\b(?:ha sido|se ha|fue) (?:avanzad[oa]|introducid[oa])\b")),
        ("retracted", re.compile(r"\b(?:ha sido|se ha|fue) (?:retirad[oa] parcialmente|recolocad[oa]|reposicionad[oa])\b")),
    ),
}
_CANNOT_JUDGE: dict[Language, re.Pattern[str]] = {
    "en": re.compile(
        r"\b(?:cannot|can not|not|difficult to|poorly) (?:be )?(?:well |clearly )?(?:assess|seen|visuali[sz]|evaluat|identif)|\bobscured\b"
    ),
    "es": re.compile(r"\bno (?:se )?(?:puede|visualiza|identifica|valora)\w*|\bdif[ií]cil de valorar\b"),
}


def devices_in(text: str, *, language: Language = "en") -> list[Device]:
    """The lines and tubes of a report.

    Example: "The ET tube is unchanged. Right PICC is new." → an unchanged endotracheal tube, a new right PICC.

    Args:
        text: a report.
        language: ``en`` or ``es``.
    """
    rows = structure(text, language=language)
    named = [row for row in rows if row.concept in TYPE_OF]
    found: list[Device] = []
    for row in named:
        if row.status == "positive":
            found += _sides(_device(row, _words_about(row, named), language))
    for row in rows:
        if (
            row.concept in ("extubation", "intubation")
            and row.status == "positive"
            and not any(d.type == "endotracheal_tube" for d in found)
        ):
            found.append(Device("endotracheal_tube", change="removed" if row.concept == "extubation" else None))
    return _merged(found)


def _device(row: Row, words: str, language: Language) -> Device:
    moved: list[Change] = [change for change, cue in _MOVED[language] if cue.search(words)]
    placement = _PLACEMENT.get(row.placement)
    if placement is None and _CANNOT_JUDGE[language].search(words):
        placement = "indeterminate"
    change = moved[0] if moved else _CHANGE.get(row.change)
    return Device(TYPE_OF[row.concept], row.side, change, placement, row.tip)


def _words_about(row: Row, named: Sequence[Row]) -> str:
    """The sentence between the device before this one and the next one, in lower case."""
    same = sorted((other for other in named if other.sentence == row.sentence), key=lambda other: other.span)
    start = same[0].span[0] - row.text.find(same[0].entity)  # of the sentence in the report
    before = max((other.span[1] for other in same if other.span[1] <= row.span[0]), default=start)
    after = min((other.span[0] for other in same if other.span[0] >= row.span[1]), default=start + len(row.text))
    return row.text[max(0, before - start) : max(0, after - start)].lower()


def _sides(device: Device) -> list[Device]:
    return [replace(device, side="left"), replace(device, side="right")] if device.side == "bilateral" else [device]


def _merged(devices: Sequence[Device]) -> list[Device]:
    """Mentions of one type whose sides agree or are not told, as one device; what is told first stays."""
    merged: list[Device] = []
    for device in devices:
        for i, known in enumerate(merged):
            if known.type == device.type and (known.side == device.side or None in (known.side, device.side)):
                merged[i] = Device(
                    known.type,
                    known.side or device.side,
                    known.change or device.change,
                    known.placement or device.placement,
                    known.tip or device.tip,
                )
                break
        else:
            merged.append(device)
    return merged
