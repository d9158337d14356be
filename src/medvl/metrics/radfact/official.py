"""RadFact's own aggregation and bootstrap, number for number (microsoft/RadFact, commit 72463ac).

Macro means over the scored studies, each over those where it is defined; F1 of the means; in narrative mode every spatial and grounding
value is 0. The bootstrap draws studies, those that could not be scored among them, with ``numpy.random.default_rng(seed)``, and states
mean, population standard deviation and quantiles of every value of the table, the counts included.

The order of the studies matters to a seeded draw. Officially it is the input's for phrases, but for narrative text the order in which the
worker processes happened to finish; here it is always the input's.

Where the official code stops with a bare ``ZeroDivisionError`` (precision and recall both 0, also in one draw of the bootstrap),
``UndefinedF1`` says so; it is both a ``UserError`` and a ``ZeroDivisionError``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medvl.metrics.radfact.aggregate import KINDS, MEASURES, SIZES, per_sample
from medvl.metrics.radfact.study import StudyResult
from medvl.runtime.errors import UserError

QUANTILES = {"p2.5th": 0.025, "p25th": 0.25, "median": 0.5, "p75th": 0.75, "p97.5th": 0.975}
BOXES_ONLY = tuple(name for name in (*MEASURES, *SIZES) if name.startswith(("spatial", "grounding")) or name.endswith("_with_boxes"))


class UndefinedF1(UserError, ZeroDivisionError):
    """Precision and recall are both 0, and the official F1 divides by their sum."""


def aggregate(results: Sequence[StudyResult], meta: Mapping[str, float], *, narrative: bool) -> dict[str, float]:
    """The official table of results.

    Args:
        results: one per study.
        meta: counts of the judge's answers, which stand in the table as they are.
        narrative: whether the reports were plain text.

    Raises:
        UndefinedF1: where the official code divides by zero.
    """
    everyone = np.arange(len(results))[None]
    return {name: float(values[0]) for name, values in _tables(results, everyone, meta, narrative=narrative).items()}


def bootstrap(
    results: Sequence[StudyResult], meta: Mapping[str, float], *, narrative: bool, num_samples: int, seed: int
) -> dict[str, float]:
    """The official bootstrap's statistics: ``mean``, ``stderr``, ``p2.5th`` … of logical F1, and ``<name>/mean`` … of every value.

    The official command line always draws 10 samples, whatever it is asked for; its API draws ``num_samples``.

    Raises:
        UndefinedF1: where the official code divides by zero.
    """
    if not results or num_samples < 1:
        raise UserError("the bootstrap needs at least one study and one sample")
    rng = np.random.default_rng(seed)
    draws = np.stack([rng.choice(len(results), size=len(results), replace=True) for _ in range(num_samples)])
    tables = _tables(results, draws, meta, narrative=narrative)
    described = _described(tables["logical_f1"])
    for name, values in tables.items():
        described |= {f"{name}/{statistic}": value for statistic, value in _described(values).items()}
    return described


def _tables(
    results: Sequence[StudyResult], draws: NDArray[np.intp], meta: Mapping[str, float], *, narrative: bool
) -> dict[str, NDArray[np.float64]]:
    """Every value of the table (B,) for draws (B, N) of studies."""
    columns = per_sample(results)
    scored = np.array([result.scores is not None for result in results], bool)[draws]  # (B, N)
    table: dict[str, NDArray[np.float64]] = {}
    for name in (*MEASURES, *SIZES):
        table[name] = np.where(scored.any(axis=1), _mean(columns[name][draws]), 0.0)
        if narrative and name in BOXES_ONLY:
            table[name] = np.zeros(len(draws))
    for kind in KINDS:
        zeros = narrative and kind != "logical"
        table[f"{kind}_f1"] = np.zeros(len(draws)) if zeros else _f1(kind, table[f"{kind}_precision"], table[f"{kind}_recall"])
    table["num_samples"] = scored.sum(axis=1).astype(np.float64)
    table |= {name: np.full(len(draws), float(value)) for name, value in meta.items()}
    table["num_invalid_processed_samples"] = (~scored).sum(axis=1).astype(np.float64)
    return table


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    defined = ~np.isnan(values)
    number = defined.sum(axis=1)
    return np.divide(np.where(defined, values, 0.0).sum(axis=1), number, out=np.full(len(values), np.nan), where=number > 0)


def _f1(kind: str, precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    if (precision + recall == 0).any():
        raise UndefinedF1(
            f"{kind} precision and recall are both 0 (in the studies or in a draw of the bootstrap), where RadFact divides by zero; "
            "compat=None gives F1 = 0"
        )
    return 2 * (precision * recall) / (precision + recall)


def _described(values: NDArray[np.float64]) -> dict[str, float]:
    defined = values[~np.isnan(values)]
    if not len(defined):
        return dict.fromkeys(("mean", "stderr", *QUANTILES), float("nan"))
    quantiles = np.quantile(defined, list(QUANTILES.values())).tolist()
    return {"mean": float(defined.mean()), "stderr": float(defined.std()), **dict(zip(QUANTILES, quantiles, strict=True))}
