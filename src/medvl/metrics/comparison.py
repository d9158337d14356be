"""Two systems on the same examples: the difference with its paired interval, permutation p-values, and Holm's correction.

    d = S(A) − S(B)      interval: paired bootstrap over patients      p = (1 + #{|d*| ≥ |d|}) / (R + 1)

where each d* exchanges the two systems' outputs for a random half of the patients (approximate randomisation, Noreen 1989; for means it is
the sign-flip test). A statistic sees counts of samples only, so an exchange is a matter of counts as well: over the 2N columns of both
systems, one side counts A's sample or B's, the other side the other. Any corpus statistic, BLEU or an F1 of means, is thus tested as such.

Holm (1979): the i-th smallest of m p-values is multiplied by m − i + 1, kept monotone, at most 1. McNemar's exact test is for two systems'
right and wrong answers to the same questions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from medvl.metrics.bootstrap import ROWS_AT_ONCE, Estimate, Statistic, estimate, paired_difference, resample
from medvl.metrics.scores import Columns, Scores, means, statistics_from
from medvl.runtime.errors import UserError, did_you_mean

MEANS = f"{means.__module__}.{means.__qualname__}"
ROUNDING = 1e-12  # an exchange that changes nothing must count as equal to the observed difference


class Incomparable(UserError):
    """Two systems that were not scored on the same examples, or not by the same rules."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One statistic of two systems.

    Attributes:
        metric, statistic: what is compared, e.g. ``radfact`` and ``logical_f1``.
        first, second: each system's value with its interval.
        difference: first − second with its paired interval.
        p_value: two-sided; ``None`` where the difference is undefined.
        p_adjusted: after Holm's correction over all comparisons of one call.
        undefined_permutations: exchanges left out because the difference is undefined in them.
        lower_is_better: how to read the sign.
    """

    metric: str
    statistic: str
    first: Estimate
    second: Estimate
    difference: Estimate
    p_value: float | None
    p_adjusted: float | None = None
    undefined_permutations: int = 0
    lower_is_better: bool = False


def draw_exchanges(clusters: Sequence[str] | NDArray[Any], *, replicates: int = 10_000, seed: int = 0) -> NDArray[np.bool_]:
    """Which samples exchange their systems in which replicate: (R, N), samples of one patient together.

    The same seed and patients give the same exchanges, whatever the order of the samples.

    Raises:
        ValueError: without any sample.
    """
    if not len(clusters):
        raise ValueError("a permutation test needs at least one sample")
    names, member = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    return np.random.default_rng(seed).integers(0, 2, size=(replicates, len(names)), dtype=bool)[:, member]


def permutation_p(both: Statistic, exchanges: NDArray[np.bool_]) -> tuple[float | None, int]:
    """The two-sided p-value of the difference of two systems.

    Example: differences per sample 1, 1, 1 of three patients: of the 8 sign patterns 2 reach the mean of 1; p tends to 1/4.

    Args:
        both: a statistic over 2N samples, the first system's and then the second's, in the same order.
        exchanges: (R, N) from ``draw_exchanges``.

    Returns:
        The p-value, ``None`` where the observed difference is undefined; and how many exchanges gave no difference and were left out.
    """
    replicates, samples = exchanges.shape
    observed = float(_difference(both, np.zeros((1, samples), bool))[0])
    if math.isnan(observed):
        return None, 0
    parts = max(1, math.ceil(2 * replicates * samples / ROWS_AT_ONCE))
    drawn = np.concatenate([_difference(both, part) for part in np.array_split(exchanges, parts)])
    defined = drawn[~np.isnan(drawn)]
    extreme = int(np.count_nonzero(np.abs(defined) >= abs(observed) - ROUNDING))
    return (1 + extreme) / (len(defined) + 1), replicates - len(defined)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values in the given order; ``None`` stays ``None`` and does not count. Example: .01, .04, .03 → .03, .06, .06."""
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    least = 0.0
    for rank, (p, index) in enumerate(known):
        least = max(least, min(1.0, p * (len(known) - rank)))
        adjusted[index] = least
    return adjusted


def mcnemar(first: ArrayLike, second: ArrayLike) -> tuple[int, int, float]:
    """McNemar's exact test (1947) of two systems' answers, right or wrong.

    Example: the first alone is right 1 time, the second alone 5 times: p = 2 · (1 + 6) / 2⁶ = 0.21875.

    Args:
        first, second: (N,) boolean, for the same questions.

    Returns:
        How often only the first was right, how often only the second, and the two-sided binomial p-value (1 where they never differ).

    Raises:
        ValueError: if the lengths differ.
    """
    a, b = np.asarray(first, bool), np.asarray(second, bool)
    if a.shape != b.shape:
        raise ValueError(f"McNemar's test needs answers to the same questions, got {a.shape} and {b.shape}")
    only_first, only_second = int(np.count_nonzero(a & ~b)), int(np.count_nonzero(b & ~a))
    trials = only_first + only_second
    return only_first, only_second, float(binomtest(only_first, trials, 0.5).pvalue) if trials else 1.0


