"""Anatomical regions as Chest ImaGenome names them: their boxes on a film, and which of them a statement speaks of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from medvl.geometry import box_from_mask
from medvl.phantom.statements import Statement
from medvl.records import Box

Mask = NDArray[np.bool_]

ORGANS = {
    "right lung": "lung_right", "left lung": "lung_left", "trachea": "trachea", "carina": "carina", "spine": "spine",
    "right clavicle": "clavicle_right", "left clavicle": "clavicle_left", "right hemidiaphragm": "hemidiaphragm_right",
    "left hemidiaphragm": "hemidiaphragm_left", "aortic arch": "aortic_arch", "mediastinum": "mediastinum", "cardiac silhouette": "heart",
}  # fmt: skip
ZONES = {
    "apical zone": (0.0, 0.18), "upper lung zone": (0.0, 0.38), "mid lung zone": (0.38, 0.68), "lower lung zone": (0.68, 1.0),
    "costophrenic angle": (0.85, 1.0), "hilar structures": (0.34, 0.62),
}  # fmt: skip
"""Share of the lung's height, from its top."""

ATTRIBUTES: dict[str, tuple[str, str]] = {
    "atelectasis": ("anatomicalfinding", "atelectasis"),
    "cardiomegaly": ("anatomicalfinding", "enlarged cardiac silhouette"),
    "consolidation": ("anatomicalfinding", "consolidation"),
    "edema": ("anatomicalfinding", "pulmonary edema/hazy opacity"),
    "enlarged_mediastinum": ("anatomicalfinding", "mediastinal widening"),
    "fracture": ("anatomicalfinding", "rib fracture"),
    "nodule": ("anatomicalfinding", "mass/nodule (not otherwise specified)"),
    "opacity": ("anatomicalfinding", "lung opacity"),
    "pleural_effusion": ("anatomicalfinding", "pleural effusion"),
    "pleural_thickening": ("anatomicalfinding", "pleural/parenchymal scarring"),
    "pneumonia": ("disease", "pneumonia"),
    "pneumothorax": ("anatomicalfinding", "pneumothorax"),
    "endotracheal_tube": ("tubesandlines", "endotracheal tube"),
    "nasogastric_tube": ("tubesandlines", "enteric tube"),
    "central_venous_line": ("tubesandlines", "central venous line"),
    "chest_tube": ("tubesandlines", "chest tube"),
    "pacemaker": ("device", "cardiac pacer and wires"),
}
"""Subject of a statement → category and name of the attribute."""

MIDLINE: dict[str, tuple[str, ...]] = {
    "cardiomegaly": ("cardiac silhouette",),
    "enlarged_mediastinum": ("mediastinum", "upper mediastinum"),
    "endotracheal_tube": ("trachea",),
    "nasogastric_tube": ("mediastinum",),
    "central_venous_line": ("mediastinum",),
    "pacemaker": ("cardiac silhouette",),
}
BY_ZONE = {
    "apical": "apical zone", "upper": "upper lung zone", "mid": "mid lung zone", "lower": "lower lung zone", "basal": "lower lung zone",
    "perihilar": "hilar structures",
}  # fmt: skip


def anatomy_boxes(masks: Mapping[str, Mask]) -> dict[str, Box]:
    """Region → box, for the regions that a frontal film shows."""
    found = {name: box_from_mask(masks[organ]) for name, organ in ORGANS.items() if organ in masks}
    for side in ("right", "left"):
        lung = masks[f"lung_{side}"]
        found |= {f"{side} {zone}": box_from_mask(_zone(lung, zone, side)) for zone in ZONES}
    found["upper mediastinum"] = _upper_half(found.get("mediastinum"))
    return {name: box for name, box in found.items() if box is not None and box.x_max > box.x_min and box.y_max > box.y_min}


def regions_of(statement: Statement) -> frozenset[str]:
    """The regions that a statement is about; without a side, both."""
    if statement.subject in MIDLINE:
        return frozenset(MIDLINE[statement.subject])
    sides = ("right", "left") if statement.side in (None, "bilateral") else (str(statement.side),)
    zone = "costophrenic angle" if statement.subject == "pleural_effusion" else BY_ZONE.get(statement.zone or "")
    return frozenset(name for side in sides for name in (f"{side} lung", f"{side} {zone}" if zone else "") if name)


def _zone(lung: Mask, zone: str, side: str) -> Mask:
    """The part of a lung (H, W) within the zone's rows; the costophrenic angle takes the outer half, the hilum the inner third."""
    part = np.zeros_like(lung)
    box = box_from_mask(lung)
    if box is None:
        return part
    height, width = lung.shape
    top, bottom = box.y_min * height, box.y_max * height
    first, last = (round(top + share * (bottom - top)) for share in ZONES[zone])
    left, right = round(box.x_min * width), round(box.x_max * width)
    on_image_left = side == "right"  # the patient's right lies on the image's left
    if zone == "costophrenic angle":
        middle = (left + right) // 2
        left, right = (left, middle) if on_image_left else (middle, right)
    elif zone == "hilar structures":
        third = (right - left) // 3
        left, right = (right - third, right) if on_image_left else (left, left + third)
    part[first:last, left:right] = lung[first:last, left:right]
    return part


def _upper_half(box: Box | None) -> Box | None:
    return Box(box.x_min, box.y_min, box.x_max, (box.y_min + box.y_max) / 2) if box else None
