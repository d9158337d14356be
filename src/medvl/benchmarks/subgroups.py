"""Subgroups, shortcuts and calibration of a probe: for whom it works, what it may lean on, and whether its probabilities mean anything.

For each finding and group (sex, age, projection, presence of devices):

    AUROC within the group                        and the gap, the largest minus the smallest of an attribute's groups
    shortcut AUROC                                how well the finding's score tells the two groups apart among studies WITHOUT the finding;
                                                  0.5 if the score does not care (a chest tube that gives away its pneumothorax does)
    expected calibration error and Brier score    of the probability sigmoid(score), within the group

Intervals over patients, one matrix of resamples for everything, so gaps are paired. The report is of the trained encoder alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from medvl.benchmarks.classification import among
from medvl.benchmarks.embedding import RadiographSource
from medvl.benchmarks.features import ImageEncoder
from medvl.benchmarks.findings_task import FindingsTask, Splits
from medvl.benchmarks.labels import label_of
from medvl.benchmarks.results import Evaluation, figure
from medvl.metrics.bootstrap import Statistic, mean_of, resample
from medvl.metrics.calibration import expected_calibration_error_of
from medvl.metrics.classification import auroc_of
from medvl.records import Study

Attribute = Literal["sex", "age", "projection", "devices"]
DEVICES = ("support_devices", "Support Devices")


class FindingsProbe(Protocol):
    """A probe whose scores are log-odds: ``LinearProbe`` or ``LogisticRegressionProbe``."""

    @property
    def task(self) -> FindingsTask:
        """Images, findings and labels."""

    @property
    def name(self) -> str:
        """What its table is called after."""

    def evaluate(self, encoder: ImageEncoder, images: RadiographSource, splits: Splits) -> Evaluation:
        """Scores of the test studies, in the table ``<name>_scores``."""


@dataclass(frozen=True)
class SubgroupReport:
    """The protocol; ``evaluate`` runs it.

    Attributes:
        probe: gives each test study a log-odds for each finding.
        attributes: by which studies are grouped; one with fewer than two groups is left out.
        age_edges: years at which the age groups are cut.
        bins: of the calibration error.
    """

    probe: FindingsProbe
    attributes: Sequence[Attribute] = ("sex", "age", "projection", "devices")
    age_edges: Sequence[float] = (40, 60, 80)
    bins: int = 15
    name: Literal["subgroups"] = field(default="subgroups", init=False)

    def evaluate(
        self, encoder: ImageEncoder, images: RadiographSource, splits: Splits, *, untrained: ImageEncoder | None = None
    ) -> Evaluation:
        """Probe an encoder and report by group; ``untrained`` is not used. Arguments and errors as ``FindingsTask.evaluate``."""
        probed = self.probe.evaluate(encoder, images, splits)
        table = probed.tables[f"{self.probe.name}_scores"].query("model == 'trained'")
        by_id = {(s.dataset, s.study_id): s for s in splits.test}
        first = table[table["finding"] == table["finding"].iloc[0]]
        studies = [by_id[key] for key in zip(first["dataset"], first["study_id"], strict=True)]
        groups = {a: of for a in self.attributes if len(set(of := self._groups(studies, a)) - {None}) > 1}
        task = self.probe.task
        weights = resample([s.patient_id for s in studies], replicates=task.replicates, seed=task.seed)
        per_finding: dict[str, dict[str, dict[str, Any]]] = {}
        for finding, rows in table.groupby("finding", sort=False):
            for metric, entry in self._figures(rows, groups, weights).items():
                per_finding.setdefault(metric, {})[str(finding)] = entry
        return Evaluation(
            benchmark=self.name,
            metrics={},
            per_finding=per_finding,
            protocol={**probed.protocol, "probe": self.probe.name, "groups": {a: _counts(of) for a, of in groups.items()}},
            tables={"subgroups": _tidy(per_finding)},
            privacy=probed.privacy,
        )

    def _groups(self, studies: Sequence[Study], attribute: Attribute) -> list[str | None]:
        """The group of each study; ``None`` where it is unknown."""
        source = self.probe.task.test_labels or self.probe.task.labels
        of: dict[Attribute, Callable[[Study], str | None]] = {
            "sex": lambda study: study.sex,
            "age": lambda study: None if study.age is None else self._age_group(study.age),
            "projection": lambda study: view.projection if (view := study.frontal()) else None,
            "devices": lambda study: "present" if label_of(study, source, DEVICES) == "positive" else "absent",
        }
        return [of[attribute](study) for study in studies]

    def _age_group(self, age: float) -> str:
        edges = [0, *self.age_edges]
        lower = max(edge for edge in edges if edge <= age)
        upper = next((edge for edge in self.age_edges if edge > age), None)
        return f"{lower:g}-{upper:g}" if upper is not None else f"{lower:g}+"

    def _figures(
        self, rows: pd.DataFrame, groups: dict[Attribute, list[str | None]], weights: NDArray[np.uint16]
    ) -> dict[str, dict[str, Any]]:
        """Metric → figure of one finding."""
        truth, scores = rows["truth"].to_numpy(np.float64), rows["score"].to_numpy(np.float64)
        known = ~np.isnan(truth)
        everyone = self._quality(truth, scores, known)
        found = {metric: _figure(statistic, known, weights) for metric, statistic in everyone.items()}
        for attribute, of in groups.items():
            names = np.asarray([name or "" for name in of])
            by_group = {str(name): known & (names == name) for name in sorted(set(names) - {""})}
            areas = []
            for name, member in by_group.items():
                quality = self._quality(truth, scores, member)
                found |= {f"{metric}/{attribute}={name}": _figure(statistic, member, weights) for metric, statistic in quality.items()}
                areas.append(quality["auroc"])
            found[f"auroc_gap/{attribute}"] = _figure(_spread(areas), known, weights)
            if len(by_group) == 2:
                healthy = known & (truth == 0) & (names != "")
                shortcut = among(healthy, auroc_of(names[healthy] == list(by_group)[-1], scores[healthy]))
                found[f"shortcut_auroc/{attribute}={list(by_group)[-1]}"] = _figure(shortcut, healthy, weights)
        return found

    def _quality(self, truth: NDArray[np.float64], scores: NDArray[np.float64], member: NDArray[np.bool_]) -> dict[str, Statistic]:
        positive, probability = truth[member] == 1, expit(scores[member])
        return {
            "auroc": among(member, auroc_of(positive, scores[member])),
            "calibration_error": among(member, expected_calibration_error_of(positive, probability, bins=self.bins)),
            "brier": among(member, mean_of((probability - positive) ** 2)),
        }


def _figure(statistic: Statistic, member: NDArray[np.bool_], weights: NDArray[np.uint16]) -> dict[str, Any]:
    return figure({"trained": statistic}, weights, n=int(member.sum()))


def _spread(statistics: Sequence[Statistic]) -> Statistic:
    """The largest minus the smallest; undefined where any of them is."""
    return lambda weights: np.ptp([statistic(weights) for statistic in statistics], axis=0)


def _counts(groups: Sequence[str | None]) -> dict[str, int]:
    return {str(name): count for name, count in Counter(groups).items()}


def _tidy(per_finding: dict[str, dict[str, dict[str, Any]]]) -> pd.DataFrame:
    """One row per metric, group and finding."""
    rows = []
    for name, findings in per_finding.items():
        metric, _, group = name.partition("/")
        rows += [{"metric": metric, "group": group or "all", "finding": finding, **entry} for finding, entry in findings.items()]
    return pd.DataFrame(rows)
