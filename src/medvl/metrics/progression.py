"""Change between two films as a classification: macro accuracy, and what happens when the films change places.

Macro accuracy (BioViL-T, Bannur et al., CVPR 2023, MS-CXR-T) is the mean recall of the classes improving, stable and worsening,

    1/3 · Σ_c  #(truth = c and prediction = c) / #(truth = c)

so that always saying the commonest class gives 1/3, where plain accuracy would pay its share. Predictions of several seeds count as the
mean of the seeds' figures, never as a vote. Exchanging current and previous film turns improving into worsening and back; ``flipped``
says what the truth becomes, ``flipped_share_of`` how many predictions follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medvl.metrics.bootstrap import Statistic

CLASSES = ("improving", "stable", "worsening")
OPPOSITE = {"improving": "worsening", "stable": "stable", "worsening": "improving"}


def macro_accuracy_of(truth: ArrayLike, predicted: ArrayLike, *, classes: Sequence[str] = CLASSES) -> Statistic:
    """Macro accuracy as a statistic of the bootstrap.

    Example: of two improving films one is found, of one stable film one, of one worsening film none: (1/2 + 1 + 0) / 3 = 1/2.

    Args:
        truth: (N,) classes.
        predicted: (N,) classes, or (S, N) those of S seeds.
        classes: what recall is averaged over.

    Returns:
        From counts (R, N) to (R,); NaN in rows that lack one of the classes: a mean over those that happen to be drawn would change its
        meaning from row to row.

    Raises:
        ValueError: if the lengths differ, or a value is not one of the classes.
    """
    true, told = _checked(truth, predicted, classes)
    is_class = np.stack([true == name for name in classes], axis=1).astype(np.float64)  # (N, K)
    found = is_class * (told == true).mean(axis=0)[:, None]  # share of the seeds that find it

    def macro_accuracy(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        counts = weights @ is_class  # (R, K)
        recall = np.divide(weights @ found, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
        return recall.mean(axis=1)

    return macro_accuracy


def macro_accuracy(truth: ArrayLike, predicted: ArrayLike, *, classes: Sequence[str] = CLASSES) -> float:
    """Macro accuracy of samples (N,); NaN if a class is absent. See ``macro_accuracy_of``."""
    return float(macro_accuracy_of(truth, predicted, classes=classes)(np.ones((1, np.size(truth))))[0])


def flipped(labels: ArrayLike) -> NDArray[np.str_]:
    """The classes after current and previous film have changed places, same shape: improving ↔ worsening.

    Raises:
        ValueError: for a value that is not a class.
    """
    given = np.asarray(labels, dtype=str)
    _known(given, CLASSES, "labels")
    return np.vectorize(OPPOSITE.__getitem__, otypes=["U9"])(given)


def flipped_share_of(predicted: ArrayLike, predicted_swapped: ArrayLike) -> Statistic:
    """Of the predictions that see a change, the share that is reversed when the films change places, as a statistic of the bootstrap.

    Example: improving, worsening, stable become worsening, worsening, improving: of the two changes one is reversed, 1/2.

    Args:
        predicted: (N,) or (S, N) classes, the films in order.
        predicted_swapped: the same, the films exchanged.

    Returns:
        From counts (R, N) to (R,); NaN in rows where no change is predicted.

    Raises:
        ValueError: if the shapes differ, or a value is not a class.
    """
    before, after = np.atleast_2d(np.asarray(predicted, dtype=str)), np.atleast_2d(np.asarray(predicted_swapped, dtype=str))
    if before.shape != after.shape:
        raise ValueError(f"predictions before and after the exchange need one shape, got {before.shape} and {after.shape}")
    _known(after, CLASSES, "predicted_swapped")
    changes = before != "stable"
    columns = np.stack([((flipped(before) == after) & changes).sum(axis=0), changes.sum(axis=0)], axis=1).astype(np.float64)  # (N, 2)

    def flipped_share(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        followed, seen = (weights @ columns).T
        return np.divide(followed, seen, out=np.full(len(weights), np.nan), where=seen > 0)

    return flipped_share


def _checked(truth: ArrayLike, predicted: ArrayLike, classes: Sequence[str]) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Truth (N,) and predictions (S, N)."""
    true, told = np.asarray(truth, dtype=str), np.atleast_2d(np.asarray(predicted, dtype=str))
    if true.ndim != 1 or told.ndim != 2 or told.shape[1] != len(true):
        raise ValueError(f"truth needs shape (N,) and predictions (N,) or (S, N), got {true.shape} and {np.shape(predicted)}")
    _known(true, classes, "truth")
    _known(told, classes, "predicted")
    return true, told


def _known(values: NDArray[Any], classes: Sequence[str], name: str) -> None:
    unknown = sorted(set(np.unique(values)) - set(classes))
    if unknown:
        raise ValueError(f"{name} holds {str(unknown[0])!r}, which is not one of {', '.join(classes)}")
