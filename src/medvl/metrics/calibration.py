"""Calibration: how far predicted probabilities are from observed shares, for many bootstrap replicates at once.

Expected calibration error with bins of equal width (Guo et al. 2017). The Brier score is ``mean_of((p − y)²)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medvl.metrics.bootstrap import Statistic


def expected_calibration_error_of(positive: ArrayLike, probabilities: ArrayLike, *, bins: int = 15) -> Statistic:
    """Expected calibration error as a statistic of the bootstrap.

        ECE = Σ_b |Σ_{i ∈ b} w_i (p_i − y_i)| / Σ_i w_i

    Example, two bins: probabilities 0.2, 0.4 and 0.9 of a negative, a positive and a positive: (|0.6 − 1| + |0.9 − 1|) / 3 = 1/6.

    Args:
        positive: (N,) truth, boolean.
        probabilities: (N,) in [0, 1].
        bins: of equal width; 1 belongs to the last.

    Returns:
        From counts (R, N) to (R,); NaN in rows without a sample.

    Raises:
        ValueError: if the lengths differ or a probability is out of range.
    """
    truth, values = np.asarray(positive, np.float64), np.asarray(probabilities, np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise ValueError(f"truth and probabilities need one shape (N,), got {truth.shape} and {values.shape}")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("probabilities need to lie in [0, 1]")
    number = np.minimum((values * bins).astype(int), bins - 1)
    excess = np.zeros((len(values), bins))
    excess[np.arange(len(values)), number] = values - truth

    def expected_calibration_error(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        gap, total = np.abs(weights @ excess).sum(axis=1), weights.sum(axis=1)
        return np.divide(gap, total, out=np.full(len(weights), np.nan), where=total > 0)

    return expected_calibration_error
