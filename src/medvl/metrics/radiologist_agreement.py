"""A metric against radiologists: rank correlation with the errors that they counted in the same reports.

Kendall's tau-b (1945), as the studies of report metrics do (Yu et al. 2023, ReXVal): between a metric's value for each candidate report
and the number of errors in it, averaged over the radiologists. Candidates of one study are not independent; the interval is the
bootstrap's over clusters of them. Two metrics are compared by the paired difference of their taus (``bootstrap.paired_difference``).

The errors come as counts (rater, category, significance) per pair of reports, whatever the file they were read from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medvl.metrics.bootstrap import Estimate, Statistic, estimate, resample
from medvl.runtime.errors import UserError


@dataclass(frozen=True, slots=True)
class RaterCount:
    """How many errors of one category one rater found in one candidate report.

    Attributes:
        example_id: the pair of reports.
        rater, category: as the study names them.
        significant: whether the errors matter clinically.
        errors: how many; a combination that does not occur is 0.
    """

    example_id: str
    rater: str
    category: str
    significant: bool
    errors: int


def errors_per_report(counts: Iterable[RaterCount], example_ids: Sequence[str], *, significant: bool | None = None) -> NDArray[np.float64]:
    """Errors of each example (N,), summed over categories and averaged over the raters who rated it.

    Args:
        counts: of all raters; a rater without errors in a report has a count of 0 there.
        example_ids: the order of the result.
        significant: only these errors; ``None`` for all.

    Raises:
        UserError: naming an example that nobody rated, or a negative count.
    """
    totals: dict[str, dict[str, int]] = {}
    for count in counts:
        if count.errors < 0:
            raise UserError(f"rater {count.rater!r} counts {count.errors} errors in example {count.example_id!r}")
        by_rater = totals.setdefault(count.example_id, {})
        counted = count.errors if significant in (None, count.significant) else 0
        by_rater[count.rater] = by_rater.get(count.rater, 0) + counted
    unrated = [example for example in example_ids if example not in totals]
    if unrated:
        raise UserError(f"{len(unrated)} of {len(example_ids)} examples have no error counts, first {unrated[0]!r}")
    return np.array([np.mean(list(totals[example].values())) for example in example_ids])


def kendall_tau_b_of(first: ArrayLike, second: ArrayLike) -> Statistic:
    """Kendall's tau-b as a statistic of the bootstrap.

        τ_b = Σ_{i<j} sgn(x_i − x_j) · sgn(y_i − y_j) / √(#{i<j: x_i ≠ x_j} · #{i<j: y_i ≠ y_j})

    Example: x = 1, 2, 3 and y = 1, 1, 2: two concordant pairs, none discordant, 3 and 2 untied pairs: 2 / √6 = 0.816. Memory and time grow
    with N².

    Args:
        first, second: (N,); a pair where either is NaN does not count.

    Returns:
        From counts (R, N) to (R,); NaN in rows where either is constant.

    Raises:
        ValueError: if the lengths differ.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"Kendall's tau needs two rankings of one shape (N,), got {x.shape} and {y.shape}")
    defined = ~(np.isnan(x) | np.isnan(y))
    signs = [np.sign(values[defined, None] - values[None, defined]) for values in (x, y)]
    agreement, untied = signs[0] * signs[1], [np.abs(sign) for sign in signs]

    def tau_b(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        counts = weights[:, defined]
        shared, *pairs = (np.einsum("rn,rn->r", counts @ matrix, counts) for matrix in (agreement, *untied))
        scale = np.sqrt(pairs[0] * pairs[1])
        return np.divide(shared, scale, out=np.full(len(weights), np.nan), where=scale > 0)

    return tau_b


def radiologist_agreement(
    values: ArrayLike,
    errors: ArrayLike,
    clusters: Sequence[str],
    *,
    lower_is_better: bool = False,
    replicates: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Tau-b of a metric with radiologists, its interval over clusters; positive where the metric is better for fewer errors.

    Args:
        values: (N,) the metric per candidate report; NaN where undefined.
        errors: (N,) from ``errors_per_report``.
        clusters: (N,) the study, or patient, of each candidate.
        lower_is_better: whether the metric falls for better reports, like the errors.
        replicates, seed: of the bootstrap.
    """
    metric = np.asarray(values, np.float64)
    tau = kendall_tau_b_of(metric if lower_is_better else -metric, errors)
    return estimate(tau, resample(clusters, replicates=replicates, seed=seed), n=int(np.count_nonzero(~np.isnan(metric))))
