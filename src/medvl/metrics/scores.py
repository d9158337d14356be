"""Scores: what every metric of a report returns, so that text, clinical and entailment metrics are treated alike.

A metric turns N pairs of reports into columns (N,): values that a person reads per sample, and counts that suffice to aggregate a corpus
value again (n-gram matches of BLEU, true positives of a label). An aggregate turns columns into statistics of the bootstrap, and nothing
else enters it: a table can be rebuilt from the columns of a file alone, with the aggregate that the file names (``statistics_from``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medvl.metrics.bootstrap import Statistic, StatisticOver, mean_of
from medvl.runtime.errors import UserError

Columns = Mapping[str, NDArray[np.float64]]
Aggregate = Callable[[Columns, Mapping[str, Any]], Mapping[str, Statistic]]
"""A module-level function of ``medvl.metrics``: from columns and protocol to statistics by name."""


@dataclass(frozen=True, slots=True)
class Scores:
    """One metric over N samples.

    Attributes:
        name: the metric, as its config is named (``bleu``).
        per_sample: values by name, each (N,); NaN where undefined.
        statistics: corpus values by name, each a function of bootstrap weights (R, N) → (R,).
        protocol: what a reader needs to compute the same number: version, tokeniser, mapping, judge; plain values only.
        counts: sufficient statistics by name, each (N,).
        aggregate: dotted name of the function that made ``statistics`` from ``per_sample`` and ``counts``; None if no file can rebuild it.
        lower_is_better: the names for which that holds.
    """

    name: str
    per_sample: Columns
    statistics: Mapping[str, Statistic]
    protocol: Mapping[str, Any]
    counts: Columns = field(default_factory=dict)
    aggregate: str | None = None
    lower_is_better: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """N, the number of samples."""
        return len(next(iter((self.per_sample or self.counts).values())))

    @property
    def corpus(self) -> dict[str, float]:
        """Every statistic of the samples as they are; NaN where undefined."""
        everyone = np.ones((1, len(self)))
        return {name: float(statistic(everyone)[0]) for name, statistic in self.statistics.items()}

    @property
    def signature(self) -> str:
        """Name and protocol in one line, to stand beside a number: ``bleu|tokenizer:13a|version:1``."""
        return "|".join([self.name, *(f"{key}:{value}" for key, value in sorted(self.protocol.items()))])


def scores(
    name: str,
    per_sample: Mapping[str, ArrayLike],
    protocol: Mapping[str, Any],
    *,
    counts: Mapping[str, ArrayLike] | None = None,
    aggregate: Aggregate | None = None,
    lower_is_better: frozenset[str] = frozenset(),
) -> Scores:
    """Scores from columns; the statistics are the aggregate of the columns, by default the mean of each per-sample value.

    Raises:
        ValueError: if a column is not (N,), or the columns differ in length.
    """
    made_by = aggregate or means
    values, numbers = _columns(per_sample), _columns(counts or {})
    lengths = {len(column) for column in (*values.values(), *numbers.values())}
    if len(lengths) > 1:
        raise ValueError(f"the columns of {name} differ in length: {sorted(lengths)}")
    # Means stand on what a person reads; any other aggregate sees the counts as well.
    statistics = made_by(values if made_by is means else {**values, **numbers}, protocol)
    return Scores(name, values, statistics, protocol, numbers, f"{made_by.__module__}.{made_by.__qualname__}", lower_is_better)


def means(columns: Columns, protocol: Mapping[str, Any]) -> Mapping[str, Statistic]:
    """The mean of each column over the samples where it is defined. Example: 1, NaN, 0 → 0.5."""
    return {name: mean_of(column) for name, column in columns.items()}


def statistics_from(aggregate: str, columns: Columns, protocol: Mapping[str, Any]) -> Mapping[str, Statistic]:
    """The statistics of columns read from a file, by the aggregate that the file names.

    Args:
        aggregate: ``Scores.aggregate``.
        columns: ``Scores.per_sample`` for ``means``, otherwise joined with ``Scores.counts``.
        protocol: ``Scores.protocol``.

    Raises:
        UserError: if the name is not that of a function of ``medvl.metrics``.
    """
    module, _, function = aggregate.rpartition(".")
    try:
        if not module.startswith("medvl.metrics."):
            raise ImportError
        made_by: Aggregate = getattr(import_module(module), function)
    except (ImportError, AttributeError):
        raise UserError(f"{aggregate!r} is no aggregate of medvl.metrics; was the file written by a newer version?") from None
    return made_by(columns, protocol)


def ratio_of(numerator: ArrayLike, denominator: ArrayLike, *, empty: float = math.nan) -> Statistic:
    """Σ numerator / Σ denominator as a statistic; ``empty`` in rows where the denominator is 0. Example: 1, 0 over 1, 3 → 0.25.

    It is over the samples whose denominator is not 0.
    """
    columns = np.stack([np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)], axis=1)  # (N, 2)

    def ratio(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        above, below = (weights @ columns).T
        return np.divide(above, below, out=np.full(len(weights), empty), where=below > 0)

    return StatisticOver(ratio, columns[:, 1] > 0)


def f1_of(true_positives: ArrayLike, false_positives: ArrayLike, false_negatives: ArrayLike, *, empty: float = 0.0) -> Statistic:
    """F1 = 2 TP / (2 TP + FP + FN) of counts summed over the samples; ``empty`` without any count. Example: 1, 1, 0 → 2/3.

    It is over the samples that count anything.
    """
    found, wrong, missed = (np.asarray(c, np.float64) for c in (true_positives, false_positives, false_negatives))
    return ratio_of(2 * found, 2 * found + wrong + missed, empty=empty)


def function_name(function: Callable[..., Any]) -> str:
    """What results call a function or callable object that a metric was given: its ``name``, or that of the object it is a method of.

    Example: ``partial(devices_in, language="en")`` → ``devices_in(language=en)``.
    """
    if isinstance(function, partial):
        options = ",".join(f"{key}={value}" for key, value in sorted(function.keywords.items()))
        return function_name(function.func) + (f"({options})" if options else "")
    owner = getattr(function, "__self__", None)
    named = getattr(function, "name", None) or getattr(owner, "name", None)
    return str(named or getattr(function, "__qualname__", type(function).__qualname__))


def _columns(values: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    columns = {name: np.asarray(value, np.float64) for name, value in values.items()}
    for name, column in columns.items():
        if column.ndim != 1:
            raise ValueError(f"column {name!r} needs shape (N,), got {column.shape}")
    return columns


def paired(name: str, predictions: Any, references: Any) -> int:
    """N, after a check that predictions and references are as many.

    Raises:
        ValueError: if they are not, or there are none, or one of them is a single string.
    """
    if isinstance(predictions, str) or isinstance(references, str):
        raise ValueError(f"{name} takes lists of reports, got a single string")
    if len(predictions) != len(references) or not len(predictions):
        raise ValueError(f"{name} needs as many predictions as references, at least one; got {len(predictions)} and {len(references)}")
    return len(predictions)
