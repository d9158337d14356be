"""The films of a pair as a classifier sees them: arms, controls, pixels, and an encoder's patches.

An arm is what is seen of a pair: ``current`` the current film alone, ``concatenated`` both films each encoded alone, ``registered`` the
same after the previous film was laid over the current one, ``temporal`` the pair in one pass of a multi-image encoder. The last has two
controls: ``swapped``, the films exchanged, and ``blank_prior``, no previous film.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medvl.benchmarks.embedding import RadiographSource
from medvl.data.progression_samples import ProgressionPair
from medvl.data.transforms import Augmentation, Fit, Window, cut_window, draw_window, fit_square, generator, jitter, to_tensor
from medvl.geometry import Frame

Arm = Literal["current", "concatenated", "registered", "temporal"]
ARMS: tuple[Arm, ...] = ("current", "concatenated", "registered", "temporal")
Condition = Literal["current", "concatenated", "registered", "temporal", "swapped", "blank_prior"]
CONTROLS: tuple[Condition, ...] = ("swapped", "blank_prior")


class RegisteredImages(Protocol):
    """Previous films laid over current ones, as ``medvl.data.registration.RegisteredPriors`` does."""

    def image(self, view_id: str, current_view_id: str) -> NDArray[np.uint8]:
        """The image of ``view_id`` on the grid of the current view's image (h, w)."""


class Films(NamedTuple):
    """Pixels (B, 1, S, S) of B pairs in [0, 1], bone bright, and whether each has a previous film (B,)."""

    current: Tensor
    previous: Tensor
    has_previous: Tensor

    def shown(self, condition: Condition) -> Films:
        """The films as a condition shows them."""
        if condition == "swapped":
            return Films(self.previous, self.current, self.has_previous)
        if condition == "blank_prior":
            return self._replace(has_previous=torch.zeros_like(self.has_previous))
        return self

    def to(self, device: torch.device) -> Films:
        """The films on a device."""
        return Films(*(tensor.to(device) for tensor in self))


@dataclass(frozen=True)
class PairImages:
    """The films of pairs as tensors.

    Attributes:
        images: the prepared images.
        crop, short_side, fit: how a film becomes the model's input; see ``image_batches``.
        registered: previous films laid over current ones, for the arm of that name.
        batch_size: pairs encoded at once.
    """

    images: RadiographSource
    crop: int
    short_side: int | None = None
    fit: Fit = "crop"
    registered: RegisteredImages | None = None
    batch_size: int = 32

    def batches(self, pairs: Sequence[ProgressionPair], arm: Arm, **drawn: Any) -> Iterator[Films]:
        """All pairs in order; ``drawn`` as in ``films``."""
        for start in range(0, len(pairs), self.batch_size):
            yield self.films(pairs[start : start + self.batch_size], arm, **drawn)

    def films(
        self, pairs: Sequence[ProgressionPair], arm: Arm, *, augmentation: Augmentation | None = None, seed: int = 0, epoch: int = 0
    ) -> Films:
        """B pairs, augmented or in evaluation's crop.

        Args:
            augmentation: the window is drawn once for both films of a pair, so that they stay comparable; grey levels for each.
            seed, epoch: with the current view's id they fix the draws.
        """
        current, previous = [], []
        for pair in pairs:
            image, frame = self.images.image(pair.view_id), self.images.frame(pair.view_id)
            before, frame_before = self._previous(pair, frame, arm)
            if augmentation is None:
                current.append(self._square(image, frame))
                previous.append(self._square(before, frame_before))
            else:
                draw = generator(seed, epoch, pair.view_id)
                window = draw_window(image.shape, augmentation, draw)
                current.append(self._augmented(image, frame, window, augmentation, draw))
                previous.append(self._augmented(before, frame_before, window, augmentation, draw))
        return Films(torch.stack(current), torch.stack(previous), torch.ones(len(pairs), dtype=torch.bool))

    def _previous(self, pair: ProgressionPair, current: Frame, arm: Arm) -> tuple[NDArray[np.uint8], Frame]:
        """The previous film, on the current one's grid where it was registered."""
        if arm == "registered" and self.registered is not None:
            return self.registered.image(pair.previous_view_id, pair.view_id), current
        return self.images.image(pair.previous_view_id), self.images.frame(pair.previous_view_id)

    def _square(self, image: NDArray[np.uint8], frame: Frame) -> Tensor:
        return to_tensor(fit_square(image, frame, self.crop, fit=self.fit, short_side=self.short_side)[0])

    def _augmented(
        self, image: NDArray[np.uint8], frame: Frame, window: Window, augmentation: Augmentation, draw: np.random.Generator
    ) -> Tensor:
        return to_tensor(jitter(cut_window(image, frame, self.crop, window)[0], augmentation, draw))


def encode_pairs(encoder: Callable[..., Any], arm: Arm, films: Films, *, both_orders: bool = False) -> list[Tensor]:
    """The patch maps (B, C, h, w) that an arm gives: one, or two where the films are encoded alone or a pair is read in both orders.

    Args:
        encoder: an image model, ``(current, previous, has_previous)`` → an output with ``patch_embeddings``.
        both_orders: beside what the current film shows after the previous one, what the previous film shows after the current one; zeros
            where there is no previous film.
    """
    if arm == "current":
        return [encoder(films.current).patch_embeddings]
    if arm == "temporal":
        after = encoder(films.current, films.previous, films.has_previous).patch_embeddings
        if not both_orders:
            return [after]
        before = encoder(films.previous, films.current, films.has_previous).patch_embeddings
        return [after, before * films.has_previous[:, None, None, None]]
    both = encoder(torch.cat([films.current, films.previous])).patch_embeddings  # one pass, no film sees the other
    return [both[: len(films.current)], both[len(films.current) :]]


def conditions_of(arm: Arm) -> tuple[Condition, ...]:
    """What a classifier of this arm is tested under: the arm itself, and the controls of ``temporal``."""
    return ("temporal", *CONTROLS) if arm == "temporal" else (arm,)
