"""A film as a detector stores it: attenuation clipped about its window, quantised to 12…15 bits, in either photometric sense.

The clipping keeps direct exposure and collimated borders from eating the range: over the full range of the attenuation a film shown by
minimum and maximum would be a bright body in a black field, its lungs a few grey levels. The tone is left to the window tags.
One film in twenty has its collimated border replaced by a pixel padding value, as some vendors do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from medvl.phantom.draws import generator
from medvl.phantom.facts import Acquisition
from medvl.phantom.radiograph import Film

BELOW, ABOVE = 0.65, 0.6  # how far beyond the window's centre the stored range reaches, in window widths
PADDED = 0.05
JPEG_QUALITY = 95


@dataclass(frozen=True)
class StoredPixels:
    """What the DICOM file holds.

    Attributes:
        values: (H, W) uint16, in the sense of ``photometric``.
        window: (centre, width) in stored values.
        padding: the pixel padding value; ``None`` when there is none.
    """

    values: NDArray[np.uint16]
    bits: int
    photometric: str
    window: tuple[float, float]
    padding: int | None


def stored_pixels(film: Film, acquisition: Acquisition) -> StoredPixels:
    """Quantise a film's attenuation to the acquisition's bits; the lowest stored value leaves room for padding."""
    center, width = film.window
    low = max(float(film.attenuation.min()), center - BELOW * width)
    high = min(float(film.attenuation.max()), center + ABOVE * width)
    full = 2**acquisition.bits_stored - 1
    rng = generator("stored pixels", acquisition.view_id)
    first, last = round(full * rng.uniform(0.01, 0.04)), round(full * rng.uniform(0.93, 0.99))
    gain = (last - first) / max(high - low, 1e-6)
    values = np.rint((np.clip(film.attenuation, low, high) - low) * gain + first).astype(np.uint16)
    level, span = (center - low) * gain + first, width * gain
    inverted = acquisition.photometric == "MONOCHROME1"
    if inverted:
        values, level = full - values, full - level
    padding = (full if inverted else 0) if rng.random() < PADDED else None
    if padding is not None:
        values[_border(values.shape, acquisition.collimation)] = padding
    return StoredPixels(values, acquisition.bits_stored, acquisition.photometric, (round(level, 1), round(span, 1)), padding)


def equalised(stored: StoredPixels) -> NDArray[np.uint8]:
    """The picture of the JPG release: minimum subtracted, divided by the maximum, truncated to 8 bits, inverted, histogram equalised."""
    shifted = stored.values.astype(np.float32) - np.float32(stored.values.min())
    eight = (shifted / max(float(shifted.max()), 1.0) * 255).astype(np.uint8)
    return np.asarray(cv2.equalizeHist(255 - eight if stored.photometric == "MONOCHROME1" else eight), np.uint8)


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """An 8-bit grey picture (H, W) as JPEG, quality 95."""
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])


def png(display: NDArray[np.float32], bits: Literal[8, 16]) -> bytes:
    """A picture (H, W) in [0, 1] as a grey PNG of 8 or 16 bits."""
    levels = np.rint(display * (2**bits - 1))
    values = levels.astype(np.uint8) if bits == 8 else levels.astype(np.uint16)
    return bytes(cv2.imencode(".png", values, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1])


def _border(shape: tuple[int, ...], collimation: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    height, width = shape
    top, right, bottom, left = collimation
    border = np.ones(shape, bool)
    border[round(top * height) : round((1 - bottom) * height), round(left * width) : round((1 - right) * width)] = False
    return border
