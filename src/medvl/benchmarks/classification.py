"""AUROC, AUPRC, and accuracy and F1 of scored findings, trained beside untrained: shared by all that classify findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from medvl.benchmarks.results import Roles, per_finding_and_macro
from medvl.metrics.bootstrap import Statistic, macro_of, resample
from medvl.metrics.classification import accuracy_of, auroc_of, average_precision_of, f1_of

METRICS = {"auroc": auroc_of, "auprc": average_precision_of}
DECISIONS = {"accuracy": accuracy_of, "f1": f1_of}

Figures = dict[str, tuple[dict[str, dict[str, Any]], dict[str, Any]]]
"""Metric → the figures of the findings, and the macro figure."""


def classification_figures(
    scores: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    truth: pd.DataFrame,
    patients: ArrayLike,
    *,
    replicates: int,
    seed: int,
    macro_over: Sequence[str] | None = None,
    decided: bool = False,
) -> Figures:
    """Each metric with its interval; findings without both classes are undefined and stay out of the mean.

    Args:
        scores: role (``trained``, ``untrained``) → a column of scores for each finding, N rows; or several such tables, one for each
            repetition (seed), whose figures are averaged.
        truth: (N, findings) 1, 0, or NaN for a sample that does not count.
        patients: (N,) what the bootstrap draws.
        replicates, seed: of the bootstrap.
        macro_over: findings that enter the macro figure; all by default.
        decided: whether a score above 0 says that the finding is there, which gives accuracy and F1.
    """
    weights = resample(np.asarray(patients, dtype=str), replicates=replicates, seed=seed)
    known = {finding: truth[finding].notna().to_numpy() for finding in map(str, truth)}
    figures: Figures = {}
    for metric in [*METRICS, *(DECISIONS if decided else ())]:
        statistics: dict[str, Roles] = {}
        for finding, member in known.items():
            positive = truth[finding].to_numpy()[member] == 1
            statistics[finding] = {
                role: among(member, _statistic(metric, positive, [table[finding].to_numpy()[member] for table in _repetitions(tables)]))
                for role, tables in scores.items()
            }
        figures[metric] = per_finding_and_macro(statistics, known, weights, macro_over)
    return figures


def among(member: NDArray[np.bool_], statistic: Statistic) -> Statistic:
    """A statistic of some samples as one of all: takes their columns of the counts."""
    return lambda weights: statistic(weights[:, member])


def _statistic(metric: str, positive: NDArray[np.bool_], repetitions: Sequence[NDArray[np.floating[Any]]]) -> Statistic:
    """A metric's mean over repetitions of the scores."""
    if metric in METRICS:
        return macro_of([METRICS[metric](positive, scores) for scores in repetitions])
    if positive.all() or not positive.any():
        return lambda weights: np.full(len(weights), np.nan)
    return macro_of([DECISIONS[metric](positive, scores > 0) for scores in repetitions])


def _repetitions(tables: pd.DataFrame | Sequence[pd.DataFrame]) -> Sequence[pd.DataFrame]:
    return [tables] if isinstance(tables, pd.DataFrame) else tables
