"""Patients of MIMIC-CXR who are kept for evaluation: those of MS-CXR, MS-CXR-T and Chest ImaGenome's gold set.

Most of them lie in MIMIC-CXR's own training split (752 of MS-CXR's 851), so that training on that split would train on the test.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from medvl.data import ms_cxr, ms_cxr_t
from medvl.data.tables import find_table, read_table
from medvl.records import Study
from medvl.runtime.errors import MissingFile

HELD_OUT_SPLITS = ("train", "validate")
EVALUATION = "evaluation"
AVOID = ("silver_dataset/splits/images_to_avoid", "splits/images_to_avoid", "images_to_avoid")
GOLD_COMPARISONS = "gold_dataset/gold_object_comparison_with_coordinates.txt"


def evaluation_patients(*, ms_cxr: Path | None = None, ms_cxr_t: Path | None = None, chest_imagenome: Path | None = None) -> set[str]:
    """The patient ids of the evaluation sets whose folders are given.

    Raises:
        MissingFile: if a folder lacks its tables.
        MissingColumns, InvalidValue: as the sets' readers.
    """
    patients: set[str] = set()
    if ms_cxr is not None:
        patients |= _ms_cxr_patients(ms_cxr)
    if ms_cxr_t is not None:
        patients |= _ms_cxr_t_patients(ms_cxr_t)
    if chest_imagenome is not None:
        patients |= _gold_patients(chest_imagenome)
    return patients


def hold_out(studies: Iterable[Study], patients: set[str], *, counts: Counter[str] | None = None) -> Iterator[Study]:
    """The studies, those of the given patients moved from ``train`` and ``validate`` to the split ``evaluation``.

    Args:
        counts: gains the number of studies moved, by the split they leave, and under ``patients`` the number of patients; without it
            a line with the numbers is printed on the error stream at the end.
    """
    moved: Counter[str] = Counter() if counts is None else counts
    seen: set[str] = set()
    for study in studies:
        if study.patient_id in patients and study.split in HELD_OUT_SPLITS:
            moved[str(study.split)] += 1
            moved["patients"] += study.patient_id not in seen
            seen.add(study.patient_id)
            study = dataclasses.replace(study, split=EVALUATION)
        yield study
    if counts is None and patients:
        print(
            f"{moved['patients']} evaluation patients held out: {moved['train']} studies of train, {moved['validate']} of validate",
            file=sys.stderr,
        )


def _ms_cxr_patients(root: Path) -> set[str]:
    return {study.patient_id for study in ms_cxr.read_studies(root)}


def _ms_cxr_t_patients(root: Path) -> set[str]:
    return {pair.current.patient_id for pair in ms_cxr_t.read_image_pairs(root)}


def _gold_patients(root: Path) -> set[str]:
    """Chest ImaGenome's 500 gold patients: of the images to avoid, and of the gold comparisons where that list is not at hand."""
    for stem in AVOID:
        if path := find_table(root, stem):
            return _column(path, ",", "subject_id")
    path = root / GOLD_COMPARISONS
    if not path.is_file():
        raise MissingFile(root / f"{AVOID[0]}.csv", "give the folder of the Chest ImaGenome release")
    return _column(path, "\t", "patient_id")


def _column(path: Path, delimiter: str, name: str) -> set[str]:
    return {value for value in read_table(path, (name,), delimiter=delimiter)[name].to_pylist() if value}
