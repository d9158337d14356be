"""SIIM-ACR Pneumothorax Segmentation: masks of pneumothorax on films from NIH ChestX-ray14 (2019).

``train-rle.csv`` (Kaggle's later ``stage_2_train.csv`` likewise): ``ImageId, EncodedPixels``; in the first, the second name and the values
begin with a space. A row per lesion, ``-1`` for none; runs as in ``run_lengths`` on a grid of 1024². Films are
``dicom-images-train/<study>/<series>/<ImageId>.dcm``, 8-bit; sex, age and projection stand in their headers only. Films of
``dicom-images-test``, and those of the training folder that have no row, are unlabelled. The release names no patients: a film counts as
its own. The labelled films came in one piece: their split is ours, by hash.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medvl.data import run_lengths
from medvl.data.hashed_split import hashed_split
from medvl.data.mimic_cxr_headers import Header, read_header
from medvl.data.tables import find_table, require_table
from medvl.records import LabelValue, PrivacyPolicy, Study, View

TABLES = ("train-rle", "stage_2_train")
FOLDERS = ("dicom-images-train", "dicom-images-test")
COLUMNS = ("ImageId", "EncodedPixels")
FINDING = "Pneumothorax"
STRUCTURE = "pneumothorax"
GRID = (1024, 1024)
SHARES = {"train": 0.7, "validate": 0.15, "test": 0.15}
UNLABELLED = "unlabelled"


def read_studies(
    root: Path | str,
    *,
    shares: Mapping[str, float] = SHARES,
    with_headers: bool = True,
    with_unlabelled: bool = False,
    privacy: PrivacyPolicy = "local_only",
) -> Iterator[Study]:
    """Yield one Study per film of the table, in file order, then the unlabelled films by name.

    ``labels["siim_ptx"]`` says whether there is a pneumothorax; ``masks["pneumothorax"]`` names the mask of every labelled film, empty
    where there is none.

    Args:
        root: the folder of the release.
        shares: split → share of the labelled films.
        with_headers: whether to read each film's header for projection, size, sex and age.
        with_unlabelled: whether to yield the films without a row, in split ``unlabelled``.
        privacy: the policy that the studies carry.

    Raises:
        MissingFile: if the table is not there.
        MissingColumns: naming the table and every absent column.
        InvalidValue: naming the row, if it names no film.
    """
    root = Path(root)
    table = find_table(root, TABLES[0]) or find_table(root, TABLES[1]) or require_table([root], TABLES[0], "give the folder of the release")
    films = {path.stem: str(path) for folder in FOLDERS for path in sorted((root / folder).rglob("*.dcm"))}
    labelled = run_lengths.read_runs(table, *COLUMNS)
    for image_id, runs in labelled.items():
        value: LabelValue = "positive" if runs else "negative"
        header = _header(image_id, films.get(image_id), with_headers)
        yield Study(
            dataset="siim_ptx",
            patient_id=image_id,
            study_id=image_id,
            sex=header.sex,
            age=header.age,
            views=(header.view,),
            labels={"siim_ptx": {FINDING: value}},
            masks={STRUCTURE: f"{table}#{image_id}"},
            split=hashed_split(image_id, shares),
            privacy=privacy,
        )
    if with_unlabelled:
        for image_id in sorted(set(films) - set(labelled)):
            header = _header(image_id, films[image_id], with_headers)
            about = Study("siim_ptx", image_id, image_id, sex=header.sex, age=header.age, views=(header.view,))
            yield dataclasses.replace(about, split=UNLABELLED, privacy=privacy)


def read_mask(reference: str) -> NDArray[np.bool_]:
    """The mask (1024, 1024) that a study refers to as ``file#image``; the film may have another size, the mask is stretched over it.

    Raises:
        InvalidValue: naming the file and the film, if it has no row or its runs leave the grid.
    """
    path, _, image_id = reference.rpartition("#")
    return run_lengths.read_mask(Path(path), image_id, *COLUMNS, GRID)


def read_study_masks(studies: Iterable[Study]) -> Iterator[tuple[str, Mapping[str, NDArray[np.bool_]]]]:
    """Yield (view id, structure → mask (1024, 1024)) for the studies that refer to one. Errors as ``read_mask``."""
    for study in studies:
        if reference := study.masks.get(STRUCTURE):
            yield study.views[0].view_id, {STRUCTURE: read_mask(reference)}


def _header(image_id: str, path: str | None, with_headers: bool) -> Header:
    return read_header(path, image_id) if path and with_headers else Header(View(image_id, path))
