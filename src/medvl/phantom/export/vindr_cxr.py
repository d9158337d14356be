"""VinDr-CXR 1.0.0: boxes and labels of three readers for training, a consensus for the test (Nguyen et al. 2022).

Postero-anterior films only, a film per study. The first reader follows the lesion, the others agree as ``boxes.second_reader`` does; each
overlooks a lesion now and then. The consensus is the lesion itself. Quirks kept: ``Other disease`` in the test set's table; rows of ``No
finding`` without corners; headers stripped to sex, age and pixels, with neither patient nor view. Departure: of the 28 columns only those
that the world knows are ever positive.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pydicom
from pydicom.dataset import Dataset

from medvl.geometry import box_to_pixels
from medvl.phantom.draws import generator
from medvl.phantom.export.boxes import second_reader
from medvl.phantom.export.dicom import dicom_bytes
from medvl.phantom.export.square_film import age_at, positioned_frontals
from medvl.phantom.export.study import ExportedStudy, ExportedView, Rows
from medvl.phantom.export.tables import Parts, write_csv
from medvl.phantom.statements import infectious
from medvl.records import Box
from medvl.runtime.files import write_bytes

LOCAL = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation", "Edema", "Emphysema",
    "Enlarged PA", "ILD", "Infiltration", "Lung Opacity", "Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass",
    "Pleural effusion", "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion",
)  # fmt: skip
NO_FINDING = "No finding"
GLOBAL = ("COPD", "Lung tumor", "Pneumonia", "Tuberculosis")
COLUMNS = {
    "train": ("image_id", "rad_id", *LOCAL, *GLOBAL, "Other diseases", NO_FINDING),
    "test": ("image_id", *LOCAL, *GLOBAL, "Other disease", NO_FINDING),
}
BOX_COLUMNS = {
    "train": ("image_id", "rad_id", "class_name", "x_min", "y_min", "x_max", "y_max"),
    "test": ("image_id", "class_name", "x_min", "y_min", "x_max", "y_max"),
}
CLASSES = {
    "atelectasis": "Atelectasis", "cardiomegaly": "Cardiomegaly", "consolidation": "Consolidation", "edema": "Edema",
    "enlarged_mediastinum": "Other lesion", "fracture": "Rib fracture", "nodule": "Nodule/Mass", "pleural_effusion": "Pleural effusion",
    "pleural_thickening": "Pleural thickening", "pneumothorax": "Pneumothorax",
}  # fmt: skip
READERS, PER_FILM = 17, 3
OVERLOOKED = 0.1  # share of the lesions that a reader does not mark
KEPT = (
    "SOPClassUID", "SOPInstanceUID", "PatientSex", "Rows", "Columns", "PixelSpacing", "ImagerPixelSpacing", "SamplesPerPixel",
    "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "WindowCenter", "WindowWidth",
    "RescaleIntercept", "RescaleSlope", "PixelPaddingValue", "PixelData",
)  # fmt: skip

Marks = list[tuple[str, Box]]  # class and box


def export_study(study: ExportedStudy, out: Path) -> Rows:
    """Write the study's PA film, if it has one; its readers' rows, or its consensus."""
    view = next((v for v in positioned_frontals(study) if v.view_position == "PA"), None)
    if view is None:
        return {}
    part = "test" if study.patient.split == "test" else "train"
    write_bytes(out / "vindr-cxr" / part / f"{image_id(view)}.dicom", _stripped(dicom_bytes(study, view), age_at(study)))
    seen = [(CLASSES[f.name], box) for f in study.visit.findings for box in view.boxes.get(f.lesion_id, ())]
    rows: Rows = {f"boxes_{part}": [], f"labels_{part}": []}
    for reader, marks in _readings(view, seen) if part == "train" else [("", seen)]:
        named = {"image_id": image_id(view)} | ({"rad_id": reader} if reader else {})
        rows[f"boxes_{part}"] += [named | row for row in _boxes(view, marks)]
        rows[f"labels_{part}"].append(named | _labels(study, marks, part))
    return rows


def write_tables(out: Path, parts: Parts) -> None:
    """Write the four tables."""
    for part, columns in COLUMNS.items():
        folder = out / "vindr-cxr" / "annotations"
        write_csv(folder / f"image_labels_{part}.csv", columns, parts.rows(f"labels_{part}"))
        write_csv(folder / f"annotations_{part}.csv", BOX_COLUMNS[part], parts.rows(f"boxes_{part}"))


def image_id(view: ExportedView) -> str:
    """The film's identifier: 32 hexadecimal digits."""
    return uuid5(NAMESPACE_OID, f"vindr {view.view_id}").hex


def _readings(view: ExportedView, seen: Marks) -> Iterator[tuple[str, Marks]]:
    rng = generator("vindr readers", view.view_id)
    for place, number in enumerate(sorted(rng.choice(READERS, PER_FILM, replace=False).tolist())):
        noticed = [mark for mark in seen if rng.random() >= OVERLOOKED]
        yield f"R{number + 1}", [(name, box if place == 0 else second_reader(box, rng)) for name, box in noticed]


def _boxes(view: ExportedView, marks: Marks) -> list[dict[str, Any]]:
    rows = []
    for name, box in marks:
        x, y, width, height = box_to_pixels(box, view.shape)
        corners = {"x_min": x, "y_min": y, "x_max": x + width, "y_max": y + height}
        rows.append({"class_name": name, **{key: round(value, 4) for key, value in corners.items()}})
    return rows or [{"class_name": NO_FINDING}]


def _labels(study: ExportedStudy, marks: Marks, part: str) -> dict[str, int]:
    positive = {name for name, _ in marks}
    if infectious(study.visit) and "Consolidation" in positive:
        positive.add("Pneumonia")
    named = [name for name in COLUMNS[part] if name not in ("image_id", "rad_id")]
    return {name: int(name in (positive or {NO_FINDING})) for name in named}


def _stripped(file: bytes, age: int) -> bytes:
    """The film with no more in its header than the release left."""
    full = pydicom.dcmread(io.BytesIO(file))
    ds = Dataset()
    ds.file_meta = full.file_meta
    for name in KEPT:
        if name in full:
            ds[name] = full[name]
    ds.PatientAge = f"{age:03d}Y"
    stripped = io.BytesIO()
    ds.save_as(stripped, enforce_file_format=True)
    return stripped.getvalue()
