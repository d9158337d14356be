"""From stored values to grey levels in [0, 1], bone bright: window, lookup table, padding and inversion, as DICOM defines them.

A stored value has at most 16 bits, so every mapping is worked out once in float64 for each value that may occur and applied to the
image as one table lookup; no float64 copy of an image is made. Window functions and lookup tables follow DICOM PS3.3 C.11.1 and C.11.2;
``mimic_jpg`` follows the MIMIC-CXR-JPG release (Johnson et al. 2019): minimum to maximum, truncated to 8 bits, inverted where the film
says so, histogram equalised. The percentiles are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Intensity = Literal["minmax", "percentile", "window", "mimic_jpg"]
Levels = NDArray[np.float64]
Transform = Callable[[Levels], Levels]

PERCENTILES = (0.5, 99.5)
WINDOW_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


class NotARadiograph(Exception):
    """Why a file is refused, in words that may be shown; the reader of the file adds its name."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image as its file holds it, and how the file says it is to be seen.

    Attributes:
        words: (H, W) uint8 or uint16, the stored bits; those above ``bits`` mean nothing.
        bits: bits stored per pixel.
        signed: whether the stored bits are two's complement.
        inverted: whether the lowest value is white.
        padding: lowest and highest stored value that stand for "no image here".
        modality: stored value → modality value; ``None`` is the identity.
        voi: modality value → [0, 1], the file's window or VOI table.
        equalised: whether the image is a JPG, which the ``mimic_jpg`` rule leaves as it is.
    """

    words: NDArray[np.uint8] | NDArray[np.uint16]
    bits: int
    signed: bool = False
    inverted: bool = False
    padding: tuple[int, int] | None = None
    modality: Transform | None = None
    voi: Transform | None = None
    equalised: bool = False


def grey_levels(stored: StoredImage, intensity: Intensity) -> NDArray[np.float32]:
    """The image (H, W) in [0, 1], bone bright, padding black; a constant image is black.

    Args:
        stored: the image and how it is to be seen.
        intensity: ``minmax`` over the image outside its padding; ``percentile`` likewise, clipped at ``PERCENTILES``; ``window`` is the
            file's own, ``minmax`` where it has none; ``mimic_jpg`` is the rule of the JPG release, on stored values, padding included.
    """
    count = 1 << (8 * stored.words.dtype.itemsize)
    counts = cv2.calcHist([stored.words], [0], None, [count], [0, count]).ravel().astype(np.float64)
    values = _meaning(count, stored.bits, signed=stored.signed)
    if intensity == "mimic_jpg":
        return _mimic_jpg(stored, values, counts)
    levels = stored.modality(values) if stored.modality else values
    image = np.ones(count, bool)
    if stored.padding:
        image = (values < stored.padding[0]) | (values > stored.padding[1])
    counts = np.where(image, counts, 0.0)
    low, high = _range(levels, counts, PERCENTILES if intensity == "percentile" else None)
    if low == high:
        return np.zeros(stored.words.shape, np.float32)
    shown = stored.voi(levels) if intensity == "window" and stored.voi else (levels - low) / (high - low)
    shown = np.clip(1 - shown if stored.inverted else shown, 0, 1)
    return np.asarray(cv2.LUT(stored.words, np.where(image, shown, 0).astype(np.float32)), np.float32)


def window(center: float, width: float, function: str = "LINEAR") -> Transform:
    """A window as a transform to [0, 1] (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Raises:
        ValueError: for an unknown function, or a width that it does not allow.
    """
    least = 1.0 if function == "LINEAR" else 0.0
    if function not in WINDOW_FUNCTIONS or not np.isfinite([center, width]).all() or width < least or width == 0:
        raise ValueError(f"no {function} window has the width {width}")

    def apply(x: Levels) -> Levels:
        if function == "SIGMOID":
            return np.asarray(1 / (1 + np.exp(np.clip(-4 * (x - center) / width, -700, 700))), np.float64)
        middle, extent = (center - 0.5, width - 1) if function == "LINEAR" else (center, width)
        if extent == 0:
            return (x > middle).astype(np.float64)
        return np.clip((x - middle) / extent + 0.5, 0, 1)

    return apply


def lookup(entries: NDArray[np.unsignedinteger], first: int) -> Transform:
    """A table of modality values or greys as a transform: its ends hold beyond it (PS3.3 C.11.1.1).

    Args:
        entries: the table.
        first: the value that its first entry belongs to.
    """

    def apply(x: Levels) -> Levels:
        return entries[np.clip(np.floor(x) - first, 0, len(entries) - 1).astype(np.int64)].astype(np.float64)

    return apply


def _meaning(count: int, bits: int, *, signed: bool) -> Levels:
    """The number that each word of the container stands for."""
    values = np.arange(count) & ((1 << bits) - 1)
    if signed:
        values = np.where(values >> (bits - 1), values - (1 << bits), values)
    return values.astype(np.float64)


def _range(levels: Levels, counts: Levels, percentiles: tuple[float, float] | None) -> tuple[float, float]:
    """The lowest and highest level of the image, or two of its percentiles; equal for an image without contrast."""
    present = counts > 0
    if not present.any():
        return 0.0, 0.0
    if percentiles:
        low, high = np.percentile(levels[present], percentiles, weights=counts[present], method="inverted_cdf")
        if low < high:
            return float(low), float(high)
    return float(levels[present].min()), float(levels[present].max())


def _mimic_jpg(stored: StoredImage, values: Levels, counts: Levels) -> NDArray[np.float32]:
    """The rule of the JPG release, in its own order of operations."""
    low, high = _range(values, counts, None)
    if low == high:
        return np.zeros(stored.words.shape, np.float32)
    if stored.equalised:
        return np.divide(stored.words, 255, dtype=np.float32)
    eight = (np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    eight = np.asarray(cv2.LUT(stored.words, 255 - eight if stored.inverted else eight), np.uint8)
    return np.divide(cv2.equalizeHist(eight), 255, dtype=np.float32)
