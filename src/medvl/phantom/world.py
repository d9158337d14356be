"""The phantom's world: patients with up to five visits, each a set of facts about disease, devices and films.

Every part is a pure function of (seed, patient index, difficulty), so that any patient can be made alone, in any order, on any machine.
The rooms behind: ``timeline.py`` (when, where, which illness), ``disease.py`` (findings and their changes), ``lines_and_tubes.py``
(devices), ``acquisition.py`` (films), ``identifiers.py``.

A visit's changes compare with the house's prior, the latest strictly earlier visit with a frontal film: a second visit at an equal time
repeats the changes of its twin, a visit with only a lateral shows no change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from medvl.phantom.acquisition import sample_acquisitions
from medvl.phantom.disease import CHRONIC, Lesion, changes_at, findings_at, sample_lesions, unchanged
from medvl.phantom.draws import generator, integer
from medvl.phantom.facts import Device, Difficulty, Patient, Visit
from medvl.phantom.identifiers import patient_id, study_id
from medvl.phantom.lines_and_tubes import sample_devices
from medvl.phantom.timeline import Illness, Moment, Occasion, sample_timeline

Split = Literal["train", "validate", "test"]

DEFAULT = Difficulty()
SPLITS: dict[Split, int] = {"train": 7, "validate": 1, "test": 2}  # of every ten patients in a row
SIZE_SD = (0.04, 0.05, 0.06)  # of the body's scale along x, y, z
WOMEN = 0.92  # their scale
REASON_FOR: dict[Illness, tuple[str, ...]] = {
    "none": ("chest_pain", "cough", "preoperative", "dyspnea"),
    "heart_failure": ("dyspnea", "heart_failure", "heart_failure", "chest_pain"),
    "pneumonia": ("fever", "cough", "fever", "dyspnea"),
    "trauma": ("trauma",),
    "malignancy": ("cough", "follow_up", "follow_up", "dyspnea"),
    "surgery": ("preoperative", "follow_up", "dyspnea", "chest_pain"),
}
REASON_OF_DEVICE = {
    "endotracheal_tube": "intubation",
    "nasogastric_tube": "line_placement",
    "central_venous_line": "line_placement",
    "chest_tube": "line_placement",
}


def sample_cohort(patients: int, *, seed: int, difficulty: Difficulty = DEFAULT) -> Iterator[Patient]:
    """The first ``patients`` patients of a world, in order of index."""
    for index in range(patients):
        yield sample_patient(index, seed=seed, difficulty=difficulty)


def sample_patient(index: int, *, seed: int, difficulty: Difficulty = DEFAULT, least_visits: int = 1) -> Patient:
    """One patient with all visits.

    Args:
        index: 0 … 1,999,999; patients of one seed have different identifiers.
        seed: of the world.
        difficulty: what makes it hard; prevalences do not depend on it.
        least_visits: whoever was drawn fewer visits gets that many.

    Raises:
        ValueError: if the index is out of range.
    """
    name = patient_id(seed, index)
    draw = generator(seed, "body", index)
    age = int(np.clip(draw.normal(62, 17), 18, 94))
    sex: Literal["F", "M"] = "F" if draw.random() < 0.48 else "M"
    size = (1 + draw.normal(0, SIZE_SD)) * (WOMEN if sex == "F" else 1.0)
    moments, occasions = sample_timeline(seed, index, confounding=difficulty.confounding, least_visits=least_visits)
    lesions = sample_lesions(seed, index, moments=moments, change=difficulty.change)
    devices = sample_devices(seed, index, moments=moments, lesions=lesions, age=age, confounding=difficulty.confounding)
    return Patient(
        patient_id=name,
        sex=sex,
        age=age,
        scale=(float(size[0]), float(size[1]), float(size[2])),
        fat=float(np.clip(draw.normal(16, 8), 3, 42)),
        seed=integer(seed, "patient", index),
        split=split_of(index, seed=seed),
        visits=tuple(
            _visit(seed, index, visit, occasion, moments, lesions, devices, difficulty) for visit, occasion in enumerate(occasions)
        ),
    )


def split_of(index: int, *, seed: int) -> Split:
    """The split of a patient: every ten patients in a row hold exactly the shares of ``SPLITS``."""
    of_ten = [split for split, share in SPLITS.items() for _ in range(share)]
    block, place = divmod(index, len(of_ten))
    return of_ten[int(generator(seed, "split", block).permutation(len(of_ten))[place])]


def prior_of(patient: Patient, visit: Visit) -> Visit | None:
    """The visit that ``visit.changes`` compares with: the latest strictly earlier one with a frontal film."""
    earlier = (v for v in patient.visits if v.time < visit.time and any(a.projection != "LATERAL" for a in v.acquisitions))
    return max(earlier, key=lambda v: (v.time, v.study_id), default=None)


def _visit(
    seed: int,
    patient: int,
    index: int,
    occasion: Occasion,
    moments: Sequence[Moment],
    lesions: Sequence[Lesion],
    devices: Sequence[tuple[Device, ...]],
    difficulty: Difficulty,
) -> Visit:
    moment = moments[occasion.moment]
    findings = findings_at(lesions, occasion.moment, difficulty, seed, patient, index)
    before = devices[occasion.moment - 1] if occasion.moment else ()
    return Visit(
        study_id=study_id(seed, patient, index),
        index=index,
        time=occasion.time,
        setting=moment.setting,
        reason=_reason(generator(seed, "reason", patient, index), moment, before, devices[occasion.moment], follows=index > 0),
        findings=findings,
        devices=devices[occasion.moment],
        changes=unchanged(findings) if occasion.lateral_only and index else changes_at(lesions, occasion.moment),
        acquisitions=sample_acquisitions(
            seed,
            patient,
            index,
            moment.setting,
            sick=any(f.name not in CHRONIC for f in findings),
            confounding=difficulty.confounding,
            lateral_only=occasion.lateral_only,
        ),
    )


def _reason(draw: np.random.Generator, moment: Moment, before: Sequence[Device], now: Sequence[Device], *, follows: bool) -> str:
    """Why the film was asked for: a new device first, then a follow-up, then the illness."""
    old = {device.device_id for device in before}
    new = [REASON_OF_DEVICE[d.name] for d in now if d.device_id not in old and d.name in REASON_OF_DEVICE]
    if new and draw.random() < 0.6:
        return new[0]
    if follows and draw.random() < 0.4:
        return "follow_up"
    options = REASON_FOR[moment.illness]
    return options[int(draw.integers(len(options)))]
