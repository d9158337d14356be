"""What an image-text benchmark asks of a model and of its images: shared by grounding, zero-shot classification and retrieval.

Every image is encoded once and every distinct text once, whatever the number of phrases, findings and prompts. A prompt ensemble is one
direction, as in BioViL's engine: the mean of its prompts' projections *before* they are brought to unit length, then of unit length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from medvl.data.transforms import Fit, fit_square, to_tensor
from medvl.geometry import Frame
from medvl.runtime.errors import UserError


class NoPriors(UserError):
    """Films before were asked for, and the source of images does not say which they are."""


class ImageEmbeddings(Protocol):
    """What ``embed_images`` returns."""

    @property
    def projected_global_embedding(self) -> Tensor:
        """(B, D), L2-normalised."""

    @property
    def projected_patch_embeddings(self) -> Tensor:
        """(B, D, h, w), L2-normalised over D."""


class TextEncoder(Protocol):
    """A model that embeds texts: ``CxrBert``, or one that places images in the same space."""

    def embed_texts(self, texts: Sequence[str], *, truncate: bool = False, unit_length: bool = True) -> Tensor:
        """(N, D), L2-normalised unless told otherwise; texts that are too long are refused, or cut."""


class ImageTextEncoder(TextEncoder, Protocol):
    """A model that places images, patches and texts in one space; ``medvl.models`` has several."""

    def embed_images(self, pixels: Tensor, previous: Tensor | None = None, has_previous: Tensor | None = None) -> ImageEmbeddings:
        """Pixels (B, 1, H, W) in [0, 1]; the films before, of the same shape, and which of the B have one, (B,) boolean."""


class RadiographSource(Protocol):
    """Images by view, as ``medvl.data.prepared.PreparedDataset`` gives them."""

    def image(self, view_id: str) -> NDArray[np.uint8]:
        """The cached image (h, w); ``KeyError`` for a view that is not there."""

    def frame(self, view_id: str) -> Frame:
        """Where the cached image lies in the original."""


@runtime_checkable
class PriorSource(Protocol):
    """A source of images that knows each study's film before, as ``PreparedDataset`` does."""

    def prior_view(self, study_id: str) -> str | None:
        """The view of the film before; ``None`` without one."""


class EmbeddedBatch(NamedTuple):
    """B views: their ids, embeddings (B, D) and patches (B, D, h, w) of unit length on the CPU in float32, and their frames."""

    view_ids: list[str]
    whole: Tensor
    patches: Tensor
    frames: list[Frame]


def image_batches(
    source: RadiographSource, view_ids: Sequence[str], crop: int, short_side: int | None, fit: Fit, batch_size: int
) -> Iterator[tuple[list[str], Tensor, list[Frame]]]:
    """Views in order as batches: their ids, pixels (B, 1, crop, crop) in [0, 1], and frames from each original to its pixels.

    Args:
        source: views that it does not have are passed over.
        view_ids: what to show.
        crop: side of the square, in pixels.
        short_side: to which the image is resized before the centre is cropped; ``crop`` by default. BioViL: 512 for crops of 448 and 480.
        fit: ``crop`` for the centre, ``pad`` for the whole image in a black square, ``stretch`` for the whole image without its aspect.
        batch_size: images at once, at most.
    """
    squares = ((view_id, shown) for view_id in view_ids if (shown := _square(source, view_id, crop, short_side, fit)) is not None)
    while batch := list(islice(squares, batch_size)):
        yield [view_id for view_id, _ in batch], torch.stack([pixels for _, (pixels, _) in batch]), [frame for _, (_, frame) in batch]


