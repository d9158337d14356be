"""How an encoder's probe grows with its training data: curves over nested subsets, with intervals and a power law (Ilse et al. 2025).

All points are probed on the same test studies, so one bootstrap serves them all, and two sizes or two paradigms differ by a paired
interval. It draws test patients and, of a study with several seeds, runs: a seed's runs have their own subsets and initial weights, so the
interval holds the chance of who was trained on, too. (Of few runs a bootstrap sees less than all of that chance: of S, (S − 1) / S of the
variance.) A curve counts as monotone within its interval if no step to the next larger size lowers the score by more than chance. The law
is fitted to the scores of all sizes and seeds; what the encoder scored before training stands beside the curve and is not fitted.

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
        size: of its subset, as asked for; the same for every seed. 0 for the encoder before training.
        studies, patients: it was trained on; 0 for the encoder before training.
        seed: of the run.
        scores: task → the probe's table of test studies: ``patient_id``, ``study_id``, ``finding``, ``truth``, ``score``.
    """

    paradigm: str
    size: float
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
        replicates, seed: of the bootstraps over patients and runs, and over residuals.

    Returns:
        ``curves``: task → paradigm → ``start`` (before training), ``points`` (each with its interval; ``studies`` and ``patients`` are
        means over seeds), ``steps`` (paired differences to the next larger size), ``monotone_within_interval`` and ``power_law``
        (``None`` below three sizes);
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
    """The points' scores in one task as statistics of one matrix of resamples: a column for each test study, then one for each seed."""

    def __init__(self, points: Sequence[ScalingPoint], task: str, findings: Sequence[str] | None, replicates: int, seed: int) -> None:
        self.points = points
        self.seeds = sorted({point.seed for point in points})
        first = _wide(points[0].scores[task], "truth")
        self.studies = len(first)
        patients = points[0].scores[task].drop_duplicates("study_id").set_index("study_id")["patient_id"]
        of_patients = resample(patients.loc[first.index].to_numpy(str), replicates=replicates, seed=seed)
        of_runs = resample([str(run) for run in self.seeds], replicates=replicates, seed=seed + 1)
        self.weights = np.concatenate([of_patients, of_runs], axis=1)
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

    def sizes(self, paradigm: str) -> list[float]:
        """Sizes of subsets, by the studies they have, rising, 0 included."""
        return sorted({point.size for point in self.points if point.paradigm == paradigm}, key=lambda size: self.count(paradigm, size))

    def count(self, paradigm: str, size: float) -> int:
        """Training studies of one size, the mean over seeds."""
        return round(float(np.mean([point.studies for point in self.at(paradigm, size)])))

    def at(self, paradigm: str, size: float) -> list[ScalingPoint]:
        """The points of one size, one for each seed."""
        return [point for point in self.points if (point.paradigm, point.size) == (paradigm, size)]

    def mean(self, paradigm: str, size: float) -> Statistic:
        """The score of one size, the mean over the seeds of a replicate."""
        points = self.at(paradigm, size)
        columns = [self.studies + self.seeds.index(point.seed) for point in points]

        def statistic(rows: NDArray[np.float64]) -> NDArray[np.float64]:
            values = np.stack([self.of_point[id(point)](rows[:, : self.studies]) for point in points], axis=1)  # (R, seeds)
            drawn = rows[:, columns]
            count = drawn.sum(axis=1)
            return np.divide((values * drawn).sum(axis=1), count, out=np.full(len(rows), np.nan), where=count > 0)

        return statistic

    def value(self, point: ScalingPoint) -> float:
        """The score of one point."""
        return float(self.of_point[id(point)](np.ones((1, self.studies)))[0])

    def estimate(self, paradigm: str, size: float) -> dict[str, Any]:
        """The score of one size with its interval."""
        return asdict(estimate(self.mean(paradigm, size), self.weights, n=self.studies))

    def difference(self, first: tuple[str, float], second: tuple[str, float]) -> dict[str, Any]:
        """First minus second, each a paradigm and a size, with the paired interval."""
        return asdict(paired_difference(self.mean(*first), self.mean(*second), self.weights, n=self.studies))


def _curve(task: _Task, paradigm: str, replicates: int, seed: int) -> dict[str, Any]:
    sizes = task.sizes(paradigm)
    trained = [size for size in sizes if size]
    steps = [
        {
            "from": task.count(paradigm, small),
            "to": task.count(paradigm, large),
            **task.difference((paradigm, large), (paradigm, small)),
        }
        for small, large in pairwise(trained)
    ]
    return {
        "findings": task.findings,
        "start": _entry(task, paradigm, 0) if 0 in sizes else None,
        "points": [_entry(task, paradigm, size) for size in trained],
        "steps": steps,
        "monotone_within_interval": all(step["ci_high"] >= 0 for step in steps if step["ci_high"] is not None),
        "power_law": _power_law(task, paradigm, replicates, seed),
    }


def _entry(task: _Task, paradigm: str, size: float) -> dict[str, Any]:
    points = task.at(paradigm, size)
    by_seed = {str(point.seed): task.value(point) for point in points}
    patients = round(float(np.mean([point.patients for point in points])))
    return {"studies": task.count(paradigm, size), "patients": patients, **task.estimate(paradigm, size), "by_seed": by_seed}


def _power_law(task: _Task, paradigm: str, replicates: int, seed: int) -> dict[str, Any] | None:
    trained = [point for point in task.points if point.paradigm == paradigm and point.size]
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
    common = [size for size in task.sizes(first) if size and size in task.sizes(second)]
    return [
        {
            "first": first,
            "second": second,
            "studies": task.count(first, size),
            **task.difference((first, size), (second, size)),
        }
        for size in common
    ]


def _wide(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """(studies, findings), studies in order of their ids."""
    return table.pivot(index="study_id", columns="finding", values=column).sort_index()
