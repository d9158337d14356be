"""Accuracy of scores at a threshold that other samples chose: cross-validation over groups of samples that are not independent.

    for each fold f:   t_f = argmax_t  accuracy on all samples outside f of  "positive if score ≥ t"
    a sample of f is answered rightly if  (score ≥ t_f) = truth

Every sample is answered once, by a threshold that it had no part in; the share of right answers is the cross-validated accuracy. BioViL-T
(Bannur et al. 2023) measures the similarity of sentences so, with ten folds over pairs. Here a fold takes whole groups, so that what shares
a sentence never stands on both sides; with every sample a group of its own the folds are the plain ones.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class HeldOutAnswers:
    """The answers to N samples.

    Attributes:
        correct: (N,) whether the answer is right.
        folds: (N,) the fold of each sample, from 0.
        thresholds: (K,) one for each fold; infinite where the others' best is to call everything, or nothing, positive.
    """

    correct: NDArray[np.bool_]
    folds: NDArray[np.int64]
    thresholds: NDArray[np.float64]


def best_threshold(positive: ArrayLike, scores: ArrayLike) -> float:
    """The threshold of the highest accuracy, where scores at or above it count as positive.

    Thresholds lie midway between neighbouring scores, or at ∓∞; of equally good ones the middle one is taken, the lower of two.

    Example: scores .1 and .4 of negatives, .3 and .8 of positives: at .2 and at .6 three of four are right; .2 is taken.

    Args:
        positive: (N,) truth, boolean.
        scores: (N,) higher for positives; finite.

    Raises:
        ValueError: if the lengths differ, there is no sample, or a score is not finite.
    """
    truth, values = np.asarray(positive, bool), np.asarray(scores, np.float64)
    if truth.shape != values.shape or truth.ndim != 1 or not len(truth):
        raise ValueError(f"truth and scores need one shape (N,), N at least 1, got {truth.shape} and {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(values))} of {len(values)} scores are not finite")
    distinct, place = np.unique(values, return_inverse=True)
    positives, negatives = (np.bincount(place, weights=of, minlength=len(distinct)) for of in (truth, ~truth))
    below = np.concatenate([[0.0], np.cumsum(negatives)])  # (G + 1,) negatives under each threshold
    above = np.concatenate([np.cumsum(positives[::-1])[::-1], [0.0]])
    thresholds = np.concatenate([[-np.inf], (distinct[1:] + distinct[:-1]) / 2, [np.inf]])
    best = np.flatnonzero(below + above == (below + above).max())
    return float(thresholds[best[(len(best) - 1) // 2]])


def held_out_answers(
    positive: ArrayLike, scores: ArrayLike, groups: Sequence[Any] | NDArray[Any], *, folds: int = 10, seed: int = 0
) -> HeldOutAnswers:
    """Answer each sample with the threshold that the other folds choose.

    Args:
        positive, scores: as ``best_threshold``.
        groups: (N,) samples of one group stand in one fold.
        folds: K, at least 2.
        seed: of the folds; see ``group_folds``.

    Raises:
        ValueError: as ``best_threshold`` and ``group_folds``.
    """
    truth, values = np.asarray(positive, bool), np.asarray(scores, np.float64)
    fold = group_folds(groups, folds=folds, seed=seed)
    thresholds = np.array([best_threshold(truth[fold != f], values[fold != f]) for f in range(folds)])
    return HeldOutAnswers((values >= thresholds[fold]) == truth, fold, thresholds)


def group_folds(groups: Sequence[Any] | NDArray[Any], *, folds: int, seed: int) -> NDArray[np.int64]:
    """(N,) the fold of each sample: groups in random order, the largest first, each to the fold that is then smallest.

    The same seed and groups give the same folds, whatever the order of the samples.

    Raises:
        ValueError: if there are fewer than two folds, or fewer groups than folds.
    """
    names, member, sizes = np.unique(np.asarray(groups, dtype=str), return_inverse=True, return_counts=True)
    if not 2 <= folds <= len(names):
        raise ValueError(f"{len(names)} groups of samples cannot make {folds} folds; at least two folds, and a group for each")
    shuffled = np.random.default_rng(seed).permutation(len(names))
    of_group = np.zeros(len(names), np.int64)
    filled = [(0, fold) for fold in range(folds)]
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        size, of_group[group] = heapq.heappop(filled)
        heapq.heappush(filled, (size + int(sizes[group]), int(of_group[group])))
    return of_group[member]


def linked_groups(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """The group of each pair: pairs that share an item, directly or through others, have one name, their alphabetically first item.

    Example: (a, b), (c, d), (d, e), (b, f) → a, c, c, a.
    """
    given = list(pairs)
    parent: dict[str, str] = {}

    def root(item: str) -> str:
        parent.setdefault(item, item)
        while parent[item] != item:
            parent[item] = item = parent[parent[item]]
        return item

    for first, second in given:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    return [root(first) for first, _ in given]
