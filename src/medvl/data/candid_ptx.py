"""CANDID-PTX: pneumothoraces, chest tubes and acute rib fractures outlined on films from New Zealand, with reports (Feng et al. 2021).

``Pneumothorax_reports.csv``: ``filename, SOPInstanceUID, StudyInstanceUID, Report, EncodedPixels``, a row per lesion, ``-1`` for none;
``filename`` begins with the patient's index, before the first underscore. ``chest_tube.csv`` and ``Rib_fracture_mask_rle.csv`` (also met
as ``acute_rib_fracture.csv``): ``anon_SOPUID, mask_rle`` and a column in between, rows for the films that have one; a film without a row
counts as having none, a film that the first table lacks is left out. Runs as in ``run_lengths`` on a grid of 1024². Films are DICOM files
named by their SOPInstanceUID, with or without ``.dcm``, in ``dataset/`` or anywhere below the root.

The release was not opened: this layout is what several public loaders agree on. They disagree on whether a run's first gap counts from 0,
as SIIM's does and as is done here, or from 1. Which tags the headers keep is not known: projection, time, sex and age are taken where they
stand. One loader finds a film that two patients' rows name; such a film is left out. A film counts as a study, since outlines and labels
are the film's; films of one study repeat its report. No split is published: ours is by the hash of the patient.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medvl.data import run_lengths
from medvl.data.hashed_split import hashed_split
from medvl.data.mimic_cxr_headers import Header, read_header
from medvl.data.tables import find_table, read_table, require_table
from medvl.records import LabelValue, PrivacyPolicy, Report, Study, View
from medvl.runtime.errors import InvalidValue

REPORTS = "Pneumothorax_reports"
FILM, FILENAME, TEXT, RUNS = "SOPInstanceUID", "filename", "Report", "EncodedPixels"
OUTLINED = ("anon_SOPUID", "mask_rle")  # the columns of the two other tables
STRUCTURES = {  # structure → its finding, and the names of its table
    "pneumothorax": ("Pneumothorax", (REPORTS,)),
    "chest_tube": ("Chest tube", ("chest_tube",)),
    "rib_fracture": ("Rib fracture", ("Rib_fracture_mask_rle", "acute_rib_fracture")),
}
GRID = (1024, 1024)
SHARES = {"train": 0.7, "validate": 0.1, "test": 0.2}
HINT = "give the folder that holds the three tables"


class _Film(NamedTuple):
    patient_id: str
    report: Report | None


def read_studies(
    root: Path | str,
    *,
    shares: Mapping[str, float] = SHARES,
    with_headers: bool = True,
    projection: str | None = "PA",
    privacy: PrivacyPolicy = "local_only",
) -> Iterator[Study]:
    """Yield one Study per film of the table of reports, in file order.

    ``labels["candid_ptx"]`` says of each of the three structures whether there is one; ``masks`` names its mask, empty where there is none.

    Args:
        root: the folder of the release.
        shares: split → share of the patients.
        with_headers: whether to read each film's header for projection, size, time, sex and age.
        projection: taken for films whose header names none; ``None`` leaves them without.
        privacy: the policy that the studies carry.

    Raises:
        MissingFile: naming the table that is not there.
        MissingColumns: naming the table and every absent column.
        InvalidValue: naming the table and the row, if it names no film or no patient.
    """
    root = Path(root)
    tables = {structure: _table(root, names) for structure, (_, names) in STRUCTURES.items()}
    runs = {structure: run_lengths.read_runs(table, *_columns(table)) for structure, table in tables.items()}
    paths = {path.name.removesuffix(".dcm"): str(path) for path in sorted(root.rglob("*")) if path.is_file()}
    for film_id, film in _films(tables["pneumothorax"]).items():
        header = _header(film_id, paths.get(film_id), with_headers, projection)
        labels: dict[str, LabelValue] = {
            finding: "positive" if runs[structure].get(film_id) else "negative" for structure, (finding, _) in STRUCTURES.items()
        }
        yield Study(
            dataset="candid_ptx",
            patient_id=film.patient_id,
            study_id=film_id,
            time=header.time,
            sex=header.sex,
            age=header.age,
            views=(header.view,),
            report=film.report,
            labels={"candid_ptx": labels},
            masks={structure: f"{table}#{film_id}" for structure, table in tables.items()},
            split=hashed_split(film.patient_id, shares),
            privacy=privacy,
        )


def read_mask(reference: str) -> NDArray[np.bool_]:
    """The mask (1024, 1024) that a study refers to as ``file#film``, the union of its outlines; it is stretched over films of another size.

    Raises:
        InvalidValue: naming the file and the film, if the table of reports has no row of it or its runs leave the grid.
    """
    name, _, film_id = reference.rpartition("#")
    table = Path(name)
    columns = _columns(table)
    if columns == OUTLINED and film_id not in run_lengths.read_runs(table, *columns):
        return np.zeros(GRID, bool)
    return run_lengths.read_mask(table, film_id, *columns, GRID)


def read_study_masks(studies: Iterable[Study]) -> Iterator[tuple[str, Mapping[str, NDArray[np.bool_]]]]:
    """Yield (view id, structure → mask (1024, 1024)) for the studies that refer to any. Errors as ``read_mask``."""
    for study in studies:
        if study.masks:
            yield study.views[0].view_id, {structure: read_mask(reference) for structure, reference in study.masks.items()}


def _table(root: Path, names: tuple[str, ...]) -> Path:
    found = (find_table(root, name) for name in names)
    return next((path for path in found if path), None) or require_table([root], names[0], HINT)


def _columns(table: Path) -> tuple[str, str]:
    return (FILM, RUNS) if table.name.startswith(REPORTS) else OUTLINED


def _films(table: Path) -> dict[str, _Film]:
    """Film → whose it is, and its report; without the films that two patients' rows name."""
    found: dict[str, _Film] = {}
    shared: set[str] = set()
    for number, row in enumerate(read_table(table, (FILM, FILENAME, TEXT)).to_pylist(), start=2):
        film_id, patient_id = (row[FILM] or "").strip(), (row[FILENAME] or "").partition("_")[0].strip()
        if not film_id or not patient_id:
            raise InvalidValue(table, f"row {number}", f"has no {FILENAME} that begins with the patient" if film_id else f"has no {FILM}")
        text = (row[TEXT] or "").strip()
        film = found.setdefault(film_id, _Film(patient_id, Report(text) if text else None))
        if film.patient_id != patient_id:
            shared.add(film_id)
    return {film_id: film for film_id, film in found.items() if film_id not in shared}


def _header(film_id: str, path: str | None, with_headers: bool, projection: str | None) -> Header:
    header = read_header(path, film_id) if path and with_headers else Header(View(film_id, path))
    return header if header.view.projection else dataclasses.replace(header, view=dataclasses.replace(header.view, projection=projection))
