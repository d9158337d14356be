"""How an encoder's probe grows with its training data: curves over nested subsets, with intervals and a power law (Ilse et al. 2025).

All points are probed on the same test studies, so one bootstrap over patients serves them all, and two sizes or two paradigms differ by a
paired interval. A curve counts as monotone within its interval if no step to the next larger size lowers the score by more than chance. The
law is fitted to the scores of all sizes and seeds; what the encoder scored before training stands beside the curve and is not fitted.

The paper's scores are not public in numbers that we could read: the protocol is the one it describes, the law's form and interval are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medvl.benchmarks.classification import among
from medvl.metrics.bootstrap import Statistic, estimate, macro_of, paired_difference, resample
from medvl.metrics.classification import auroc_of
from medvl.metrics.power_law import fit_power_law

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ScalingPoint:
    """One trained encoder.

    Attributes:
        paradigm: how it was trained.
        studies, patients: it was trained on; 0 for the encoder before training.
        seed: of the run.
        scores: task → the probe's table of test studies: ``patient_id``, ``study_id``, ``finding``, ``truth``, ``score``.
    """

    paradigm: str
    studies: int
    patients: int
    seed: int
    scores: Mapping[str, pd.DataFrame] = field(repr=False)


def scaling_results(
    points: Sequence[ScalingPoint], *, macro_over: Mapping[str, Sequence[str] | None], replicates: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """The content of a study's ``results.json``.

    Args:
        points: all of them, of the same test studies.
        macro_over: task → findings that enter its score; all that have both classes by default.
        replicates, seed: of the bootstraps over patients and over residuals.

    Returns:
        ``curves``: task → paradigm → ``start`` (before training), ``points`` (each with its interval over patients), ``steps`` (paired
        differences to the next larger size), ``monotone_within_interval`` and ``power_law`` (``None`` below three sizes);
        ``differences``: task → one paradigm minus another at each size that both have.

    Raises:
        ValueError: if the points were not probed on the same studies.
    """
    curves: dict[str, Any] = {}
    differences: dict[str, Any] = {}
    for task, findings in macro_over.items():
        scored = _Task(points, task, findings, replicates, seed)
        paradigms = list(dict.fromkeys(point.paradigm for point in points))
        curves[task] = {paradigm: _curve(scored, paradigm, replicates, seed) for paradigm in paradigms}
        differences[task] = [entry for pair in combinations(paradigms, 2) for entry in _paradigm_differences(scored, *pair)]
    return {"schema_version": SCHEMA_VERSION, "metric": "macro AUROC", "curves": curves, "differences": differences}


class _Task:
    """The points' scores in one task as statistics of one matrix of resamples."""

    def __init__(self, points: Sequence[ScalingPoint], task: str, findings: Sequence[str] | None, replicates: int, seed: int) -> None:
        self.points = points
        first = _wide(points[0].scores[task], "truth")
        patients = points[0].scores[task].drop_duplicates("study_id").set_index("study_id")["patient_id"]
        self.weights = resample(patients.loc[first.index].to_numpy(str), replicates=replicates, seed=seed)
        chosen = [f for f in map(str, first) if (findings is None or f in findings) and first[f].dropna().nunique() == 2]
        if not chosen:
            raise ValueError(f"no finding of task {task!r} has both classes among the test studies")
        self.findings = chosen
        self.of_point = {
            id(point): self._macro(_wide(point.scores[task], "score"), _wide(point.scores[task], "truth"), first) for point in points
        }

    def _macro(self, scores: pd.DataFrame, truth: pd.DataFrame, expected: pd.DataFrame) -> Statistic:
        if not truth.equals(expected):
            raise ValueError("the points of a study must be probed on the same test studies")
        statistics = []
        for finding in self.findings:
            known = truth[finding].notna().to_numpy()
            positive = truth[finding].to_numpy()[known] == 1
            statistics.append(among(known, auroc_of(positive, scores[finding].to_numpy()[known])))
        return macro_of(statistics)

    def sizes(self, paradigm: str) -> list[int]:
        """Numbers of training studies, rising, 0 included."""
        return sorted({point.studies for point in self.points if point.paradigm == paradigm})

    def at(self, paradigm: str, studies: int) -> list[ScalingPoint]:
        """The points of one size, one for each seed."""
        return [point for point in self.points if (point.paradigm, point.studies) == (paradigm, studies)]

    def mean(self, paradigm: str, studies: int) -> Statistic:
        """The score of one size, the mean over seeds."""
        return macro_of([self.of_point[id(point)] for point in self.at(paradigm, studies)])

    def value(self, point: ScalingPoint) -> float:
        """The score of one point."""
        return float(self.of_point[id(point)](np.ones((1, self.weights.shape[1])))[0])


def _curve(task: _Task, paradigm: str, replicates: int, seed: int) -> dict[str, Any]:
    entries = [_entry(task, paradigm, studies) for studies in task.sizes(paradigm)]
    sizes = [entry["studies"] for entry in entries if entry["studies"]]
    steps = [
        {"from": small, "to": large, **asdict(paired_difference(task.mean(paradigm, large), task.mean(paradigm, small), task.weights))}
        for small, large in pairwise(sizes)
    ]
    return {
        "findings": task.findings,
        "start": next((entry for entry in entries if not entry["studies"]), None),
        "points": [entry for entry in entries if entry["studies"]],
        "steps": steps,
        "monotone_within_interval": all(step["ci_high"] >= 0 for step in steps if step["ci_high"] is not None),
        "power_law": _power_law(task, paradigm, replicates, seed),
    }


def _entry(task: _Task, paradigm: str, studies: int) -> dict[str, Any]:
    points = task.at(paradigm, studies)
    by_seed = {str(point.seed): task.value(point) for point in points}
    score = asdict(estimate(task.mean(paradigm, studies), task.weights))
    return {"studies": studies, "patients": points[0].patients, **score, "by_seed": by_seed}


def _power_law(task: _Task, paradigm: str, replicates: int, seed: int) -> dict[str, Any] | None:
    trained = [point for point in task.points if point.paradigm == paradigm and point.studies]
    sizes = np.array([point.studies for point in trained], np.float64)
    law = fit_power_law(sizes, [task.value(point) for point in trained], replicates=replicates, seed=seed)
    if law is None:
        return None
    grid = np.geomspace(sizes.min(), sizes.max(), 50)
    interval = law.interval(grid)
    return {
        "form": "a + b * studies ** -c",
        **{name: asdict(found) for name, found in law.parameters().items()},
        "r_squared": law.r_squared,
        "curve": {"studies": grid.tolist(), "value": law(grid).tolist(), **_bounds(interval)},
    }


def _bounds(interval: tuple[NDArray[np.float64], NDArray[np.float64]] | None) -> dict[str, Any]:
    return {"ci_low": None, "ci_high": None} if interval is None else {"ci_low": interval[0].tolist(), "ci_high": interval[1].tolist()}


def _paradigm_differences(task: _Task, first: str, second: str) -> list[dict[str, Any]]:
    """First minus second at each size that both have."""
    common = [studies for studies in task.sizes(first) if studies and studies in task.sizes(second)]
    return [
        {
            "first": first,
            "second": second,
            "studies": studies,
            **asdict(paired_difference(task.mean(first, studies), task.mean(second, studies), task.weights)),
        }
        for studies in common
    ]


def _wide(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """(studies, findings), studies in order of their ids."""
    return table.pivot(index="study_id", columns="finding", values=column).sort_index()
