"""MS-CXR 1.1.0: boxes for phrases of the reports, as CSV and as COCO JSON (Boecking et al. 2022).

All boxes of a phrase belong together: one row per box, in pixels ``x, y, w, h`` of the original image. A phrase is a sentence that affirms
one of the eight findings; its boxes are those of every lesion it speaks of. As in reality the set holds the test patients and a few
patients of the other splits, who must then leave the training data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medvl.geometry import box_to_pixels
from medvl.phantom.export.study import ExportedStudy, ExportedView, Rows, is_evaluation_patient
from medvl.phantom.export.tables import Parts, write_csv
from medvl.runtime.files import write_json

VERSION = "1.1.0"
STEM = f"MS_CXR_Local_Alignment_v{VERSION}"
COLUMNS = ("category_name", "dicom_id", "label_text", "path", "x", "y", "w", "h", "image_width", "image_height", "split")
CATEGORIES = {
    "cardiomegaly": "Cardiomegaly",
    "opacity": "Lung Opacity",
    "edema": "Edema",
    "consolidation": "Consolidation",
    "pneumonia": "Pneumonia",
    "atelectasis": "Atelectasis",
    "pneumothorax": "Pneumothorax",
    "pleural_effusion": "Pleural Effusion",
}
SPLITS = {"train": "train", "validate": "val", "test": "test"}


def export_study(study: ExportedStudy, out: Path) -> Rows:
    """The boxes of the study's phrases on its frontal film; none outside the evaluation patients."""
    view = study.frontal
    if view is None or not is_evaluation_patient(study.patient, study.seed):
        return {}
    rows = [row for category, text, ids in _phrases(study) for row in _rows(study, view, category, text, ids)]
    return {"boxes": rows}


def write_tables(out: Path, parts: Parts) -> None:
    """Write the CSV and its COCO twin."""
    rows = list(parts.rows("boxes"))
    write_csv(out / "ms-cxr" / f"{STEM}.csv", COLUMNS, rows)
    write_json(out / "ms-cxr" / f"{STEM}.json", _coco(rows))


def _phrases(study: ExportedStudy) -> list[tuple[str, str, tuple[str, ...]]]:
    """(category, sentence, lesions) for each affirmed finding; a sentence that is said twice counts once."""
    lesions: dict[tuple[str, str], tuple[str, ...]] = {}
    for sentence in study.report.sentences:
        for statement in sentence.statements:
            if statement.status == "positive" and statement.subject in CATEGORIES:
                key = CATEGORIES[statement.subject], sentence.texts["en"]
                lesions[key] = tuple(dict.fromkeys(lesions.get(key, ()) + statement.lesion_ids))
    return [(category, text, ids) for (category, text), ids in lesions.items()]


def _rows(study: ExportedStudy, view: ExportedView, category: str, text: str, ids: tuple[str, ...]) -> list[dict[str, Any]]:
    height, width = view.shape
    rows = []
    for box in study.boxes_of(ids, view):
        x, y, w, h = (round(v) for v in box_to_pixels(box, (height, width)))
        image = {"dicom_id": view.view_id, "path": f"{study.folder}/{view.view_id}.jpg", "image_width": width, "image_height": height}
        phrase = {"category_name": category, "label_text": text, "split": SPLITS[study.patient.split]}
        rows.append({**image, **phrase, "x": x, "y": y, "w": w, "h": h})
    return rows


def _coco(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows in COCO's form; an image is listed once for each of its phrases, as in the release."""
    numbers = {name: i for i, name in enumerate(CATEGORIES.values(), start=1)}
    phrases: dict[tuple[str, str, str], int] = {}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for row in rows:
        key = row["dicom_id"], row["category_name"], row["label_text"]
        if key not in phrases:
            phrases[key] = len(phrases) + 1
            size = {"width": row["image_width"], "height": row["image_height"]}
            images.append({"id": phrases[key], "file_name": f"{row['dicom_id']}.jpg", "path": row["path"], **size, "num_annotations": 0})
        images[phrases[key] - 1]["num_annotations"] += 1
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": phrases[key],
                "category_id": numbers[row["category_name"]],
                "bbox": [row["x"], row["y"], row["w"], row["h"]],
                "area": row["w"] * row["h"],
                "iscrowd": 0,
                "label_text": row["label_text"],
                "split": row["split"],
            }
        )
    categories = [{"id": number, "name": name, "supercategory": "finding"} for name, number in numbers.items()]
    return {"info": {"version": VERSION}, "images": images, "annotations": annotations, "categories": categories}
