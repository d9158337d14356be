"""Masks of a film: where an organ or a lesion really changes the picture, tight enough that a box around it is a reader's box."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from medvl.phantom import findings
from medvl.phantom.anatomy import SIDES, Thorax
from medvl.phantom.bones import Skeleton
from medvl.phantom.facts import Patient, Visit
from medvl.phantom.primitives import Points, to_patient
from medvl.phantom.projection import Beam, Image
from medvl.phantom.texture import stretched
from medvl.phantom.tissue import Tissue

Mask = NDArray[np.bool_]

LUNG_LEAST = 8.0  # mm along the ray
ORGAN_LEAST = 6.0
LESION_SHARE = {"pleural_effusion": 0.35, "edema": 0.42, "pneumothorax": 0.1}  # of its greatest length; others 0.28
LESION_LEAST = 1.0  # mm
FRACTURE_RADIUS = 13.0


def organ_masks(beam: Beam, patient: Patient, thorax: Thorax, skeleton: Skeleton, tissue: Tissue) -> dict[str, Mask]:
    """The organs of a film, (H, W) each."""
    full = (beam.height, beam.width)
    masks = {f"lung_{side}": stretched(tissue.lung[side], full) > LUNG_LEAST for side in SIDES}
    masks |= {name: stretched(values, full) > ORGAN_LEAST for name, values in tissue.organs.items()}
    column = np.stack([thorax.scoliosis, thorax.spine_y, thorax.kyphosis], axis=1)
    masks["spine"] = _stroke(beam, to_patient(column, patient), 17.0)
    masks["trachea"] = _stroke(beam, to_patient(thorax.trachea[thorax.trachea[:, 1] > -130], patient), 9.0)
    masks["carina"] = _stroke(beam, to_patient(thorax.trachea[-1:], patient), 10.0)
    for side in SIDES:
        masks[f"clavicle_{side}"] = _stroke(beam, to_patient(skeleton.clavicles[side], patient), 6.0)
    return masks


def lesion_masks(
    beam: Beam, patient: Patient, visit: Visit, skeleton: Skeleton, tissue: Tissue, organs: dict[str, Mask]
) -> dict[str, Mask]:
    """The lesions of a film by ``lesion_id``, (H, W) each; one that the view cannot show is empty."""
    full = (beam.height, beam.width)
    share = {f.lesion_id: LESION_SHARE.get(f.name, 0.28) for f in visit.findings}
    masks = {name: _changed(stretched(values, full), share[name]) for name, values in tissue.lesions.items()}
    for finding in visit.findings:
        if finding.name == "cardiomegaly":
            masks[finding.lesion_id] = organs["heart"].copy()
        elif finding.name == "enlarged_mediastinum":
            masks[finding.lesion_id] = organs["mediastinum"] & _above(beam, patient, 12.0)
    for fracture in findings.fractures(visit):
        line = skeleton.ribs[fracture.side, fracture.rib]
        cut = line[[round(fracture.position * (len(line) - 1))]]
        here = _stroke(beam, to_patient(cut, patient), FRACTURE_RADIUS)
        masks[fracture.lesion_id] = masks[fracture.lesion_id] | here if fracture.lesion_id in masks else here
    return masks


def _changed(values: Image, share: float) -> Mask:
    """Where a lesion's length is a fair share of its greatest."""
    peak = float(np.percentile(values[values > 0], 98)) if (values > 0).any() else 0.0
    return values > max(share * peak, LESION_LEAST) if peak > 0 else np.zeros(values.shape, bool)


def _above(beam: Beam, patient: Patient, y: float) -> Mask:
    row = int(np.clip(beam.project(to_patient([[0, y, 0]], patient))[0][0], 0, beam.height))
    mask = np.zeros((beam.height, beam.width), bool)
    mask[:row] = True
    return mask


def _stroke(beam: Beam, line: Points, radius: float) -> Mask:
    """A curve of the patient drawn ``radius`` millimetres thick on each side."""
    rows, columns, _ = beam.project(line)
    corners = np.round(np.stack([columns - 0.5, rows - 0.5], axis=1)).astype(np.int32)
    canvas = np.zeros((beam.height, beam.width), np.uint8)
    reach = max(1, round(radius / beam.pixel))
    if len(corners) == 1:
        cv2.circle(canvas, (int(corners[0, 0]), int(corners[0, 1])), reach, (1,), -1)
    else:
        cv2.polylines(canvas, [corners], False, (1,), 2 * reach)
    return canvas.astype(bool)
