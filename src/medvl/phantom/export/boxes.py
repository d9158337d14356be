"""Boxes as two readers would draw them: the first follows the mask, the second agrees with the first by half to four fifths.

Reader 1: one box around each connected part of the lesion's mask, after closing gaps that no reader would leave out and dropping specks.
Reader 2: each edge moved at random until the overlap (IoU) with reader 1 lies within 0.5 and 0.8.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from medvl.geometry import box_from_pixels, box_iou
from medvl.records import Box

GAP = 0.03  # parts nearer than this share of the short side are one
SPECK = 0.12  # further parts smaller than this share of the largest are left out
SLIVER = 0.03  # and so are those thinner than this share of the short side
AGREEMENT = (0.5, 0.8)


def lesion_boxes(mask: NDArray[np.bool_]) -> tuple[Box, ...]:
    """Reader 1: boxes around the parts of a mask (H, W), largest first; empty for an empty mask."""
    if not mask.any():
        return ()
    width = max(1, round(GAP * min(mask.shape)))
    # a border, or closing would glue a lesion to the film's edge
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), width, width, width, width, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((width, width), np.uint8))
    inner = np.ascontiguousarray(closed[width:-width, width:-width])
    _, _, stats, _ = cv2.connectedComponentsWithStats(inner, connectivity=8)
    parts = sorted(stats[1:].tolist(), key=lambda part: (-part[cv2.CC_STAT_AREA], part[:4]))
    least, thin = SPECK * parts[0][cv2.CC_STAT_AREA], SLIVER * min(mask.shape)
    drawn = [(x, y, w, h) for i, (x, y, w, h, area) in enumerate(parts) if i == 0 or (area >= least and min(w, h) > thin)]
    size = (mask.shape[0], mask.shape[1])
    return tuple(box_from_pixels(*part, size=size) for part in drawn)


def second_reader(box: Box, rng: np.random.Generator) -> Box:
    """Reader 2: the box with its edges moved, overlapping the first reader's within ``AGREEMENT``."""
    width, height = box.x_max - box.x_min, box.y_max - box.y_min
    while True:
        moves = rng.uniform(-0.25, 0.25, 4) * (width, height, width, height)
        x0, y0, x1, y1 = np.clip(np.array(box.xyxy) + moves, 0, 1).tolist()
        moved = Box(x0, y0, x1, y1)
        if AGREEMENT[0] <= box_iou(box, moved) <= AGREEMENT[1]:
            return moved
