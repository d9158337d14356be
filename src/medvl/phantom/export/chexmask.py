"""CheXmask 1.0.1: lungs and heart of every frontal film as run lengths (Gaggion et al. 2024), in the original resolution.

``Left Lung`` is the patient's left. Departures: the estimated quality (Dice RCA) is drawn about 0.9, as these masks are the truth itself;
``Landmarks`` is empty.
"""

from __future__ import annotations

from pathlib import Path

from medvl.phantom.draws import generator
from medvl.phantom.export.run_lengths import chexmask_runs
from medvl.phantom.export.study import ExportedStudy, Rows
from medvl.phantom.export.tables import Parts, write_csv

STRUCTURES = {"Left Lung": "lung_left", "Right Lung": "lung_right", "Heart": "heart"}
COLUMNS = ("dicom_id", "Dice RCA (Mean)", "Dice RCA (Max)", "Landmarks", *STRUCTURES, "Height", "Width")


def export_study(study: ExportedStudy, out: Path) -> Rows:
    """A row for each frontal film whose header says so."""
    rows = []
    for view in study.views:
        if view.is_frontal and view.view_position:
            rng = generator(study.seed, "dice rca", view.view_id)
            mean = 0.98 - 0.3 * float(rng.beta(2, 6))
            height, width = view.shape
            masks = {column: chexmask_runs(view.film.masks[name]) for column, name in STRUCTURES.items()}
            quality = {"Dice RCA (Mean)": round(mean, 4), "Dice RCA (Max)": round(mean + 0.4 * (1 - mean), 4)}
            rows.append({"dicom_id": view.view_id, **quality, **masks, "Height": height, "Width": width})
    return {"masks": rows}


def write_tables(out: Path, parts: Parts) -> None:
    """Write the table."""
    write_csv(out / "chexmask" / "OriginalResolution" / "MIMIC-CXR-JPG.csv", COLUMNS, parts.rows("masks"))
