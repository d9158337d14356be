"""NIH ChestX-ray14: 8-bit square PNGs, findings mined from reports, boxes on the films of the test list (Wang et al. 2017).

A finding is positive where the report affirms it, hedged or not. Quirks kept: two column names hold a comma, so that the header has eleven
fields; the boxes' rows are shorter than their header; ``Follow-up #`` counts a patient's films; boxes are in pixels of 1024². Departures:
the films have the cohort's size; on the test list all lesions of five of the eight box classes are boxed, not a sample.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2

from medvl.phantom.export.square_film import age_at, grid_box, positioned_frontals, square_picture
from medvl.phantom.export.study import ExportedStudy, ExportedView, Rows
from medvl.phantom.export.tables import Parts, write_csv, write_lines
from medvl.records import FRONTAL
from medvl.runtime.files import write_bytes

FOLDER = "images_001/images"
COLUMNS = (
    "Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender", "View Position", "OriginalImage[Width",
    "Height]", "OriginalImagePixelSpacing[x", "y]",
)  # fmt: skip
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
FINDINGS = {
    "atelectasis": "Atelectasis", "cardiomegaly": "Cardiomegaly", "consolidation": "Consolidation", "edema": "Edema",
    "pleural_effusion": "Effusion", "opacity": "Infiltration", "nodule": "Nodule", "pleural_thickening": "Pleural_Thickening",
    "pneumonia": "Pneumonia", "pneumothorax": "Pneumothorax",
}  # fmt: skip
BOXED = ("atelectasis", "cardiomegaly", "pleural_effusion", "nodule", "pneumothorax")


def export_study(study: ExportedStudy, out: Path) -> Rows:
    """Write the study's frontal films; a row for each, its place in the lists, and its boxes."""
    rows: Rows = {"films": [], "boxes": [], "train_val": [], "test": []}
    told = _told(study)
    for place, view in enumerate(positioned_frontals(study), start=_films_before(study)):
        name = f"{study.number + 1:08d}_{place:03d}.png"
        write_bytes(out / "nih-cxr14" / FOLDER / name, bytes(cv2.imencode(".png", square_picture(view))[1]))
        rows["films"].append(_row(study, view, name, place, told))
        rows["test" if study.patient.split == "test" else "train_val"].append({"name": name})
        if study.patient.split == "test":
            rows["boxes"] += _boxes(study, view, name, told)
    return rows


def write_tables(out: Path, parts: Parts) -> None:
    """Write the table, the boxes and the lists."""
    root = out / "nih-cxr14"
    write_csv(root / "Data_Entry_2017_v2020.csv", COLUMNS, parts.rows("films"))
    write_lines(root / "BBox_List_2017.csv", (BOX_HEADER, *(",".join(map(str, row.values())) for row in parts.rows("boxes"))))
    for name in ("train_val", "test"):
        write_lines(root / f"{name}_list.txt", (row["name"] for row in parts.rows(name)))


def _films_before(study: ExportedStudy) -> int:
    earlier = study.patient.visits[: study.visit.index]
    return sum(a.projection in FRONTAL and not a.view_position_missing for visit in earlier for a in visit.acquisitions)


def _told(study: ExportedStudy) -> list[str]:
    statements = (s for sentence in study.report.sentences for s in sentence.statements)
    subjects = {s.subject for s in statements if s.status == "positive"}
    return sorted(name for subject, name in FINDINGS.items() if subject in subjects)


def _row(study: ExportedStudy, view: ExportedView, name: str, place: int, told: list[str]) -> dict[str, Any]:
    (height, width), (row_spacing, column_spacing) = view.shape, view.film.pixel_spacing
    values = (
        name, "|".join(told) or "No Finding", place, study.number + 1, age_at(study), study.patient.sex, view.view_position,
        width, height, f"{column_spacing:.6g}", f"{row_spacing:.6g}",
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _boxes(study: ExportedStudy, view: ExportedView, name: str, told: list[str]) -> list[dict[str, Any]]:
    """The boxes of the findings that the report names."""
    found = [f for f in study.visit.findings if f.name in BOXED and FINDINGS[f.name] in told]
    boxes = [(FINDINGS[f.name], box) for f in found for box in view.boxes.get(f.lesion_id, ())]
    return [{"Image Index": name, "Finding Label": finding, **grid_box(box)} for finding, box in boxes]
