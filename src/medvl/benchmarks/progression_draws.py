"""What a step of fine-tuning on pairs sees: which pairs, and which of them with films exchanged or without the previous one.

Everything here is a function of (seed, step), the same for every arm.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from medvl.benchmarks.progression_films import Films
from medvl.benchmarks.progression_pairs import UNLABELLED
from medvl.metrics.progression import CLASSES


def rows_in_order(count: int, batch_size: int, seed: int, step: int) -> tuple[list[int], int]:
    """The training pairs of a step, of ``count``, each once in an epoch, and the epoch of their draws."""
    places = range(step * batch_size, (step + 1) * batch_size)
    orders = {epoch: np.random.default_rng((seed, epoch)).permutation(count) for epoch in {place // count for place in places}}
    return [int(orders[place // count][place % count]) for place in places], places[0] // count


def rows_by_class(truth: Tensor, batch_size: int, seed: int, step: int) -> tuple[list[int], int]:
    """The training pairs of a step, a finding and a class drawn before each pair, and the step as the epoch of their draws.

    Args:
        truth: (N, F) classes, see ``targets``.
    """
    draw = np.random.default_rng((seed, step))
    cells = [torch.nonzero(truth[:, f] == c)[:, 0] for f in range(truth.shape[1]) for c in range(len(CLASSES))]
    filled = [cell for cell in cells if len(cell)]
    chosen = [filled[i] for i in draw.integers(len(filled), size=batch_size)]
    return [int(cell[draw.integers(len(cell))]) for cell in chosen], step


def one_of(draws: Sequence[Films], rows: Sequence[int], seed: int, step: int) -> Films:
    """The films of a step, each pair from one of several draws of all pairs."""
    chosen = np.random.default_rng((seed, step)).integers(len(draws), size=len(rows))
    return Films(*(torch.stack([column[draw][row] for draw, row in zip(chosen, rows, strict=True)]) for column in zip(*draws, strict=True)))


def altered(films: Films, labels: Tensor, seed: int, step: int, *, swap: float, prior_dropout: float) -> tuple[Films, Tensor]:
    """The films of a step with exchanges and missing priors; where films are exchanged, labels (B, F) are reversed.

    Args:
        swap: share of pairs whose films are exchanged.
        prior_dropout: share of pairs that lose their previous film.
    """
    draw = torch.Generator().manual_seed((seed << 32) + step)
    exchanged, dropped = torch.rand(2, len(labels), generator=draw)
    turn = exchanged < swap
    by_row = turn[:, None, None, None]
    current, previous = torch.where(by_row, films.previous, films.current), torch.where(by_row, films.current, films.previous)
    turned = torch.where(labels == UNLABELLED, labels, len(CLASSES) - 1 - labels)
    return Films(current, previous, films.has_previous & (dropped >= prior_dropout)), torch.where(turn[:, None], turned, labels)
