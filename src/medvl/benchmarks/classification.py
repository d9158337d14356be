"""AUROC and AUPRC of scored findings, trained beside untrained: shared by zero-shot classification and the probes of encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from medvl.benchmarks.results import Roles, per_finding_and_macro
from medvl.metrics.bootstrap import Statistic, resample
from medvl.metrics.classification import auroc_of, average_precision_of

METRICS = {"auroc": auroc_of, "auprc": average_precision_of}

Figures = dict[str, tuple[dict[str, dict[str, Any]], dict[str, Any]]]
"""Metric → the figures of the findings, and the macro figure."""


def classification_figures(
    scores: Mapping[str, pd.DataFrame],
    truth: pd.DataFrame,
    patients: ArrayLike,
    *,
    replicates: int,
    seed: int,
    macro_over: Sequence[str] | None = None,
) -> Figures:
    """Each metric with its interval; findings without both classes are undefined and stay out of the mean.

    Args:
        scores: role (``trained``, ``untrained``) → a column of scores for each finding, N rows.
        truth: (N, findings) 1, 0, or NaN for a sample that does not count.
        patients: (N,) what the bootstrap draws.
        replicates, seed: of the bootstrap.
        macro_over: findings that enter the macro figure; all by default.
    """
    weights = resample(np.asarray(patients, dtype=str), replicates=replicates, seed=seed)
    known = {finding: truth[finding].notna().to_numpy() for finding in map(str, truth)}
    figures: Figures = {}
    for metric, statistic_of in METRICS.items():
        statistics: dict[str, Roles] = {}
        for finding, member in known.items():
            positive = truth[finding].to_numpy()[member] == 1
            statistics[finding] = {
                role: among(member, statistic_of(positive, table[finding].to_numpy()[member])) for role, table in scores.items()
            }
        figures[metric] = per_finding_and_macro(statistics, known, weights, macro_over)
    return figures


def among(member: NDArray[np.bool_], statistic: Statistic) -> Statistic:
    """A statistic of some samples as one of all: takes their columns of the counts."""
    return lambda weights: statistic(weights[:, member])
