"""Regression: the share of variance explained, for many bootstrap replicates at once. The mean absolute error is ``mean_of(|error|)``."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medvl.metrics.bootstrap import Statistic


def r_squared_of(truth: ArrayLike, predicted: ArrayLike) -> Statistic:
    """R² as a statistic of the bootstrap.

        R² = 1 − Σ w (y − ŷ)² / Σ w (y − ȳ)²,   ȳ the weighted mean

    Example: truth 1, 2, 3 and predictions 1, 2, 2: 1 − 1 / 2 = 0.5. A constant prediction of the mean gives 0; worse ones are negative.

    Args:
        truth: (N,) finite.
        predicted: (N,) finite.

    Returns:
        From counts (R, N) to (R,); NaN in rows without variance.

    Raises:
        ValueError: if the lengths differ or a number is not finite.
    """
    y, y_hat = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if y.shape != y_hat.shape or y.ndim != 1:
        raise ValueError(f"truth and predictions need one shape (N,), got {y.shape} and {y_hat.shape}")
    if not (np.isfinite(y).all() and np.isfinite(y_hat).all()):
        raise ValueError("truth and predictions need finite numbers")
    centred = y - y.mean() if len(y) else y  # sums of squares of large numbers would lose digits
    columns = np.stack([np.ones_like(y), centred, centred**2, (y - y_hat) ** 2], axis=1)  # (N, 4)

    def r_squared(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        count, total, squares, residual = (weights @ columns).T
        variance = squares - np.divide(total**2, count, out=np.zeros_like(total), where=count > 0)
        return 1 - np.divide(residual, variance, out=np.full(len(weights), np.nan), where=variance > 1e-12)

    return r_squared
