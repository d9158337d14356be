"""MIMIC-IV: sex and age of MIMIC-CXR's patients (Johnson et al. 2023; PhysioNet, credentialed).

``hosp/patients.csv.gz``, one row per patient: ``subject_id``, ``gender``, ``anchor_age`` (years in ``anchor_year``; above 89 given as 91).
Dates of both releases are shifted alike, so the age at a study is ``anchor_age + year of the study − anchor_year``. Patients without a
hospital stay have no row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, get_args

from medvl.data.documents import naming
from medvl.data.tables import read_batches, require_table
from medvl.records import Sex, Study

COLUMNS = ("subject_id", "gender", "anchor_age", "anchor_year")
FOLDERS = ("hosp", ".", "core")  # the latter in releases before 2.0


class _Anchor(NamedTuple):
    sex: Sex | None
    age: float
    year: int


def with_patients(studies: Iterable[Study], root: Path | str) -> Iterator[Study]:
    """The studies with sex and age (years) where the patient has a row; what a study already says stays.

    Args:
        studies: of MIMIC-CXR.
        root: the folder of the release.

    Raises:
        MissingFile: if the table is not there.
        MissingColumns: naming the file and every absent column.
        InvalidValue: naming the row, if an age or a year is not a number.
    """
    anchors = _read_anchors(Path(root))
    for study in studies:
        anchor = anchors.get(study.patient_id)
        if anchor is None:
            yield study
            continue
        age = anchor.age + study.time.year - anchor.year if study.time and study.age is None else study.age
        yield dataclasses.replace(study, sex=study.sex or anchor.sex, age=age)


def _read_anchors(root: Path) -> dict[str, _Anchor]:
    path = require_table([root / folder for folder in FOLDERS], "patients", "give the folder of the MIMIC-IV release")
    anchors, number = {}, 1
    for batch in read_batches(path, COLUMNS):
        for row in batch.to_pylist():
            number += 1
            with naming(path, f"row {number}"):
                sex = next((sex for sex in get_args(Sex) if sex == row["gender"]), None)
                anchors[row["subject_id"]] = _Anchor(sex, float(row["anchor_age"] or ""), int(row["anchor_year"] or ""))
    return anchors
