"""What every layout is handed: one study's facts, its report and its films, each drawn once and only if some layout looks at it.

A layout is a module of this package with two functions. ``export_study(study, out)`` writes the files that belong to one study and returns
the rows it owes to the layout's tables; ``write_tables(out, parts)`` writes the tables once all patients are done. Rows are plain JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from medvl.phantom.draws import generator
from medvl.phantom.export.boxes import lesion_boxes
from medvl.phantom.export.pixels import StoredPixels, stored_pixels
from medvl.phantom.facts import Acquisition, Difficulty, Patient, Visit
from medvl.phantom.radiograph import Film, render
from medvl.phantom.reports import WrittenReport
from medvl.records import FRONTAL, Box

Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class ExportedView:
    """One film of a study; drawn on first use and kept as long as the study is.

    Attributes:
        size: short side in pixels.
        noise: multiplies the quantum noise's standard deviation.
    """

    patient: Patient
    visit: Visit
    acquisition: Acquisition
    size: int
    noise: float

    @property
    def view_id(self) -> str:
        """The image's identifier: 40 hexadecimal digits in five groups."""
        return self.acquisition.view_id

    @property
    def is_frontal(self) -> bool:
        """Whether the film is PA or AP."""
        return self.acquisition.projection in FRONTAL

    @property
    def view_position(self) -> str:
        """The projection as headers spell it: one lateral in four says ``LL``; empty when the header forgot it."""
        if self.acquisition.view_position_missing:
            return ""
        left_lateral = self.acquisition.projection == "LATERAL" and self.acquisition.seed % 4 == 0
        return "LL" if left_lateral else self.acquisition.projection

    @cached_property
    def film(self) -> Film:
        """The film itself."""
        return render(self.patient, self.visit, self.acquisition, self.size, noise=self.noise)

    @cached_property
    def stored(self) -> StoredPixels:
        """The film as a detector stores it."""
        return stored_pixels(self.film, self.acquisition)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.film.display.shape
        return height, width

    @cached_property
    def boxes(self) -> Mapping[str, tuple[Box, ...]]:
        """Lesion or device identifier → the first reader's boxes; what left no trace on the film is absent."""
        shown = {f.lesion_id for f in self.visit.findings} | {d.device_id for d in self.visit.devices}
        found = {name: lesion_boxes(mask) for name, mask in self.film.masks.items() if name in shown}
        return {name: boxes for name, boxes in found.items() if boxes}


@dataclass(frozen=True)
class ExportedStudy:
    """One study on its way into the layouts.

    Attributes:
        number: the patient's running number within its site, from 0.
        prior: the visit that this one's changes refer to; ``None`` without one.
        reports: study id → report, for all visits of the patient.
        views: every film of the study.
        seed: of the cohort.
    """

    patient: Patient
    number: int
    visit: Visit
    prior: Visit | None
    reports: Mapping[str, WrittenReport]
    views: tuple[ExportedView, ...]
    seed: int
    difficulty: Difficulty

    @property
    def report(self) -> WrittenReport:
        """The report of this study."""
        return self.reports[self.visit.study_id]

    @property
    def is_last(self) -> bool:
        """Whether this is the patient's last visit."""
        return self.visit.index == self.patient.visits[-1].index

    @property
    def frontal(self) -> ExportedView | None:
        """The frontal film in use; ``None`` without one."""
        chosen = frontal_acquisition(self.visit)
        return next((v for v in self.views if v.acquisition is chosen), None)

    @property
    def folder(self) -> str:
        """The study's folder in the MIMIC-CXR tree, e.g. ``files/p10/p10000032/s50414267``."""
        return f"files/{study_path(self.patient, self.visit)}"

    def boxes_of(self, lesion_ids: tuple[str, ...], view: ExportedView) -> tuple[Box, ...]:
        """All boxes of the named lesions or devices on a view, in the order of the names."""
        return tuple(box for lesion_id in lesion_ids for box in view.boxes.get(lesion_id, ()))

    def draw(self, *key: str | int) -> float:
        """An even draw in [0, 1) that belongs to the study."""
        return float(generator(self.seed, "export", self.visit.study_id, *key).random())


def study_path(patient: Patient, visit: Visit) -> str:
    """``p10/p10000032/s50414267``: the first three characters, the patient, the study."""
    name = f"p{patient.patient_id}"
    return f"{name[:3]}/{name}/s{visit.study_id}"


def frontal_acquisition(visit: Visit) -> Acquisition | None:
    """The frontal acquisition in use: PA before AP, then by image id; one without a view position in its header does not count."""
    frontals = [a for a in visit.acquisitions if a.projection in FRONTAL and not a.view_position_missing]
    return min(frontals, key=lambda a: (FRONTAL.index(a.projection), a.view_id), default=None)


def is_evaluation_patient(patient: Patient, seed: int, *, share: float = 0.1) -> bool:
    """Whether the evaluation sets (MS-CXR and its kin) hold the patient: all test patients and a share of the others, as in reality."""
    return patient.split == "test" or float(generator(seed, "evaluation", patient.patient_id).random()) < share
