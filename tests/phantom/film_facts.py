"""Patients, findings and acquisitions for tests of the picture, each differing in one thing only."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from medvl.phantom.facts import Acquisition, Device, Finding, FindingName, Patient, Projection, Visit

PATIENT = Patient("10000001", "M", 55, (1.0, 1.0, 1.0), 14.0, 4, "train", ())
MIDLINE = ("cardiomegaly", "enlarged_mediastinum")


def acquisition(projection: Projection = "PA", **other: Any) -> Acquisition:
    plain = Acquisition(
        "view-1", projection, 0.0, 0.0, 0.3, 1.0, (0.0, 0.0, 0.0, 0.0), 1.0, True, None, "MONOCHROME2", 12, "ExplicitVRLittleEndian",
        "Phantom", False, 11,
    )  # fmt: skip
    return replace(plain, **other)


def finding(name: FindingName, side: Any = "left", severity: float = 0.6, zone: Any = None, seed: int = 5) -> Finding:
    return Finding("lesion", name, None if name in MIDLINE else side, zone, severity, seed)


def visit(*findings: Finding, devices: tuple[Device, ...] = ()) -> Visit:
    return Visit("50000001", 0, datetime(2150, 1, 1), "emergency", "dyspnea", findings, devices, (), ())
