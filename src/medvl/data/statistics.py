"""Mean and standard deviation of the grey levels of prepared datasets, for standardising what a model sees.

One pass over the cached images, in manifest order: exact integer sums of levels and of their squares, so that the figures do not depend
on the order or on rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from medvl.data.prepared import PreparedDataset
from medvl.runtime.errors import UserError


class ConstantImages(UserError):
    """Images that show nothing: all grey levels are the same."""


@dataclass(frozen=True, slots=True)
class GreyLevels:
    """Statistics of pixels in [0, 1], and how they were computed: they travel with the checkpoint.

    Attributes:
        mean, std: over all pixels of all images, every pixel counting once.
        images, pixels: how many were seen.
        source: the split and the fingerprints of the prepared datasets.
    """

    mean: float
    std: float
    images: int
    pixels: int
    source: str


def grey_levels(parts: Iterable[tuple[PreparedDataset, Iterable[str]]], *, source: str) -> GreyLevels:
    """Mean and standard deviation over the cached pixels of some views, of one dataset or of several.

    Raises:
        ConstantImages: naming the folders, if every pixel has the same level.
    """
    histogram = np.zeros(256, np.int64)
    images, folders = 0, []
    for prepared, view_ids in parts:
        folders.append(str(prepared.folder))
        for view_id in view_ids:
            histogram += np.bincount(prepared.image(view_id).reshape(-1), minlength=256)
            images += 1
    pixels = int(histogram.sum())
    levels = np.arange(256)
    if np.count_nonzero(histogram) < 2:
        raise ConstantImages(f"{', '.join(folders)}: all pixels of {images} images have one grey level: decoding failed, prepare them anew")
    total, squares = int(histogram @ levels), int(histogram @ levels**2)
    variance = (squares * pixels - total**2) / pixels**2
    return GreyLevels(mean=total / pixels / 255, std=float(np.sqrt(variance)) / 255, images=images, pixels=pixels, source=source)