def matching_order(first: Sequence[str], second: Sequence[str]) -> list[int]:
    """Where each example of the first system stands in the second.

    Raises:
        Incomparable: naming an example that only one of them has, or that one has twice.
    """
    for ids in (first, second):
        if len(set(ids)) < len(ids):
            raise Incomparable(f"example {next(i for i in ids if list(ids).count(i) > 1)!r} comes twice")
    if alone := set(first) ^ set(second):
        raise Incomparable(f"{len(alone)} examples are in one of the two runs only, e.g. {min(alone)!r}; compare runs on the same examples")
    place = {identifier: index for index, identifier in enumerate(second)}
    return [place[identifier] for identifier in first]


def compare(
    first: Mapping[str, Scores],
    second: Mapping[str, Scores],
    clusters: Sequence[str] | NDArray[Any],
    *,
    replicates: int = 1000,
    permutations: int = 10_000,
    seed: int = 0,
    statistics: Sequence[str] | None = None,
) -> list[Comparison]:
    """Every statistic that both systems have, p-values corrected over all of them.

    Args:
        first, second: scores by metric, of the same samples in the same order (``matching_order``).
        clusters: (N,) the patient of each sample.
        replicates: of the bootstrap.
        permutations: of the exchange.
        seed: of both.
        statistics: the family, as ``metric/statistic`` or the bare statistic; all by default. Decide it before looking.

    Raises:
        Incomparable: naming the metric, if its two scores differ in samples or protocol; or a statistic that neither has.
    """
    family = _family(first, second, statistics)
    weights = resample(clusters, replicates=replicates, seed=seed)
    exchanges = draw_exchanges(clusters, replicates=permutations, seed=seed)
    found = []
    for metric, names in family.items():
        one, other = first[metric], second[metric]
        both = _both(metric, one, other, len(clusters))
        for name in names:
            mine, theirs = one.statistics[name], other.statistics[name]
            p_value, undefined = permutation_p(both[name], exchanges)
            values = estimate(mine, weights), estimate(theirs, weights), paired_difference(mine, theirs, weights)
            found.append(Comparison(metric, name, *values, p_value, None, undefined, name in one.lower_is_better))
    adjusted = holm([comparison.p_value for comparison in found])
    return [replace(comparison, p_adjusted=p) for comparison, p in zip(found, adjusted, strict=True)]


def _family(first: Mapping[str, Scores], second: Mapping[str, Scores], wanted: Sequence[str] | None) -> dict[str, list[str]]:
    """Metric → the statistics to compare, of those that both systems have."""
    shared = [(m, s) for m in first if m in second for s in first[m].statistics if s in second[m].statistics]
    known = {name for metric, statistic in shared for name in (statistic, f"{metric}/{statistic}")}
    if unknown := [name for name in wanted or () if name not in known]:
        raise Incomparable(f"the two runs share no statistic {unknown[0]!r}{did_you_mean(unknown[0], known)}")
    family: dict[str, list[str]] = {}
    for metric, statistic in shared:
        if wanted is None or statistic in wanted or f"{metric}/{statistic}" in wanted:
            family.setdefault(metric, []).append(statistic)
    return family


def _difference(both: Statistic, swapped: NDArray[np.bool_]) -> NDArray[np.float64]:
    """First − second (R,) where the swapped samples have exchanged their systems."""
    kept, other = (~swapped).astype(np.float64), swapped.astype(np.float64)
    return both(np.concatenate([kept, other], axis=1)) - both(np.concatenate([other, kept], axis=1))


def _both(metric: str, first: Scores, second: Scores, samples: int) -> Mapping[str, Statistic]:
    """The metric's statistics over the columns of both systems, one after the other."""
    if len(first) != samples or len(second) != samples:
        raise Incomparable(f"{metric} has {len(first)} and {len(second)} samples where {samples} are compared")
    differing = [key for key in {*first.protocol, *second.protocol} if first.protocol.get(key) != second.protocol.get(key)]
    if differing or first.aggregate != second.aggregate:
        raise Incomparable(f"{metric} was not computed alike in the two runs: {', '.join(sorted(differing)) or 'aggregate'} differs")
    if first.aggregate is None:
        raise Incomparable(f"{metric} names no aggregate, and cannot be computed again for exchanged samples")
    return statistics_from(first.aggregate, _stacked(_columns(first), _columns(second)), first.protocol)


def _columns(one: Scores) -> Columns:
    return one.per_sample if one.aggregate == MEANS else {**one.per_sample, **one.counts}


def _stacked(first: Columns, second: Columns) -> dict[str, NDArray[np.float64]]:
    return {name: np.concatenate([column, second[name]]) for name, column in first.items() if name in second}
