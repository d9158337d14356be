"""What an image-text benchmark asks of a model and of its images: shared by phrase grounding and zero-shot classification.

Every image is encoded once and every distinct text once, whatever the number of phrases, findings and prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medvl.data.transforms import Fit, center_crop, pad_to_square, to_tensor
from medvl.geometry import Frame


class ImageEmbeddings(Protocol):
    """What ``embed_images`` returns."""

    @property
    def projected_global_embedding(self) -> Tensor:
        """(B, D), L2-normalised."""

    @property
    def projected_patch_embeddings(self) -> Tensor:
        """(B, D, h, w), L2-normalised over D."""


class ImageTextEncoder(Protocol):
    """A model that places images, patches and texts in one space; ``medvl.models`` has several."""

    def embed_images(self, pixels: Tensor) -> ImageEmbeddings:
        """Pixels (B, 1, H, W) in [0, 1]."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(N, D), L2-normalised."""


class RadiographSource(Protocol):
    """Images by view, as ``medvl.data.prepared.PreparedDataset`` gives them."""

    def image(self, view_id: str) -> NDArray[np.uint8]:
        """The cached image (h, w); ``KeyError`` for a view that is not there."""

    def frame(self, view_id: str) -> Frame:
        """Where the cached image lies in the original."""


def image_batches(
    source: RadiographSource, view_ids: Sequence[str], crop: int, short_side: int | None, fit: Fit, batch_size: int
) -> Iterator[tuple[list[str], Tensor, list[Frame]]]:
    """Views in order as batches: their ids, pixels (B, 1, crop, crop) in [0, 1], and frames from each original to its pixels.

    Args:
        source: views that it does not have are passed over.
        view_ids: what to show.
        crop: side of the square, in pixels.
        short_side: to which the image is resized before the centre is cropped; ``crop`` by default. BioViL: 512 for crops of 448 and 480.
        fit: ``crop`` for the centre, ``pad`` for the whole image in a black square.
        batch_size: images at once, at most.
    """
    present = ((view_id, image) for view_id in view_ids if (image := _image(source, view_id)) is not None)
    while batch := list(islice(present, batch_size)):
        ids, tensors, frames = [], [], []
        for view_id, image in batch:
            frame = source.frame(view_id)
            shown = pad_to_square(image, frame, crop) if fit == "pad" else center_crop(image, frame, crop, short_side=short_side)
            ids.append(view_id)
            tensors.append(to_tensor(shown[0]))
            frames.append(shown[1])
        yield ids, torch.stack(tensors), frames


@torch.inference_mode()
def text_embeddings(model: ImageTextEncoder, texts: Sequence[str], *, batch_size: int = 256) -> dict[str, Tensor]:
    """Each distinct text → its embedding (D,) on the CPU in float32."""
    distinct = list(dict.fromkeys(texts))
    parts = [model.embed_texts(distinct[i : i + batch_size]).float().cpu() for i in range(0, len(distinct), batch_size)]
    return dict(zip(distinct, torch.cat(parts), strict=True)) if distinct else {}


def device_of(model: object) -> torch.device:
    """The device of a module's parameters; the CPU for a model without any.

    Raises:
        ValueError: if the module is in training mode, in which dropout and batch statistics would enter the figures.
    """
    if not isinstance(model, torch.nn.Module):
        return torch.device("cpu")
    if model.training:
        raise ValueError("the model is in training mode: call eval() before measuring it")
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def _image(source: RadiographSource, view_id: str) -> NDArray[np.uint8] | None:
    try:
        return source.image(view_id)
    except KeyError:
        return None
