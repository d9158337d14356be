"""The tables of MIMIC-CXR and MIMIC-CXR-JPG as columns: one row per image, and label codes one row per study.

Kept in Arrow and NumPy, so that 377,110 images and 227,835 studies take some hundred megabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medvl.data.tables import find_table, read_table, require_table
from medvl.records import LabelValue
from medvl.runtime.errors import InvalidValue, MissingFile

RECORDS = "cxr-record-list"
METADATA = "mimic-cxr-2.*-metadata"
SPLIT = "mimic-cxr-2.*-split"
LABEL_TABLES = {
    "chexpert": "mimic-cxr-2.*-chexpert",
    "negbio": "mimic-cxr-2.*-negbio",
    "test_set": "mimic-cxr-2.*-test-set-labeled",
}
IDS = ("subject_id", "study_id", "dicom_id")
METADATA_COLUMNS = ("ViewPosition", "Rows", "Columns", "StudyDate", "StudyTime")
ORIENTATION = "PatientOrientationCodeSequence_CodeMeaning"
FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion", "Lung Opacity",
    "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
RENAMED = {"test_set": {"Lung Opacity": "Airspace Opacity"}}  # our name → the table's
VALUES: tuple[LabelValue, ...] = ("positive", "negative", "uncertain")
WRITTEN = ("1.0", "0.0", "-1.0", "1", "0", "-1")  # VALUES as floats, then as integers

Row = dict[str, Any]


@dataclass(frozen=True)
class LabelTable:
    """One labeller's values: ``codes`` (N, 14) is 0 where nothing is said, else 1 + the place in ``VALUES``."""

    study_ids: pa.ChunkedArray
    codes: NDArray[np.int8]

    def labels(self, row: int) -> dict[str, LabelValue]:
        """The findings of one row that the labeller speaks of."""
        return {FINDINGS[k]: VALUES[self.codes[row, k] - 1] for k in self.codes[row].nonzero()[0].tolist()}


def read_views(roots: Sequence[Path], *, need_split: bool) -> pa.Table:
    """One row per image, sorted by patient, study and image: from the metadata table, else the record list, else the folders.

    Columns: ``IDS`` and ``split``; from the metadata table also ``METADATA_COLUMNS`` and ``ORIENTATION``.

    Raises:
        MissingFile: if there is no table and no image, or no split table where one is needed.
        MissingColumns, InvalidValue: as ``read_table``; an empty identifier is invalid.
    """
    if path := find_in(roots, METADATA):
        table = read_table(path, (*IDS, *METADATA_COLUMNS), optional=(ORIENTATION,))
    elif path := find_in(roots, RECORDS):
        table = read_table(path, IDS)
    else:
        path, table = roots[-1], _listed(roots)
    for name in IDS:
        if table[name].null_count:
            raise InvalidValue(path, f"row {_first(pc.is_null(table[name])) + 2}", f"{name} is empty")
    table = table.append_column("split", _splits(roots, table["dicom_id"], need_split))
    return table.sort_by([(name, "ascending") for name in IDS]).combine_chunks()


def read_labels(path: Path, source: str) -> LabelTable:
    """A label table.

    Raises:
        MissingColumns: naming the file and every absent column.
        InvalidValue: naming the row, the finding and its value, if it is not 1.0, 0.0, -1.0 or empty.
    """
    names = [RENAMED.get(source, {}).get(finding, finding) for finding in FINDINGS]
    table = read_table(path, ("study_id", *names))
    codes = np.zeros((len(table), len(FINDINGS)), np.int8)
    for k, name in enumerate(names):
        place = pc.index_in(table[name], pa.array(WRITTEN))
        strange = pc.and_(pc.is_null(place), pc.is_valid(table[name]))
        if pc.any(strange).as_py():
            row = _first(strange)
            raise InvalidValue(path, f"row {row + 2}, {name}", f"{table[name][row]} is not one of 1.0, 0.0, -1.0 or empty")
        known = pc.is_valid(place).to_numpy()
        codes[known, k] = pc.drop_null(place).to_numpy() % len(VALUES) + 1
    return LabelTable(table["study_id"], codes)


def rows_by_patient(views: pa.Table) -> Iterator[list[Row]]:
    """The rows of one patient after another, from a table sorted by patient."""
    if not len(views):
        return
    patient = pc.dictionary_encode(views["subject_id"].combine_chunks()).indices.to_numpy()
    starts = np.flatnonzero(np.diff(patient, prepend=-1)).tolist()
    for start, stop in zip(starts, [*starts[1:], len(patient)], strict=True):
        yield views.slice(start, stop - start).to_pylist()


def find_in(roots: Sequence[Path], stem: str) -> Path | None:
    """The table in the first of the folders that has it."""
    return next((path for root in roots if (path := find_table(root, stem))), None)


def files_folder(root: Path) -> Path:
    """Where the patients' folders lie: ``root/files``, or ``root`` itself if it was given one level deeper."""
    deeper = not (root / "files").is_dir() and next(root.glob("p1?"), None) is not None
    return root if deeper else root / "files"


def _listed(roots: Sequence[Path]) -> pa.Table:
    """The images found by walking the folders, for a release without any table."""
    found = [path for r in roots for suffix in ("dcm", "jpg") for path in files_folder(r).glob(f"p1?/p*/s*/*.{suffix}")]
    ids = {path.stem: (path.parts[-3][1:], path.parts[-2][1:], path.stem) for path in found}
    if not ids:
        raise MissingFile(roots[-1] / f"{RECORDS}.csv.gz", "neither this list, nor the JPG release's metadata, nor any image was found")
    return pa.table(dict(zip(IDS, map(list, zip(*ids.values(), strict=True)), strict=True)))


def _splits(roots: Sequence[Path], dicom_ids: pa.ChunkedArray, needed: bool) -> pa.ChunkedArray | pa.Array:
    path = require_table(roots, SPLIT, "it comes with the JPG release") if needed else find_in(roots, SPLIT)
    if path is None:
        return pa.nulls(len(dicom_ids), pa.string())
    table = read_table(path, ("dicom_id", "split"))
    return table["split"].take(pc.index_in(dicom_ids, table["dicom_id"]))


def _first(column: pa.ChunkedArray) -> int:
    """The place of the first true value."""
    return int(pc.index(column, True).as_py())
