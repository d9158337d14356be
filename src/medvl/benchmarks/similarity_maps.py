"""Similarity maps: the cosine of a text with each patch of an image, smoothed, and laid over the original image.

After BioViL's engine (microsoft/hi-ml, MIT licence): projected patches and text are brought to unit length; the map of cosines is smoothed
with a Gaussian of 1.5 patches (reflecting border, truncated at 4 σ) and resized to the part of the original that the centre crop shows, NaN
outside. Two choices have names, because figures depend on them: how values are interpolated (the engine's default is ``nearest``, its
notebook's and ours ``bilinear``), and whether the crop's place is exact (``frame``) or in whole pixels as there (``official``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn.functional import normalize

from medvl.benchmarks.embedding import device_of
from medvl.geometry import Frame, center_square_to_source

Map: TypeAlias = NDArray[np.float32]
Interpolation = Literal["bilinear", "nearest"]
Geometry = Literal["frame", "official"]


@torch.inference_mode()
def similarity_map(
    image_model: Callable[..., Any],
    text_embedding: Tensor,
    pixels: Tensor,
    previous: Tensor | None = None,
    has_previous: Tensor | None = None,
    *,
    smoothing: float | None = 1.5,
    frame: Frame | None = None,
    interpolation: Interpolation = "bilinear",
    geometry: Geometry = "frame",
) -> Map:
    """Where in one image a text is to be seen.

    Args:
        image_model: ``BioVilImageModel``, ``BioVilTImageModel``, or what returns ``projected_patch_embeddings`` (1, D, h, w) of any length.
        text_embedding: (D,) or (N, D), of any length.
        pixels: (1, C, H, W) or (C, H, W) in [0, 1], bone bright.
        previous, has_previous: the film before, as the image model takes it.
        smoothing: standard deviation of the Gaussian, in patches; ``None`` for none.
        frame: from the original image to ``pixels``; without it the map stays on the grid of patches.
        interpolation, geometry: see ``map_in_original``.

    Returns:
        Cosines in [−1, 1]: (N, h, w), or with a frame (N, height, width) of the original, NaN where the model did not look; without the
        first axis for a text embedding (D,).

    Raises:
        ValueError: for more than one image, a frame of another size, embeddings of another size, or a model in training mode.
    """
    device = device_of(image_model)
    image = pixels[None] if pixels.ndim == 3 else pixels
    if image.ndim != 4 or len(image) != 1:
        raise ValueError(f"similarity_map takes one image (1, C, H, W), got {tuple(pixels.shape)}")
    if frame is not None and frame.target != tuple(image.shape[2:]):
        raise ValueError(f"the frame leads to {frame.target}, and the pixels are {tuple(image.shape[2:])}")
    before = previous[None] if previous is not None and previous.ndim == 3 else previous
    films = (image, before, has_previous)
    patches = image_model(*(None if film is None else film.to(device) for film in films)).projected_patch_embeddings[0].float().cpu()
    texts = torch.atleast_2d(text_embedding).float().cpu()
    if texts.ndim != 2 or texts.shape[1] != len(patches):
        raise ValueError(f"patches are projected to {len(patches)} numbers, and the text embedding is {tuple(text_embedding.shape)}")
    maps = patch_similarity(normalize(patches, dim=0), normalize(texts, dim=1), smoothing=smoothing)
    if frame is not None:
        maps = map_in_original(maps, frame, interpolation=interpolation, geometry=geometry)
    return maps if text_embedding.ndim == 2 else maps[0]


def patch_similarity(patches: Tensor, texts: Tensor, *, smoothing: float | None = 1.5) -> Map:
    """Cosine of each patch with each text.

    Args:
        patches: (D, h, w), L2-normalised over D.
        texts: (N, D), L2-normalised.
        smoothing: standard deviation of the Gaussian, in patches; ``None`` for none.

    Returns:
        (N, h, w) in [−1, 1].
    """
    maps = torch.einsum("nd,dhw->nhw", texts.float(), patches.float()).numpy()
    if not smoothing:
        return maps
    return gaussian_filter(maps, sigma=(0, smoothing, smoothing), mode="reflect", truncate=4.0)


def map_in_original(
    patches: Map, frame: Frame, *, interpolation: Interpolation = "bilinear", geometry: Geometry = "frame"
) -> NDArray[np.float32]:
    """Maps (…, h, w) on the grid of patches → (…, height, width) over the original, NaN where the model did not look.

    Args:
        patches: the maps.
        frame: from the original to the model's input.
        interpolation: ``bilinear``, or ``nearest``.
        geometry: ``frame`` where the crop lies exactly; ``official`` for the engine's int(crop · short side of the original / short side
            it was resized to) whole pixels about the centre, the rounded half of the margin at the bottom and right.

    Raises:
        ValueError: for another name, or if an official square does not lie in the image because the frame is not that of a centre crop.
    """
    if interpolation not in ("bilinear", "nearest") or geometry not in ("frame", "official"):
        raise ValueError(f"there is no interpolation {interpolation!r} with geometry {geometry!r}: bilinear or nearest, frame or official")
    nearest = interpolation == "nearest"
    if geometry == "frame":
        return frame.map_to_source(patches, nearest=nearest)
    short = min(frame.source)
    resized = round(frame.scale[frame.source.index(short)] * short)
    return center_square_to_source(patches, frame.source, int(frame.target[0] * short / resized), nearest=nearest)


def frame_at(frame: Frame, resolution: int | None) -> Frame:
    """The same frame from a smaller copy of the original, whose short side is ``resolution``; unchanged if that is no smaller."""
    height, width = frame.source
    if resolution is None or min(height, width) <= resolution:
        return frame
    small = Frame.identity(frame.source).short_side(resolution).target
    return Frame.identity(small).resized(frame.source).then(frame)
