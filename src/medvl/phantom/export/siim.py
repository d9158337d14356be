"""Masks of findings and devices in the form of SIIM-ACR Pneumothorax: ``ImageId, EncodedPixels``, a table for each structure.

Quirks kept: the second column's name and its values begin with a space, ``-1`` means none, a film with several lesions has several rows,
run lengths are column-major with relative starts on a grid of 1024². Films that are not square are stretched onto that grid. The
identifiers are MIMIC-CXR's. Departure: the release knows pneumothorax alone, whose table here is ``pneumothorax-rle.csv``.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from medvl.phantom.export.run_lengths import siim_runs
from medvl.phantom.export.study import ExportedStudy, ExportedView, Rows
from medvl.phantom.export.tables import Parts, write_csv
from medvl.phantom.facts import DeviceName, FindingName

GRID = 1024
COLUMNS = ("ImageId", " EncodedPixels")
STRUCTURES: tuple[str, ...] = (*get_args(FindingName), *get_args(DeviceName))


def export_study(study: ExportedStudy, out: Path) -> Rows:
    """For every structure a row per lesion on a frontal film, or one that says there is none."""
    return {name: [row for v in study.views if v.is_frontal for row in _rows(study, v, name)] for name in STRUCTURES}


def write_tables(out: Path, parts: Parts) -> None:
    """Write a table for each structure."""
    for name in STRUCTURES:
        write_csv(out / "siim-style" / f"{name}-rle.csv", COLUMNS, parts.rows(name))


def structure_runs(study: ExportedStudy, view: ExportedView, name: str) -> list[str]:
    """The run lengths of each lesion or device of one name on a film; what left no trace on it is absent."""
    lesions = [f.lesion_id for f in study.visit.findings if f.name == name]
    devices = [d.device_id for d in study.visit.devices if d.name == name]
    masks = [view.film.masks[key] for key in (*lesions, *devices) if key in view.film.masks]
    return [siim_runs(on_grid(mask)) for mask in masks if mask.any()]


def on_grid(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask (H, W) stretched onto the grid of 1024²."""
    return cv2.resize(mask.astype(np.uint8), (GRID, GRID), interpolation=cv2.INTER_NEAREST).astype(bool)


def _rows(study: ExportedStudy, view: ExportedView, name: str) -> list[dict[str, str]]:
    return [{"ImageId": view.view_id, " EncodedPixels": f" {runs}"} for runs in structure_runs(study, view, name) or ["-1"]]
