"""Radiographs released as JPG or as 8- or 16-bit PNG: opened, checked and handed on as stored values.

A grey image stored as three equal channels is grey; any other colour is refused.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medvl.data.intensity import NotARadiograph, StoredImage

FORMATS = ("JPEG", "PNG")
SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def is_raster(content: bytes) -> bool:
    """Whether the bytes begin as a JPG or a PNG does."""
    return content.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))


def read_raster(content: bytes, max_pixels: int) -> tuple[StoredImage, str]:
    """The image of a JPG or PNG file, and its format, ``jpeg`` or ``png``.

    Raises:
        NotARadiograph: if it has more than ``max_pixels``, several frames, or colours.
        Exception: Pillow's own, if the file is damaged.
    """
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        if image.width * image.height > max_pixels:
            raise NotARadiograph(f"{image.width}×{image.height} pixels are more than the {max_pixels} that a radiograph may have")
        if getattr(image, "n_frames", 1) != 1:
            raise NotARadiograph("it holds several frames")
        name = str(image.format).lower()
        words = _words(image)
    return StoredImage(words, bits=8 * words.dtype.itemsize, equalised=name == "jpeg"), name


def _words(image: Image.Image) -> NDArray[np.uint8] | NDArray[np.uint16]:
    if image.mode in SIXTEEN_BIT_MODES:
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise NotARadiograph("its pixels have more than 16 bits")
        return values.astype(np.uint16)
    if image.mode == "L":
        return np.asarray(image, np.uint8)
    red, green, blue = (np.asarray(channel, np.uint8) for channel in image.convert("RGB").split())
    if not (np.array_equal(red, green) and np.array_equal(red, blue)):
        raise NotARadiograph("it is a colour picture, not a radiograph")
    return red
