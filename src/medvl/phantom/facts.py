"""The facts of the simulated world: who the patient is, what the patient has at each visit, and how each film was taken.

Everything else is drawn from these: ``radiograph.py`` draws them, ``reports.py`` tells them, ``export/`` writes them down. Lengths are
millimetres, angles degrees. ``side`` is the patient's own side.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

FindingName = Literal[
    "atelectasis", "cardiomegaly", "consolidation", "edema", "enlarged_mediastinum", "fracture",
    "nodule", "pleural_effusion", "pleural_thickening", "pneumothorax",
]  # fmt: skip
DeviceName = Literal["endotracheal_tube", "nasogastric_tube", "central_venous_line", "chest_tube", "pacemaker"]
Side = Literal["left", "right", "bilateral"]
Zone = Literal["apical", "upper", "mid", "lower", "basal", "perihilar"]
Setting = Literal["outpatient", "emergency", "icu"]
ChangeLabel = Literal["new", "improving", "stable", "worsening", "resolved"]
Projection = Literal["PA", "AP", "LATERAL"]
PlacementError = Literal[
    "right_main_bronchus", "too_high",                    # endotracheal tube
    "in_esophagus", "coiled", "in_bronchus",              # nasogastric tube
    "right_atrium", "contralateral", "internal_jugular",  # central venous line
    "side_hole_outside", "fissural",                      # chest tube
    "lead_displaced",                                     # pacemaker
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One lesion at one visit.

    Attributes:
        lesion_id: the same through all visits of the patient, e.g. ``consolidation-1``.
        side: ``None`` for midline findings (cardiomegaly, enlarged mediastinum).
        severity: 0 (barely visible) to 1 (gross).
        seed: fixes the lesion's place within its zone and its shape, the same through all visits.
        certain: whether a reader would commit to it, or hedge.
    """

    lesion_id: str
    name: FindingName
    side: Side | None
    zone: Zone | None
    severity: float
    seed: int
    certain: bool = True


@dataclass(frozen=True, slots=True)
class Device:
    """One device at one visit; ``error`` says how it is misplaced, ``None`` when it lies well.

    Attributes:
        tip_offset: endotracheal tube: tip above the carina (30…66 is right, negative is past it); others: how far the tip lies beyond
            its proper end along its course (0 is right).
    """

    device_id: str
    name: DeviceName
    side: Side | None
    tip_offset: float
    error: PlacementError | None
    seed: int


@dataclass(frozen=True, slots=True)
class Change:
    """How one lesion differs from the prior visit."""

    lesion_id: str
    name: FindingName
    side: Side | None
    label: ChangeLabel


@dataclass(frozen=True, slots=True)
class Acquisition:
    """How one film was taken.

    Attributes:
        rotation: of the patient about the long axis.
        tilt: of the film in its plane.
        inspiration: −1 (poor) to 1 (deep).
        exposure: quanta relative to a well exposed film.
        collimation: share of the field left black at the top, right, bottom, left.
        aspect: height ÷ width of the film.
        marker: the side marker's letter, or ``None``.
        transfer_syntax: name of a pydicom UID constant, e.g. ``ExplicitVRLittleEndian``.
        view_position_missing: the header forgot the view, as in 4 % of MIMIC-CXR.
    """

    view_id: str
    projection: Projection
    rotation: float
    tilt: float
    inspiration: float
    exposure: float
    collimation: tuple[float, float, float, float]
    aspect: float
    erect: bool
    marker: Literal["L", "R"] | None
    photometric: Literal["MONOCHROME1", "MONOCHROME2"]
    bits_stored: int
    transfer_syntax: str
    manufacturer: str
    view_position_missing: bool
    seed: int


@dataclass(frozen=True, slots=True)
class Visit:
    """One study's facts. ``changes`` compares with the visit before; empty for the first."""

    study_id: str
    index: int
    time: datetime
    setting: Setting
    reason: str
    findings: tuple[Finding, ...]
    devices: tuple[Device, ...]
    changes: tuple[Change, ...]
    acquisitions: tuple[Acquisition, ...]


@dataclass(frozen=True, slots=True)
class Patient:
    """One simulated patient and all visits in order of time.

    Attributes:
        age: years at the first visit.
        scale: body size relative to the reference anatomy, (x, y, z).
        fat: thickness of the subcutaneous layer.
        split: ``train``, ``validate`` or ``test``.
    """

    patient_id: str
    sex: Literal["F", "M"]
    age: int
    scale: tuple[float, float, float]
    fat: float
    seed: int
    split: Literal["train", "validate", "test"]
    visits: tuple[Visit, ...]


@dataclass(frozen=True, slots=True)
class Difficulty:
    """What makes the world hard; the defaults are the phantom's default difficulty.

    Attributes:
        subtlety: shifts severities down; 0 leaves them as drawn, 1 makes everything barely visible.
        noise: multiplies the quantum noise's standard deviation.
        confounding: 0 (AP, intensive care and devices independent of disease) to 1 (strongly tied).
        label_noise: share of CheXpert-style labels that a labeller gets wrong.
        change: factor on severity per step of improvement, drawn uniformly from this range (worsening divides by it).
    """

    subtlety: float = 0.0
    noise: float = 1.0
    confounding: float = 0.6
    label_noise: float = 0.05
    change: tuple[float, float] = (0.6, 0.85)
