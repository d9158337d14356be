"""Many films on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from medvl.phantom.projection import Image


def contact_sheet(films: Sequence[Image], columns: int, *, cell: int = 256, gap: int = 4) -> NDArray[np.uint8]:
    """Display values (H, W) in [0, 1] on one black sheet, row by row, each fitted centrally into a square of ``cell`` pixels.

    Raises:
        ValueError: if there are no films or no columns.
    """
    if not films or columns < 1:
        raise ValueError(f"a contact sheet needs films and columns, got {len(films)} films in {columns} columns")
    rows = -(-len(films) // columns)
    sheet = np.zeros((rows * (cell + gap) + gap, columns * (cell + gap) + gap), np.uint8)
    for index, film in enumerate(films):
        ratio = cell / max(film.shape)
        height, width = (max(1, round(side * ratio)) for side in film.shape)
        picture = cv2.resize(film, (width, height), interpolation=cv2.INTER_AREA)
        top = gap + (index // columns) * (cell + gap) + (cell - height) // 2
        left = gap + (index % columns) * (cell + gap) + (cell - width) // 2
        sheet[top : top + height, left : left + width] = np.round(np.clip(picture, 0, 1) * 255)
    return sheet