def embedded_batches(
    model: ImageTextEncoder,
    source: RadiographSource,
    view_ids: Sequence[str],
    crop: int,
    short_side: int | None,
    fit: Fit,
    batch_size: int,
    *,
    priors: Mapping[str, str] | None = None,
) -> Iterator[EmbeddedBatch]:
    """Encode views in order, in the batches of ``image_batches``.

    Args:
        model: in evaluation mode.
        source, view_ids, crop, short_side, fit, batch_size: see ``image_batches``.
        priors: view → the view of the film before, which the model sees beside it, made square in the same way.

    Raises:
        ValueError: if the model is in training mode.
    """
    device, before = device_of(model), priors or {}
    for ids, pixels, frames in image_batches(source, view_ids, crop, short_side, fit, batch_size):
        films = [_square(source, before[view], crop, short_side, fit) if view in before else None for view in ids]
        yield EmbeddedBatch(ids, *embed(model, pixels, [film and film[0] for film in films], device=device), frames)


@torch.inference_mode()
def embed(
    model: ImageTextEncoder, pixels: Tensor, previous: Sequence[Tensor | None] = (), *, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Encode pixels (B, 1, H, W), each with the film before (1, H, W) or ``None``: embeddings (B, D) and patches (B, D, h, w)."""
    if any(film is not None for film in previous):
        films = torch.stack([torch.zeros_like(pixels[0]) if film is None else film for film in previous])
        has_previous = torch.tensor([film is not None for film in previous])
        found = model.embed_images(pixels.to(device), films.to(device), has_previous.to(device))
    else:
        found = model.embed_images(pixels.to(device))
    return found.projected_global_embedding.float().cpu(), found.projected_patch_embeddings.float().cpu()


def prior_views(source: RadiographSource, study_ids: Mapping[str, str]) -> dict[str, str]:
    """View → the view of the film before, for those that have one.

    Args:
        source: knows the films before.
        study_ids: view → its study.

    Raises:
        NoPriors: if the source does not know them.
    """
    if not isinstance(source, PriorSource):
        raise NoPriors(f"{type(source).__name__} does not say which film came before another; give a prepared dataset, or use_prior=false")
    return {view: before for view, study in study_ids.items() if (before := source.prior_view(study)) is not None}


@torch.inference_mode()
def text_embeddings(
    model: TextEncoder, texts: Sequence[str], *, batch_size: int = 256, truncate: bool = False, unit_length: bool = True
) -> dict[str, Tensor]:
    """Each distinct text → its embedding (D,) on the CPU in float32.

    Args:
        model: in evaluation mode.
        texts: in any number, the same one several times.
        batch_size: texts at once, at most.
        truncate: cut texts that are too long for the model; they are refused otherwise.
        unit_length: whether embeddings are of unit length, or the projections as they are.
    """
    distinct = list(dict.fromkeys(texts))
    options = {**({"truncate": True} if truncate else {}), **({} if unit_length else {"unit_length": False})}
    parts = [model.embed_texts(distinct[i : i + batch_size], **options).float().cpu() for i in range(0, len(distinct), batch_size)]
    return dict(zip(distinct, torch.cat(parts), strict=True)) if distinct else {}


def ensemble_direction(projections: Sequence[Tensor]) -> Tensor:
    """The direction (D,) of a prompt ensemble: the mean of projections (D,), not of unit length each, brought to unit length.

    Example: (3, 0) and (0, 1) have the mean (1.5, 0.5) and the direction (0.949, 0.316); the longer projection weighs more.
    """
    return normalize(torch.stack(list(projections)).mean(dim=0), dim=0)


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


def present_views(source: RadiographSource, view_ids: Sequence[str]) -> list[str]:
    """Those of the views whose image is there, in order."""
    return [view_id for view_id in view_ids if _image(source, view_id) is not None]


def _image(source: RadiographSource, view_id: str) -> NDArray[np.uint8] | None:
    try:
        return source.image(view_id)
    except KeyError:
        return None


def _square(source: RadiographSource, view_id: str, crop: int, short_side: int | None, fit: Fit) -> tuple[Tensor, Frame] | None:
    """Pixels (1, crop, crop) and frame of a view; ``None`` if it is not there."""
    if (image := _image(source, view_id)) is None:
        return None
    square, frame = fit_square(image, source.frame(view_id), crop, fit=fit, short_side=short_side)
    return to_tensor(square), frame
