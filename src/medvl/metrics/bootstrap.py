"""The bootstrap: confidence intervals from one shared matrix of resamples, drawn over patients.

Percentile bootstrap (Efron 1979) with the patient as the unit: the studies of one patient are not independent, so a replicate draws
patients with replacement and takes all samples of each. A replicate is a row of counts, how often each sample occurs in it, and a
statistic is a function of such rows; one matrix serves every metric and every model, so that differences between models are paired.

    weights (R, N)  →  statistic(weights) (R,)  →  2.5th and 97.5th percentile

A replicate in which the statistic is undefined (no positive drawn, say) is NaN; it is left out of the percentiles and counted. The
point value comes from the samples themselves, never from the replicates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From counts (R, N) to one value per row (R,), NaN where undefined. One that is a ``StatisticOver`` knows which samples it is over."""

ROWS_AT_ONCE = 2**22  # elements of the count matrix that a statistic sees in one call: 32 MiB as float64


@dataclass(frozen=True, slots=True, eq=False)
class StatisticOver:
    """A statistic over some of the samples: those that have a value, or count in a denominator.

    Attributes:
        statistic: from counts (R, N) to (R,).
        samples: (N,) which samples it is over.
    """

    statistic: Statistic
    samples: NDArray[np.bool_]

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The statistic."""
        return self.statistic(weights)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic with its interval; ``None`` where it is undefined.

    Attributes:
        value: the statistic of the samples as they are.
        ci_low, ci_high: the percentile interval.
        n: samples that the value is over.
        undefined_replicates: replicates left out because the statistic is undefined in them.
    """

    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    undefined_replicates: int = 0


def resample(clusters: Sequence[str] | NDArray[Any], *, replicates: int = 1000, seed: int = 0) -> NDArray[np.uint16]:
    """Counts (replicates, N): how often each sample occurs in each replicate.

    Args:
        clusters: (N,) the patient of each sample; samples of one patient always occur together.
        replicates: rows to draw.
        seed: the same seed and patients give the same counts, whatever the order of the samples.

    Raises:
        ValueError: without any sample.
    """
    if not len(clusters):
        raise ValueError("the bootstrap needs at least one sample")
    names, member = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=replicates)
    return draws.astype(np.uint16)[:, member]


def estimate(statistic: Statistic, weights: NDArray[np.uint16], *, n: int | None = None, level: float = 0.95) -> Estimate:
    """The statistic of the samples with its percentile interval.

    Args:
        statistic: see ``Statistic``.
        weights: (R, N) from ``resample``.
        n: samples that the value is over; by default those that the statistic names, or all.
        level: the share of replicates between the bounds.
    """
    samples = weights.shape[1]
    value = statistic(np.ones((1, samples)))[0]
    parts = np.array_split(weights, max(1, math.ceil(weights.size / ROWS_AT_ONCE)))
    values = np.concatenate([statistic(part.astype(np.float64)) for part in parts])
    defined = values[~np.isnan(values)]
    tails = (0.5 - level / 2, 0.5 + level / 2)
    low, high = np.quantile(defined, tails) if len(defined) else (math.nan, math.nan)
    over = int(statistic.samples.sum()) if isinstance(statistic, StatisticOver) else samples
    count = over if n is None else n
    return Estimate(_or_none(value), _or_none(low), _or_none(high), count, len(values) - len(defined))


def paired_difference(
    first: Statistic, second: Statistic, weights: NDArray[np.uint16], *, n: int | None = None, level: float = 0.95
) -> Estimate:
    """``first`` − ``second`` over the same replicates: the paired bootstrap of two models on the same samples."""
    return estimate(made_of([first, second], lambda rows: first(rows) - second(rows)), weights, n=n, level=level)


def mean_of(values: ArrayLike) -> Statistic:
    """The mean of per-sample values (N,) as a statistic; samples whose value is NaN do not count."""
    sample_values = np.asarray(values, np.float64)
    defined = ~np.isnan(sample_values)
    columns = np.stack([np.where(defined, sample_values, 0.0), defined], axis=1)  # (N, 2)

    def weighted_mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        total, count = (weights @ columns).T
        return np.divide(total, count, out=np.full(len(weights), np.nan), where=count > 0)

    return StatisticOver(weighted_mean, defined)


def macro_of(statistics: Sequence[Statistic]) -> Statistic:
    """The unweighted mean of several statistics; undefined in a replicate where any of them is.

    A mean over those that happen to be defined would change its meaning from replicate to replicate.

    Raises:
        ValueError: without any statistic.
    """
    if not statistics:
        raise ValueError("a macro average needs at least one statistic")
    return made_of(statistics, lambda weights: np.mean([statistic(weights) for statistic in statistics], axis=0))


def made_of(parts: Sequence[Statistic], whole: Statistic) -> Statistic:
    """A statistic computed from others: it is over every sample that any of them is over, where all of them know theirs."""
    samples = [part.samples for part in parts if isinstance(part, StatisticOver)]
    return StatisticOver(whole, np.any(samples, axis=0)) if samples and len(samples) == len(parts) else whole


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
