"""Small facts for tests of the language: single findings and devices, and random patients that need no world sampler."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, get_args

from medvl.phantom.draws import generator
from medvl.phantom.facts import Acquisition, Change, Device, DeviceName, Finding, FindingName, Patient, Visit

MIDLINE = ("cardiomegaly", "enlarged_mediastinum")
REASONS = ("chest_pain", "dyspnea", "fever", "cough", "trauma", "follow_up")
ERRORS = {
    "endotracheal_tube": ("right_main_bronchus", "too_high"),
    "nasogastric_tube": ("in_esophagus", "coiled", "in_bronchus"),
    "central_venous_line": ("right_atrium", "contralateral", "internal_jugular"),
    "chest_tube": ("side_hole_outside", "fissural"),
    "pacemaker": ("lead_displaced",),
}


def finding(name: FindingName, side: Any = "right", zone: Any = None, severity: float = 0.5, **other: Any) -> Finding:
    return Finding(other.pop("lesion_id", f"{name}-1"), name, None if name in MIDLINE else side, zone, severity, 0, **other)


def device(name: DeviceName, side: Any = "right", error: Any = None, tip_offset: float = 45.0) -> Device:
    return Device(f"{name}-1", name, side, tip_offset, error, 0)


def visit(*findings: Finding, index: int = 0, devices: tuple[Device, ...] = (), changes: tuple[Change, ...] = (), **other: Any) -> Visit:
    frontal = Acquisition(
        f"view-{index}", other.pop("projection", "PA"), 0, 0, other.pop("inspiration", 0.5), 1, (0, 0, 0, 0), 1, True, None,
        "MONOCHROME2", 12, "ExplicitVRLittleEndian", "Phantom", False, 0,
    )  # fmt: skip
    time = datetime(2150, 1, 1) + timedelta(days=10 * index)
    defaults: dict[str, Any] = {"study_id": f"5000000{index}", "time": time, "setting": "emergency", "reason": "dyspnea"}
    return Visit(index=index, findings=tuple(findings), devices=devices, changes=changes, acquisitions=(frontal,), **{**defaults, **other})


def patient(*visits: Visit, split: Any = "train", patient_id: str = "10000001") -> Patient:
    return Patient(patient_id, "F", 60, (1, 1, 1), 16, 0, split, tuple(visits))


def random_patient(index: int, split: Any = "train") -> Patient:
    """A patient of one to four visits with random findings, devices and changes that fit each other."""
    random = generator("small facts", index)
    visits: list[Visit] = []
    for number in range(int(random.integers(1, 5))):
        before = visits[-1] if visits else None
        kept, changes = _carried(before, random)
        fresh = [_random_finding(name, f"{name}-{number}-{side}", side, random) for name in get_args(FindingName) if random.random() < 0.13
                 for side in _sides(name, random) if not any(k.name == name and k.side in (side, None) for k in kept)]  # fmt: skip
        if before:
            changes += [Change(f.lesion_id, f.name, f.side, "new") for f in fresh]
        devices = tuple(_random_device(n, random) for n in get_args(DeviceName) if random.random() < 0.25)
        made = visit(
            *kept, *fresh, index=number, devices=devices, changes=tuple(changes), study_id=f"5{index:05d}{number:02d}",
            reason=str(random.choice(REASONS)), setting=str(random.choice(["icu", "emergency"])), inspiration=float(random.uniform(-1, 1)),
        )  # fmt: skip
        visits.append(made)
    return patient(*visits, split=split, patient_id=f"1{index:07d}")


def _sides(name: str, random: Any) -> list[Any]:
    if name in MIDLINE:
        return [None]
    if name == "edema":
        return ["bilateral"]
    return [["left"], ["right"], ["left", "right"]][int(random.integers(3))]


def _random_finding(name: Any, lesion_id: str, side: Any, random: Any) -> Finding:
    zone = (
        str(random.choice(["upper", "mid", "lower", "basal", "perihilar", "apical"]))
        if name in ("consolidation", "atelectasis", "nodule")
        else None
    )
    return Finding(lesion_id, name, side, zone, float(random.random()), 0, bool(random.random() < 0.8))  # type: ignore[arg-type]


def _random_device(name: Any, random: Any) -> Device:
    side = str(random.choice(["left", "right"])) if name in ("central_venous_line", "chest_tube", "pacemaker") else None
    error = str(random.choice(ERRORS[name])) if random.random() < 0.3 else None
    offset = {None: 45.0, "right_main_bronchus": -8.0, "too_high": 90.0}.get(error, 0.0)
    return Device(f"{name}-1", name, side, offset, error, 0)  # type: ignore[arg-type]


def _carried(before: Visit | None, random: Any) -> tuple[list[Finding], list[Change]]:
    kept, changes = [], []
    for lesion in before.findings if before else ():
        label = str(random.choice(["improving", "stable", "worsening", "resolved"]))
        factor = {"improving": 0.7, "stable": 1.0, "worsening": 1.4, "resolved": 0.0}[label]
        if label != "resolved":
            kept.append(replace(lesion, severity=min(1.0, lesion.severity * factor)))
        changes.append(Change(lesion.lesion_id, lesion.name, lesion.side, label))  # type: ignore[arg-type]
    return kept, changes
