"""Segmentation: Dice overlap of masks, per sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def dice(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Dice coefficient of N pairs of masks.

        Dice = 2 |A ∩ B| / (|A| + |B|)

    Example: two pixels predicted, one of them among three true ones: 2 · 1 / (2 + 3) = 0.4.

    Args:
        predicted, truth: (N, …) boolean.

    Returns:
        (N,) in [0, 1]; NaN where both are empty, for there is nothing to find and nothing was found.

    Raises:
        ValueError: if the shapes differ.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"masks need one shape, got {predicted.shape} and {truth.shape}")
    a, b = predicted.reshape(len(predicted), -1), truth.reshape(len(truth), -1)
    shared, total = (a & b).sum(axis=1), a.sum(axis=1) + b.sum(axis=1)
    return np.divide(2.0 * shared, total, out=np.full(len(a), np.nan), where=total > 0)
