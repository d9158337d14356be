"""Devices over time: which lines and tubes a patient has at each moment, and whether they lie well.

The setting decides (intensive care: endotracheal, nasogastric and central venous lines), chest tubes follow a pneumothorax or a large
effusion as far as the world is confounded, a pacemaker stays for ever. A misplaced device is mostly put right by the next moment; a well
placed one sometimes migrates. Rates are ours, chosen so that 12–15 % of placements seen on films are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from medvl.phantom.disease import Lesion
from medvl.phantom.draws import generator, integer
from medvl.phantom.facts import Device, DeviceName, PlacementError, Setting, Side
from medvl.phantom.timeline import Moment

Access = Literal["jugular", "subclavian", "arm"]

INSERTED: dict[DeviceName, dict[Setting, float]] = {  # chance that a device which is not there is there at this moment
    "endotracheal_tube": {"outpatient": 0.0, "emergency": 0.06, "icu": 0.40},
    "nasogastric_tube": {"outpatient": 0.005, "emergency": 0.05, "icu": 0.14},
    "central_venous_line": {"outpatient": 0.05, "emergency": 0.08, "icu": 0.45},
    "chest_tube": {"outpatient": 0.01, "emergency": 0.07, "icu": 0.12},
}
FED_WHEN_INTUBATED = 0.7  # chance of a nasogastric tube beside an endotracheal one
DRAINED = {"pneumothorax": (0.20, 0.50), "pleural_effusion": (0.35, 0.16)}  # least severity, chance of a chest tube for it
DRAINED_OTHERWISE = 0.01
PACED: tuple[float, float] = (0.02, 0.10)  # share of patients up to and above 55 years
STAYS = 0.75  # chance per moment, in an unchanged setting
WRONG_WHEN_INSERTED, PUT_RIGHT, MIGRATES = 0.16, 0.8, 0.05
OFFSET: dict[DeviceName, dict[PlacementError | None, tuple[float, float]]] = {  # of the tip, millimetres, see facts.Device
    "endotracheal_tube": {None: (30, 66), "right_main_bronchus": (-20, -2), "too_high": (75, 110)},
    "nasogastric_tube": {None: (-12, 12), "in_esophagus": (-230, -150), "coiled": (-6, 6), "in_bronchus": (-15, 10)},
    "central_venous_line": {None: (-22, 6), "right_atrium": (42, 75), "contralateral": (-12, 12), "internal_jugular": (-12, 12)},
    "chest_tube": {None: (-8, 8), "side_hole_outside": (-80, -55), "fissural": (-8, 8)},
    "pacemaker": {None: (-3, 3), "lead_displaced": (-60, -34)},
}
RIGHT_SHARE: dict[DeviceName, float] = {"central_venous_line": 0.72, "chest_tube": 0.54, "pacemaker": 0.15}  # others have no side


def sample_devices(
    *key: str | int, moments: Sequence[Moment], lesions: Sequence[Lesion], age: int, confounding: float
) -> tuple[tuple[Device, ...], ...]:
    """The devices at each moment: a pure function of its arguments."""
    draw = generator(*key, "devices")
    paced_from = _paced_from(draw, moments, age, confounding)
    here: dict[DeviceName, Device] = {}
    count = dict.fromkeys(OFFSET, 0)
    course: list[tuple[Device, ...]] = []
    for i, moment in enumerate(moments):
        settled = i > 0 and moments[i - 1].setting == moment.setting
        for name in OFFSET:
            device = here.pop(name, None)
            if device is not None and (name == "pacemaker" or (settled and draw.random() < STAYS)):
                here[name] = _next(draw, device)
                continue
            if name == "pacemaker":
                cause, inserted = None, i == paced_from
            elif name == "chest_tube" and draw.random() < confounding:
                cause, inserted = _drainage(draw, lesions, i, moment.setting)
            else:
                fed = name == "nasogastric_tube" and "endotracheal_tube" in here
                cause, inserted = None, bool(draw.random() < (FED_WHEN_INTUBATED if fed else INSERTED[name][moment.setting]))
            if inserted:
                count[name] += 1
                here[name] = _insert(draw, name, f"{name}-{count[name]}", cause, *key)
        course.append(tuple(here[name] for name in OFFSET if name in here))
    return tuple(course)


def towards_apex(seed: int) -> bool:
    """Whether a chest tube with this seed runs up (to air) rather than to the base (to fluid)."""
    return bool(generator(seed, "chest tube").random() < 0.5)


def venous_access(seed: int) -> Access:
    """Where a central venous line with this seed enters."""
    options: tuple[Access, ...] = ("jugular", "subclavian", "arm")
    return options[int(generator(seed, "venous access").choice(3, p=(0.45, 0.25, 0.30)))]


def _paced_from(draw: np.random.Generator, moments: Sequence[Moment], age: int, confounding: float) -> int | None:
    """The first moment with a pacemaker: mostly the first of all."""
    failing = any(moment.illness == "heart_failure" for moment in moments)
    chance = PACED[age > 55] * (1 + confounding * (1.2 if failing else -0.4))
    first = 0 if draw.random() < 0.8 else int(draw.integers(len(moments)))
    return first if draw.random() < chance else None


def _drainage(draw: np.random.Generator, lesions: Sequence[Lesion], moment: int, setting: Setting) -> tuple[Lesion | None, bool]:
    """Whether a lesion of this moment is drained, and which; rarely a chest tube has another cause. Seldom outside hospital."""
    for lesion in lesions:
        severity = lesion.severity(moment)
        if severity is not None and lesion.name in DRAINED:
            least, chance = DRAINED[lesion.name]
            if severity >= least and draw.random() < chance * (0.2 if setting == "outpatient" else 1):
                return lesion, True
    return None, bool(draw.random() < DRAINED_OTHERWISE)


def _insert(draw: np.random.Generator, name: DeviceName, device_id: str, cause: Lesion | None, *key: str | int) -> Device:
    side: Side | None = None
    if name in RIGHT_SHARE:
        side = "right" if draw.random() < RIGHT_SHARE[name] else "left"
    if cause is not None:
        side = cause.place[0]
    error = _error(draw, name) if draw.random() < WRONG_WHEN_INSERTED else None
    attempt = 0
    while not _fits(seed := integer(*key, device_id, attempt), error, cause):
        attempt += 1
    return Device(device_id, name, side, _offset(draw, name, error), error, seed)


def _fits(seed: int, error: PlacementError | None, cause: Lesion | None) -> bool:
    """Whether the course that this seed stands for can have this error, or drains this lesion."""
    if error == "internal_jugular":
        return venous_access(seed) != "jugular"
    return cause is None or towards_apex(seed) == (cause.name == "pneumothorax")


def _next(draw: np.random.Generator, device: Device) -> Device:
    """The same device at the next moment: put right if it was wrong, seldom migrated if it was right."""
    error = device.error
    if error is not None and draw.random() < PUT_RIGHT:
        error = None
    elif error is None and draw.random() < MIGRATES:
        error = _error(draw, device.name)
        if not _fits(device.seed, error, None):
            error = None
    if error == device.error:
        return device
    return replace(device, error=error, tip_offset=_offset(draw, device.name, error))


def _error(draw: np.random.Generator, name: DeviceName) -> PlacementError:
    errors = [error for error in OFFSET[name] if error is not None]
    return errors[int(draw.integers(len(errors)))]


def _offset(draw: np.random.Generator, name: DeviceName, error: PlacementError | None) -> float:
    return float(draw.uniform(*OFFSET[name][error]))
