"""CheXmask 1.0.1: lung and heart masks of chest radiographs, with an estimate of their quality (Gaggion et al. 2024; PhysioNet).

``OriginalResolution/<dataset>.csv`` (or ``Preprocessed/``), one row per frontal image: its id, ``Dice RCA (Mean)``, ``Left Lung``,
``Right Lung`` and ``Heart`` as run lengths, ``Height``, ``Width``. Runs are pairs ``start length``, starts counted from 1 along the rows.
Left is the patient's left. Images come from the dataset that the table is named after.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medvl.data.documents import naming
from medvl.data.run_lengths import painted
from medvl.data.tables import read_batches, require_table
from medvl.records import PrivacyPolicy, Study, View

STRUCTURES = {"lung_left": "Left Lung", "lung_right": "Right Lung", "heart": "Heart"}
QUALITY = "Dice RCA (Mean)"
VIEW_IDS = {"MIMIC-CXR-JPG": "dicom_id", "Padchest": "ImageID", "VinDr-CXR": "image_id", "CheXpert": "Path", "ChestX-Ray8": "Image Index"}
MIN_QUALITY = 0.7  # as its authors advise
MAX_PIXELS = 100_000_000
FOLDERS = ("OriginalResolution", ".")

Masks = Mapping[str, NDArray[np.bool_]]


def read_masks(
    root: Path | str, *, dataset: str = "MIMIC-CXR-JPG", views: Collection[str] | None = None, min_quality: float = MIN_QUALITY
) -> Iterator[tuple[str, Masks]]:
    """Yield (view id, structure → mask (H, W)) in file order; structures are ``lung_left``, ``lung_right`` and ``heart``.

    Args:
        root: the folder of the release.
        dataset: the table's name.
        views: only these images.
        min_quality: rows whose mean Dice RCA is below are left out.

    Raises:
        MissingFile: if the table is not there.
        MissingColumns: naming the file and every absent column.
        InvalidValue: naming the row, if its runs leave the image or a value is not a number.
    """
    yield from _decoded(_table(root, dataset), dataset, views, min_quality)


def read_study_masks(studies: Iterable[Study]) -> Iterator[tuple[str, Masks]]:
    """Yield (view id, structure → mask (H, W)) for the masks that studies refer to, table by table in file order.

    Errors as ``read_masks``.
    """
    views: dict[str, set[str]] = {}
    for study in studies:
        for reference in {study.masks[name] for name in STRUCTURES if name in study.masks}:
            path, _, view_id = reference.rpartition("#")
            views.setdefault(path, set()).add(view_id)
    for path, wanted in views.items():
        yield from _decoded(Path(path), Path(path).name.partition(".")[0], wanted, min_quality=0)


def read_studies(
    root: Path | str, *, dataset: str = "MIMIC-CXR-JPG", min_quality: float = MIN_QUALITY, privacy: PrivacyPolicy = "local_only"
) -> Iterator[Study]:
    """Yield one Study per image, whose masks name this table. The release gives image ids only: they serve as study and patient id.

    Arguments and errors as ``read_masks``.
    """
    path = _table(root, dataset)
    for number, row in _rows(path, dataset, ("Height", "Width"), min_quality):
        view_id = row["view_id"]
        with naming(path, f"row {number}"):
            view = View(view_id, height=int(float(row["Height"])), width=int(float(row["Width"])))
        yield Study("chexmask", view_id, view_id, views=(view,), masks=_references(path, view_id), privacy=privacy)


def with_masks(
    studies: Iterable[Study], root: Path | str, *, dataset: str = "MIMIC-CXR-JPG", min_quality: float = MIN_QUALITY
) -> Iterator[Study]:
    """The studies with references to the masks of their frontal view in use, where there are any. Errors as ``read_masks``."""
    path = _table(root, dataset)
    known = {row["view_id"] for _, row in _rows(path, dataset, (), min_quality)}
    for study in studies:
        view = study.frontal()
        at_hand = view is not None and view.view_id in known
        yield dataclasses.replace(study, masks={**study.masks, **_references(path, view.view_id)}) if view and at_hand else study


def mask_from_runs(runs: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Run lengths ``start length start length …`` → mask of ``size`` (height, width); starts from 1, along the rows.

    Raises:
        ValueError: if the runs are not pairs of numbers within the image, or the image is larger than any radiograph.
    """
    height, width = size
    if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
        raise ValueError(f"an image of {height}×{width} pixels")
    numbers = np.array(runs.split(), np.int64)
    if len(numbers) % 2:
        raise ValueError("run lengths are not in pairs")
    return painted(numbers[::2] - 1, numbers[1::2], height * width).reshape(height, width)


def _decoded(path: Path, dataset: str, views: Collection[str] | None, min_quality: float) -> Iterator[tuple[str, Masks]]:
    for number, row in _rows(path, dataset, (*STRUCTURES.values(), "Height", "Width"), min_quality):
        if views is None or row["view_id"] in views:
            with naming(path, f"row {number}"):
                size = int(float(row["Height"])), int(float(row["Width"]))
                masks = {name: mask_from_runs(row[column] or "", size) for name, column in STRUCTURES.items()}
            yield row["view_id"], masks


def _table(root: Path | str, dataset: str) -> Path:
    return require_table([Path(root) / folder for folder in FOLDERS], dataset, "give the folder of the CheXmask release")


def _rows(path: Path, dataset: str, columns: Iterable[str], min_quality: float) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of good quality with their place in the file; the table may be larger than memory."""
    id_column = VIEW_IDS.get(dataset, "dicom_id")
    number = 1
    for batch in read_batches(path, (id_column, QUALITY, *columns)):
        for row in batch.to_pylist():
            number += 1
            with naming(path, f"row {number}"):
                good = float(row[QUALITY] or 0) >= min_quality
                row["view_id"] = str(row[id_column] or "")
            if good and row["view_id"]:
                yield number, row


def _references(path: Path, view_id: str) -> dict[str, str]:
    return dict.fromkeys(STRUCTURES, f"{path}#{view_id}")
