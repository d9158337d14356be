"""Pictures for a page: radiographs, heat maps and boxes as self-contained layers that a browser stacks.

A film is one element with up to three layers over the same field, the whole original image: the radiograph (JPEG), the heat map (a small
PNG whose opacity grows with the similarity; the browser smooths it), the boxes (SVG in normalised coordinates). Warm colours are the
model's, blue ones the radiologist's; the two remain apart for colour-blind readers.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from medvl.records import Box

RAMP = np.array([[255, 214, 120], [255, 158, 46], [232, 76, 48], [180, 20, 66]], np.float32)
"""Heat colours from weak to strong, RGB."""

MAX_OPACITY = 0.72
RADIOGRAPH_SIDE, HEAT_SIDE = 640, 192  # longest sides in a page, in pixels


def film(
    image: NDArray[np.uint8],
    *,
    alt: str,
    boxes: Sequence[Box] = (),
    similarity: NDArray[np.floating] | None = None,
    heat_range: tuple[float, float] = (0.0, 1.0),
) -> Markup:
    """A radiograph with its layers as HTML.

    Args:
        image: (h, w), the whole original image at any size.
        alt: what a reader who cannot see the picture is told.
        boxes: normalised to the original image.
        similarity: (H, W) over the original image at any size, NaN where the model did not look; that part is dimmed.
        heat_range: similarities that are fully transparent and fully opaque.
    """
    height, width = image.shape
    layers = [Markup('<img src="{}" alt="{}">').format(jpeg_uri(image), alt)]
    if similarity is not None:
        layers.append(Markup('<img class="heat" src="{}" alt="">').format(png_uri(heat_layer(similarity, *heat_range))))
    if boxes:
        layers.append(_box_layer(boxes))
    return Markup('<div class="film" style="aspect-ratio:{}/{}">{}</div>').format(width, height, Markup("").join(layers))


def heat_layer(similarity: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    """A similarity map (H, W) → RGBA (h, w, 4), at most ``HEAT_SIDE`` pixels long; opacity rises linearly from ``low`` to ``high``."""
    seen = ~np.isnan(similarity)
    values = _shrink(np.where(seen, similarity, low).astype(np.float32), HEAT_SIDE)
    inside = _shrink(seen.astype(np.float32), HEAT_SIDE) > 0.5
    strength = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    positions = np.linspace(0, 1, len(RAMP))
    colour = np.stack([np.interp(strength, positions, RAMP[:, channel]) for channel in range(3)], axis=-1)
    opacity = np.where(inside, strength * MAX_OPACITY, 0.45) * 255
    colour[~inside] = 0
    return np.concatenate([colour, opacity[..., None]], axis=-1).round().astype(np.uint8)


def jpeg_uri(image: NDArray[np.uint8]) -> str:
    """A grey image (h, w) as a JPEG data URI, at most ``RADIOGRAPH_SIDE`` pixels long."""
    return _uri(_shrink(image, RADIOGRAPH_SIDE), "jpeg", quality=86, optimize=True)


def png_uri(image: NDArray[np.uint8]) -> str:
    """An image (h, w) or (h, w, 4) as a PNG data URI."""
    return _uri(image, "png", optimize=True)


def _uri(image: NDArray[np.uint8], kind: str, **options: int) -> str:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _shrink(image: NDArray, side: int) -> NDArray:
    height, width = image.shape
    ratio = side / max(height, width)
    if ratio >= 1:
        return image
    return cv2.resize(image, (max(1, round(width * ratio)), max(1, round(height * ratio))), interpolation=cv2.INTER_AREA)


def _box_layer(boxes: Sequence[Box]) -> Markup:
    shape = Markup('<rect class="{}" x="{:.4f}" y="{:.4f}" width="{:.4f}" height="{:.4f}"/>')
    rectangles = [
        shape.format(kind, box.x_min, box.y_min, box.x_max - box.x_min, box.y_max - box.y_min) for kind in ("halo", "box") for box in boxes
    ]
    return Markup('<svg viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">{}</svg>').format(Markup("").join(rectangles))
