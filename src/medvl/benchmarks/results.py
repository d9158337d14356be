"""What a benchmark leaves: ``results.json``, tables as Parquet, predictions as JSON lines.

    results.json = {"schema_version",
                    "metrics":     {name: {"value", "ci_low", "ci_high", "n", "undefined_replicates",
                                           "untrained": {…same}, "difference": {…same}}},
                    "per_finding": {name: {finding: {…same}}},
                    "protocol":    {benchmark: {…}}}

``untrained`` is the same model before training, measured in the same way on the same samples; ``difference`` is trained − untrained with a
paired interval. Both are absent where no untrained model was given. ``None`` (JSON ``null``) is a value that is undefined.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medvl.metrics.bootstrap import Statistic, estimate, macro_of, paired_difference
from medvl.records import Prediction, PrivacyPolicy, to_json
from medvl.runtime.files import atomic_path, write_json, write_text

SCHEMA_VERSION = 1

Roles = Mapping[str, Statistic]
"""One statistic for each model measured: ``trained``, and ``untrained`` where there is one."""


@dataclass(frozen=True)
class Evaluation:
    """A benchmark's outcome.

    Attributes:
        benchmark: its name.
        metrics: metric → headline figure (macro over findings), in the form of ``results.json``.
        per_finding: metric → finding → figure.
        protocol: everything that the figures depend on: prompts, split, thresholds, crop, seed, what was left out.
        tables: file stem → table, one row per sample.
        predictions: what the trained model said.
        privacy: the strictest policy of the data behind it.
    """

    benchmark: str
    metrics: dict[str, dict[str, Any]]
    per_finding: dict[str, dict[str, dict[str, Any]]]
    protocol: dict[str, Any]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    predictions: list[Prediction] = field(default_factory=list)
    privacy: PrivacyPolicy = "local_only"


def figure(roles: Roles, weights: NDArray[np.uint16], *, n: int | None = None) -> dict[str, Any]:
    """One entry of ``results.json``: the trained model's estimate, the untrained model's and their difference beside it."""
    trained = asdict(estimate(roles["trained"], weights, n=n))
    if "untrained" not in roles:
        return trained
    untrained = asdict(estimate(roles["untrained"], weights, n=n))
    difference = asdict(paired_difference(roles["trained"], roles["untrained"], weights, n=n))
    return {**trained, "untrained": untrained, "difference": difference}


def per_finding_and_macro(
    statistics: Mapping[str, Roles],
    members: Mapping[str, NDArray[np.bool_]],
    weights: NDArray[np.uint16],
    macro_over: Sequence[str] | None = None,
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """The figure of each finding, and of their unweighted mean.

    Args:
        statistics: finding → role → statistic.
        members: finding → which of the N samples stand behind it.
        weights: (R, N) from ``resample``.
        macro_over: findings that enter the mean; all by default. Those undefined on the samples themselves never do.

    Returns:
        Finding → figure, and the macro figure, whose ``findings`` names what was averaged.
    """
    figures = {name: figure(roles, weights, n=int(members[name].sum())) for name, roles in statistics.items()}
    chosen = [n for n in statistics if (macro_over is None or n in macro_over) and _defined(figures[n])]
    if not chosen:
        return figures, {"value": None, "ci_low": None, "ci_high": None, "n": 0, "undefined_replicates": 0, "findings": []}
    roles = {role: macro_of([statistics[name][role] for name in chosen]) for role in statistics[chosen[0]]}
    return figures, {**figure(roles, weights, n=int(np.any([members[name] for name in chosen], axis=0).sum())), "findings": chosen}


def results(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The content of ``results.json`` for one or more benchmarks."""
    return {
        "schema_version": SCHEMA_VERSION,
        "metrics": {name: entry for e in evaluations for name, entry in e.metrics.items()},
        "per_finding": {name: entry for e in evaluations for name, entry in e.per_finding.items()},
        "protocol": {e.benchmark: {**e.protocol, "privacy": e.privacy} for e in evaluations},
    }


def write(folder: Path, evaluations: Sequence[Evaluation]) -> Path:
    """Write ``results.json``, each table as ``<stem>.parquet`` and ``predictions.jsonl``, atomically; returns the first.

    Every file says what may leave the machine: the tables in their metadata, the predictions in ``meta``.
    """
    for evaluation in evaluations:
        for stem, table in evaluation.tables.items():
            _write_table(folder / f"{stem}.parquet", table, evaluation.privacy)
    predictions = [p for e in evaluations for p in e.predictions]
    if predictions:
        lines = (json.dumps(to_json(p), ensure_ascii=False, allow_nan=False) for p in predictions)
        write_text(folder / "predictions.jsonl", "".join(f"{line}\n" for line in lines))
    write_json(folder / "results.json", results(evaluations))
    return folder / "results.json"


def _defined(entry: Mapping[str, Any]) -> bool:
    return entry["value"] is not None and entry.get("untrained", entry)["value"] is not None


def _write_table(path: Path, table: pd.DataFrame, privacy: PrivacyPolicy) -> None:
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    facts = {"schema_version": str(SCHEMA_VERSION), "privacy": privacy}
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **facts})
    with atomic_path(path) as temporary:
        pq.write_table(arrow, temporary)
