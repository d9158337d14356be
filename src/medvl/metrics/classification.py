"""Classification: areas under the ROC and the precision-recall curve, accuracy and F1, for many bootstrap replicates at once.

AUROC is the Mann-Whitney statistic, the chance that a positive scores above a negative, ties counting one half (Hanley and McNeil 1982).
AUPRC is average precision, the sum of precision × gained recall over the distinct scores from the top (as in scikit-learn, without
interpolation). Both take counts per sample, so that a replicate of the bootstrap is one row and the sort is done once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medvl.metrics.bootstrap import Statistic


def auroc_of(positive: ArrayLike, scores: ArrayLike) -> Statistic:
    """AUROC as a statistic of the bootstrap.

        AUROC = Σ_s P(s) · (N(<s) + N(s) / 2) / (P · N)

    with P(s), N(s) the positives and negatives of score s. Example: positives score 1 and 2, negatives 0 and 1; of the four pairs three
    are won and one is tied: 3.5 / 4 = 0.875.

    Args:
        positive: (N,) truth, boolean.
        scores: (N,) higher for positives; finite.

    Returns:
        From counts (R, N) to (R,); NaN in rows without a positive or without a negative.

    Raises:
        ValueError: if the lengths differ or a score is not finite.
    """
    by_score = _Groups(positive, scores)

    def auroc(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        positives, negatives = by_score.sums(weights)  # (R, G) each, ascending in score
        below = np.cumsum(negatives, axis=1) - negatives / 2
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        return _ratio((positives * below).sum(axis=1), pairs)

    return auroc


def average_precision_of(positive: ArrayLike, scores: ArrayLike) -> Statistic:
    """Average precision (AUPRC) as a statistic of the bootstrap.

        AP = Σ_s P(s) / P · P(≥s) / (P(≥s) + N(≥s))

    Example: scores 3, 2, 1 of a positive, a negative and a positive: 1/2 · 1 + 1/2 · 2/3 = 5/6.

    Args:
        positive: (N,) truth, boolean.
        scores: (N,) higher for positives; finite.

    Returns:
        From counts (R, N) to (R,); NaN in rows without a positive or without a negative, as for AUROC.

    Raises:
        ValueError: if the lengths differ or a score is not finite.
    """
    by_score = _Groups(positive, scores)

    def average_precision(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        positives, negatives = (counts[:, ::-1] for counts in by_score.sums(weights))  # descending in score
        found, called = np.cumsum(positives, axis=1), np.cumsum(positives + negatives, axis=1)
        precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
        both = np.where(negatives.sum(axis=1) > 0, positives.sum(axis=1), 0.0)
        return _ratio((positives * precision).sum(axis=1), both)

    return average_precision


def accuracy_of(positive: ArrayLike, predicted: ArrayLike) -> Statistic:
    """The share of right decisions as a statistic of the bootstrap.

    Args:
        positive, predicted: (N,) truth and decision, boolean.

    Returns:
        From counts (R, N) to (R,); NaN in rows without a sample.

    Raises:
        ValueError: if the lengths differ.
    """
    truth, decided = _decisions(positive, predicted)
    right = (truth == decided).astype(np.float64)
    return lambda weights: _ratio(weights @ right, weights.sum(axis=1))


def f1_of(positive: ArrayLike, predicted: ArrayLike) -> Statistic:
    """F1 of the positive class, 2·TP / (2·TP + FP + FN), as a statistic of the bootstrap.

    Example: of two positives one is found, and one negative is called positive: 2 / (2 + 1 + 1) = 0.5.

    Args:
        positive, predicted: (N,) truth and decision, boolean.

    Returns:
        From counts (R, N) to (R,); NaN in rows where nothing is or is called positive.

    Raises:
        ValueError: if the lengths differ.
    """
    truth, decided = _decisions(positive, predicted)
    found, named = (truth & decided).astype(np.float64), truth.astype(np.float64) + decided
    return lambda weights: _ratio(2 * (weights @ found), weights @ named)


def auroc(positive: ArrayLike, scores: ArrayLike) -> float:
    """AUROC of samples (N,), ties counting one half; NaN without a positive or without a negative. See ``auroc_of``."""
    return float(auroc_of(positive, scores)(np.ones((1, np.size(scores))))[0])


def average_precision(positive: ArrayLike, scores: ArrayLike) -> float:
    """Average precision of samples (N,); NaN without a positive or without a negative. See ``average_precision_of``."""
    return float(average_precision_of(positive, scores)(np.ones((1, np.size(scores))))[0])


class _Groups:
    """Samples in ascending order of score, those of equal score together."""

    def __init__(self, positive: ArrayLike, scores: ArrayLike) -> None:
        truth, values = np.asarray(positive, bool), np.asarray(scores, np.float64)
        if truth.shape != values.shape or truth.ndim != 1:
            raise ValueError(f"truth and scores need one shape (N,), got {truth.shape} and {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"{np.count_nonzero(~np.isfinite(values))} of {len(values)} scores are not finite")
        self.order = np.argsort(values, kind="stable")
        self.starts = np.flatnonzero(np.diff(values[self.order], prepend=-np.inf))
        self.truth = truth[self.order]

    def sums(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positives and negatives (R, G) of each distinct score."""
        if not len(self.starts):
            return np.zeros((len(weights), 0)), np.zeros((len(weights), 0))
        ordered = weights[:, self.order]
        positives = np.add.reduceat(ordered * self.truth, self.starts, axis=1)
        return positives, np.add.reduceat(ordered * ~self.truth, self.starts, axis=1)


def _decisions(positive: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    truth, decided = np.asarray(positive, bool), np.asarray(predicted, bool)
    if truth.shape != decided.shape or truth.ndim != 1:
        raise ValueError(f"truth and decisions need one shape (N,), got {truth.shape} and {decided.shape}")
    return truth, decided


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)
