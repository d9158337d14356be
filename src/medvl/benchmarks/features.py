"""Frozen features: every image encoded once, its class token and pooled patches kept, in evaluation's crop and without augmentation.

What all probes of an encoder read. Three vectors per layer: the class token, the mean and the maximum of the patch tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medvl.benchmarks.embedding import RadiographSource, device_of, image_batches
from medvl.data.transforms import Fit

Pooling = Literal["cls", "mean", "max"]
POOLINGS: tuple[Pooling, ...] = ("cls", "mean", "max")


class Encoded(Protocol):
    """What ``encode`` returns."""

    @property
    def cls_by_layer(self) -> Sequence[Tensor]:
        """(B, D) for each layer asked for."""

    @property
    def patches(self) -> Sequence[Tensor]:
        """(B, N, D) for each layer asked for."""

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) with h · w = N, row by row."""


class ImageEncoder(Protocol):
    """A model that turns images into a class token and patch tokens; ``medvl.models.vit`` has one."""

    def standardize(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) in [0, 1] → the pixels that ``encode`` takes."""

    def encode(self, pixels: Tensor, layers: Sequence[int] = (-1,), norm: bool = True) -> Encoded:
        """Tokens of the given blocks, negative from the last, normalised by the final layer norm."""


@dataclass(frozen=True)
class Features:
    """Features of N images: ``cls``, ``mean`` and ``max`` (N, layers, D) float32, the layers as they were asked for."""

    view_ids: list[str]
    pooled: dict[Pooling, NDArray[np.float32]] = field(repr=False)

    def joined(self, poolings: Sequence[Pooling], *, layer: int = -1) -> NDArray[np.float32]:
        """Several poolings of one layer side by side: (N, poolings · D)."""
        return np.concatenate([self.pooled[pooling][:, layer] for pooling in poolings], axis=1)


@dataclass(frozen=True)
class Encoding:
    """How images become features.

    Attributes:
        crop, short_side, fit: how an image becomes the encoder's input; see ``image_batches``.
        batch_size: images encoded at once.
    """

    crop: int
    short_side: int | None = None
    fit: Fit = "crop"
    batch_size: int = 32

    @torch.inference_mode()
    def extract(
        self, encoder: ImageEncoder, images: RadiographSource, view_ids: Sequence[str], *, layers: Sequence[int] = (-1,)
    ) -> Features:
        """Encode views in order; those without an image are passed over.

        Raises:
            ValueError: if the encoder is in training mode.
        """
        device = device_of(encoder)
        ids: list[str] = []
        parts: list[dict[Pooling, Tensor]] = []
        for batch_ids, pixels, _ in image_batches(images, view_ids, self.crop, self.short_side, self.fit, self.batch_size):
            encoded = encoder.encode(encoder.standardize(pixels.to(device)), layers=tuple(layers), norm=True)
            parts.append({name: tokens.float().cpu() for name, tokens in _pooled(encoded).items()})
            ids += batch_ids
        return Features(ids, {name: torch.cat([part[name] for part in parts]).numpy() for name in POOLINGS} if parts else {})

    def described(self) -> dict[str, Any]:
        """What results say of it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def _pooled(encoded: Encoded) -> dict[Pooling, Tensor]:
    """(B, layers, D) of each pooling."""
    return {
        "cls": torch.stack(list(encoded.cls_by_layer), dim=1),
        "mean": torch.stack([tokens.mean(dim=1) for tokens in encoded.patches], dim=1),
        "max": torch.stack([tokens.amax(dim=1) for tokens in encoded.patches], dim=1),
    }
