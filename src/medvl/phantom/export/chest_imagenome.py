"""Chest ImaGenome 1.0.0: a scene graph per frontal film, own splits, and the gold comparisons of held-out patients (Wu et al. 2021).

``silver_dataset/scene_graph.zip`` holds ``<dicom_id>_SceneGraph.json``: objects (anatomy boxes, in pixels of the original and of a 224²
frame into which the film is fitted and padded), attributes (what each sentence says of a box) and relationships (change of a box since the
prior study). ``gold_dataset/`` holds boxes and comparisons of the gold patients, whose images ``images_to_avoid.csv`` keeps out of
training. Departures: boxes and comparisons are the phantom's truth rather than a pipeline's output; synsets are empty; of the gold tables
only these two are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medvl.geometry import box_to_pixels
from medvl.phantom.export.anatomy_boxes import ATTRIBUTES, anatomy_boxes, regions_of
from medvl.phantom.export.study import ExportedStudy, ExportedView, Rows, frontal_acquisition, is_evaluation_patient
from medvl.phantom.export.tables import Parts, write_csv, write_zip
from medvl.phantom.facts import Acquisition
from medvl.phantom.statements import Statement
from medvl.records import Box

SMALL = 224
SPLITS = {"train": "train", "validate": "valid", "test": "test"}
SPLIT_COLUMNS = ("", "subject_id", "study_id", "dicom_id", "path", "ViewPosition")
BOX_COLUMNS = (
    "image_id", "x1", "y1", "x2", "y2", "width", "height", "bbox_name", "annot_id", "original_x1", "original_x2", "original_y1",
    "original_y2", "original_width", "original_height", "annotator", "coord224", "coord_original",
)  # fmt: skip
COMPARISON_COLUMNS = (
    "patient_id", "relationship_id", "subject_id", "object_id", "bbox", "comparison", "attribute", "sentence", "bbox_coord_224_subject",
    "bbox_coord_224_object", "bbox_coord_original_subject", "bbox_coord_original_object", "label_name", "current_image_id",
    "previous_image_id",
)  # fmt: skip
COMPARISON = {"new": "worsened", "worsening": "worsened", "stable": "no change", "improving": "improved", "resolved": "improved"}
PREDICATE = {"worsened": "['Worsened']", "improved": "['Improved']", "no change": "['No status change']"}
PHRASE_LISTS = (
    "attributes", "attributes_ids", "phrases", "phrase_IDs", "sections", "comparison_cues", "temporal_cues", "severity_cues",
    "texture_cues",
)  # fmt: skip


def export_study(study: ExportedStudy, out: Path) -> Rows:
    """The scene graph of each frontal film and its row in the splits."""
    gold = is_evaluation_patient(study.patient, study.seed)
    views = [v for v in study.views if v.is_frontal and v.view_position]
    listed = {"subject_id": study.patient.patient_id, "study_id": study.visit.study_id}
    return {
        "graphs": [{"gold": gold, "graph": _graph(study, view)} for view in views],
        "avoid" if gold else SPLITS[study.patient.split]: [
            {**listed, "dicom_id": v.view_id, "path": f"{study.folder}/{v.view_id}.dcm", "ViewPosition": v.view_position} for v in views
        ],
    }


def write_tables(out: Path, parts: Parts) -> None:
    """Write the archive, the splits and the gold tables."""
    silver, gold = out / "chest-imagenome" / "silver_dataset", out / "chest-imagenome" / "gold_dataset"
    write_zip(silver / "scene_graph.zip", _members(parts))
    for name in SPLITS.values():
        rows = ({"": i, **row} for i, row in enumerate(parts.rows(name)))
        write_csv(silver / "splits" / f"{name}.csv", SPLIT_COLUMNS, rows)
    write_csv(silver / "splits" / "images_to_avoid.csv", SPLIT_COLUMNS[1:], parts.rows("avoid"))
    graphs = {row["graph"]["image_id"]: row["graph"] for row in parts.rows("graphs") if row["gold"]}
    write_csv(gold / "gold_bbox_coordinate_annotations_1000images.csv", BOX_COLUMNS, _gold_boxes(graphs))
    write_csv(gold / "gold_object_comparison_with_coordinates.txt", COMPARISON_COLUMNS, _gold_comparisons(graphs), delimiter="\t")


def _members(parts: Parts) -> Iterator[tuple[str, bytes]]:
    for row in parts.rows("graphs"):
        graph = row["graph"]
        yield f"scene_graph/{graph['image_id']}_SceneGraph.json", json.dumps(graph, ensure_ascii=False).encode()


def _graph(study: ExportedStudy, view: ExportedView) -> dict[str, Any]:
    boxes = anatomy_boxes(view.film.masks)
    time = study.visit.time
    age = study.patient.age + time.year - study.patient.visits[0].time.year
    previous = frontal_acquisition(study.prior) if study.prior else None
    return {
        "image_id": view.view_id,
        "viewpoint": view.view_position,
        "patient_id": int(study.patient.patient_id),
        "study_id": int(study.visit.study_id),
        "gender": study.patient.sex,
        "age_decile": f"{age // 10 * 10}-{age // 10 * 10 + 10}",
        "reason_for_exam": study.report.sections["en"].get("indication", ""),
        "StudyOrder": study.visit.index + 1,
        "StudyDateTime": f"{time:%Y-%m-%d %H:%M:%S}",
        "objects": [_object(view, name, box) for name, box in boxes.items()],
        "attributes": _attributes(study, view, boxes),
        "relationships": _relationships(study, view, boxes, previous) if previous else [],
    }


def _object(view: ExportedView, name: str, box: Box) -> dict[str, Any]:
    height, width = view.shape
    x, y, w, h = (round(v) for v in box_to_pixels(box, (height, width)))
    scale = SMALL / max(height, width)
    left, top = (SMALL - width * scale) / 2, (SMALL - height * scale) / 2
    x1, y1, x2, y2 = (round(v) for v in (x * scale + left, y * scale + top, (x + w) * scale + left, (y + h) * scale + top))
    return {
        "object_id": f"{view.view_id}_{name}",
        "x1": x1, "y1": y1, "x2": x2, "y2": y2, "width": x2 - x1, "height": y2 - y1,
        "bbox_name": name, "synsets": [], "name": name.capitalize(),
        "original_x1": x, "original_y1": y, "original_x2": x + w, "original_y2": y + h, "original_width": w, "original_height": h,
    }  # fmt: skip


def _attributes(study: ExportedStudy, view: ExportedView, boxes: Mapping[str, Box]) -> list[dict[str, Any]]:
    """One entry per box that some sentence speaks of; its lists run parallel, an item per sentence."""
    entries: dict[str, dict[str, Any]] = {}
    for number, sentence in enumerate(study.report.sentences):
        for name in boxes:
            said = [s for s in sentence.statements if s.subject in ATTRIBUTES and name in regions_of(s)]
            if not said:
                continue
            about = {name: True, "bbox_name": name, "synsets": [], "name": name.capitalize(), "object_id": f"{view.view_id}_{name}"}
            entry = entries.setdefault(name, about | {key: [] for key in PHRASE_LISTS})
            entry["attributes"].append([_attribute(s) for s in said])
            entry["attributes_ids"].append(["" for _ in said])
            entry["phrases"].append(sentence.texts["en"])
            entry["phrase_IDs"].append(f"{study.visit.study_id}|{number}")
            entry["sections"].append("finalreport")
            entry["comparison_cues"].append([f"comparison|yes|{COMPARISON[s.change]}" for s in said if s.change])
            entry["temporal_cues"].append([])
            entry["severity_cues"].append([f"severity|yes|{s.severity_word}" for s in said if s.severity_word])
            entry["texture_cues"].append([])
    return list(entries.values())


def _attribute(statement: Statement) -> str:
    category, name = ATTRIBUTES[statement.subject]
    return f"{category}|{'yes' if statement.status == 'positive' else 'no'}|{name}"


def _relationships(study: ExportedStudy, view: ExportedView, boxes: Mapping[str, Box], previous: Acquisition) -> list[dict[str, Any]]:
    """Told changes, a relationship per sentence and box; a sentence with two directions for one box gives none."""
    found = []
    for number, sentence in enumerate(study.report.sentences):
        for name in boxes:
            said = [s for s in sentence.statements if s.change and s.subject in ATTRIBUTES and name in regions_of(s)]
            directions = sorted({COMPARISON[s.change] for s in said if s.change})
            if len(directions) != 1:
                continue
            found.append(
                {
                    "relationship_id": f"{study.visit.study_id}|{number}_{name}_{previous.view_id}",
                    "predicate": PREDICATE[directions[0]],
                    "synsets": [],
                    "relationship_names": [f"comparison|yes|{directions[0]}"],
                    "relationship_contexts": [1.0],
                    "phrase": sentence.texts["en"],
                    "attributes": [_attribute(s) for s in said],
                    "bbox_name": name,
                    "subject_id": f"{view.view_id}_{name}",
                    "object_id": f"{previous.view_id}_{name}",
                }
            )
    return found


def _gold_boxes(graphs: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for image_id, graph in graphs.items():
        for box in graph["objects"]:
            corners = {name: box[name] for name in BOX_COLUMNS if name in box}
            yield {
                **corners,
                "image_id": f"{image_id}.dcm",
                "annot_id": f"{image_id}.dcm_{box['bbox_name']}",
                "annotator": "phantom",
                "coord224": _corners(box, ""),
                "coord_original": _corners(box, "original_"),
            }


def _gold_comparisons(graphs: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    boxes = {box["object_id"]: box for graph in graphs.values() for box in graph["objects"]}
    for image_id, graph in graphs.items():
        for relation in graph["relationships"]:
            current, before = boxes[relation["subject_id"]], boxes.get(relation["object_id"])
            if before is None:
                continue
            for attribute in relation["attributes"]:
                yield {
                    "patient_id": graph["patient_id"],
                    "relationship_id": relation["relationship_id"],
                    "subject_id": relation["subject_id"],
                    "object_id": relation["object_id"],
                    "bbox": relation["bbox_name"],
                    "comparison": relation["relationship_names"][0].split("|")[2],
                    "attribute": attribute,
                    "sentence": relation["phrase"],
                    "bbox_coord_224_subject": _corners(current, ""),
                    "bbox_coord_224_object": _corners(before, ""),
                    "bbox_coord_original_subject": _corners(current, "original_"),
                    "bbox_coord_original_object": _corners(before, "original_"),
                    "label_name": attribute.split("|")[2],
                    "current_image_id": image_id,
                    "previous_image_id": relation["object_id"].split("_")[0],
                }


def _corners(box: Mapping[str, Any], prefix: str) -> str:
    return str([box[f"{prefix}{name}"] for name in ("x1", "y1", "x2", "y2")])
