"""The figures of progression classification: macro accuracy of every arm, paired differences, and the two controls of the pair model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medvl.benchmarks.classification import among
from medvl.benchmarks.progression_films import Condition
from medvl.benchmarks.progression_protocols import Predictions
from medvl.benchmarks.results import Roles, per_finding_and_macro
from medvl.data.progression_samples import ProgressionPair
from medvl.metrics.bootstrap import Statistic, resample
from medvl.metrics.progression import CLASSES, flipped, flipped_share_of, macro_accuracy, macro_accuracy_of

UNTRAINED = "untrained"
OfFinding = Callable[[int, NDArray[np.bool_]], Statistic]
"""Number of a finding and its members (N,) → a statistic of those members."""


@dataclass(frozen=True)
class ProgressionFigures:
    """What the arms said, and what is counted.

    Attributes:
        said: arm, or ``untrained`` → its predictions.
        pairs: the N tested pairs.
        findings: F names.
        macro_over: findings in the headline figures; all if not given.
        prefix: what metrics' names begin with: the benchmark and its protocol.
        replicates, seed: of the bootstrap over patients.
    """

    said: Mapping[str, Predictions]
    pairs: Sequence[ProgressionPair]
    findings: Sequence[str]
    macro_over: Sequence[str] | None
    prefix: str
    replicates: int
    seed: int

    def figures(self) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, dict[str, Any]]]]:
        """Metric → headline figure, and metric → finding → figure.

        ``…_macro_accuracy`` is the pair model's, with ``untrained`` and the difference from it where there is one; ``…_beside_<arm>``
        has an arm in its place; ``…_blank_prior_macro_accuracy_beside_current`` is the pair model without its previous film;
        ``…_swapped_macro_accuracy`` counts against reversed truth; ``…_flipped_share`` is the share of changes that are reversed.
        """
        temporal = {"trained": self._accuracy("temporal", "temporal")}
        accuracy = f"{self.prefix}_macro_accuracy"
        entries = {accuracy: (temporal | self._beside(UNTRAINED, UNTRAINED), UNTRAINED)}
        for arm in self.said:
            if arm not in ("temporal", UNTRAINED):
                entries[f"{accuracy}_beside_{arm}"] = (temporal | self._beside(arm, UNTRAINED), arm)
        blank = {"trained": self._accuracy("temporal", "blank_prior")}
        entries[f"{self.prefix}_blank_prior_macro_accuracy_beside_current"] = (blank | self._beside("current", UNTRAINED), "current")
        entries[f"{self.prefix}_swapped_macro_accuracy"] = ({"trained": self._accuracy("temporal", "swapped", turned=True)}, UNTRAINED)
        entries[f"{self.prefix}_flipped_share"] = ({"trained": self._flipped_share()}, UNTRAINED)
        weights = resample([pair.patient_id for pair in self.pairs], replicates=self.replicates, seed=self.seed)
        metrics, per_finding = {}, {}
        for name, (roles, other) in entries.items():
            findings, macro = self._figure(roles, weights)
            metrics[name] = _renamed(macro, other)
            per_finding[name] = {finding: _renamed(entry, other) for finding, entry in findings.items()}
        return metrics, per_finding

    def _beside(self, arm: str, role: str) -> dict[str, OfFinding]:
        return {role: self._accuracy(arm, self.said[arm].arm)} if arm in self.said else {}

    def _accuracy(self, arm: str, condition: Condition, *, turned: bool = False) -> OfFinding:
        told = classes_of(self.said[arm].probabilities[condition])  # (S, N, F)

        def of_finding(i: int, member: NDArray[np.bool_]) -> Statistic:
            truth = _truth(self.pairs, self.findings[i])[member]
            return macro_accuracy_of(flipped(truth) if turned else truth, told[:, member, i])

        return of_finding

    def _flipped_share(self) -> OfFinding:
        told = {c: classes_of(self.said["temporal"].probabilities[c]) for c in ("temporal", "swapped")}
        return lambda i, member: flipped_share_of(told["temporal"][:, member, i], told["swapped"][:, member, i])

    def _figure(self, roles: Mapping[str, OfFinding], weights: NDArray[np.uint16]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
        statistics: dict[str, Roles] = {}
        members = {}
        for i, finding in enumerate(self.findings):
            member = np.asarray([finding in pair.labels for pair in self.pairs], bool)
            members[finding] = member
            statistics[finding] = {role: among(member, of_finding(i, member)) for role, of_finding in roles.items()}
        return per_finding_and_macro(statistics, members, weights, self.macro_over)


def classes_of(probabilities: NDArray[np.float64]) -> NDArray[np.str_]:
    """Probabilities (…, 3) → the likeliest class (…)."""
    return np.asarray(CLASSES)[probabilities.argmax(axis=-1)]


def by_seed(
    said: Mapping[str, Predictions], pairs: Sequence[ProgressionPair], findings: Sequence[str], part: str
) -> dict[str, dict[str, list[float | None]]]:
    """Arm → finding → macro accuracy of each seed, ``None`` where it is undefined.

    Args:
        part: ``test``, or ``validation``, where arms without predictions of it are left out.
    """
    found: dict[str, dict[str, list[float | None]]] = {}
    for arm, predictions in said.items():
        values = predictions.validation if part == "validation" else predictions.of_arm()
        if values is not None:
            found[arm] = {finding: _of_seeds(classes_of(values[:, :, i]), pairs, finding) for i, finding in enumerate(findings)}
    return found


def prediction_table(said: Mapping[str, Predictions], pairs: Sequence[ProgressionPair], findings: Sequence[str]) -> pd.DataFrame:
    """One row per arm or control, seed, pair and labelled finding: the truth as labelled, the prediction and the classes' probabilities."""
    columns = ["dataset", "patient_id", "study_id", "view_id", "previous_view_id"]
    who = pd.DataFrame([pair[:5] for pair in pairs], columns=columns)
    parts = []
    for arm, predictions in said.items():
        for condition, values in predictions.probabilities.items():
            for seed, of_seed in enumerate(values):
                for i, finding in enumerate(findings):
                    member = np.asarray([finding in pair.labels for pair in pairs], bool)
                    part = who[member].assign(
                        finding=finding, truth=_truth(pairs, finding)[member], prediction=classes_of(of_seed[member, i])
                    )
                    shares = {f"p_{name}": of_seed[member, i, number] for number, name in enumerate(CLASSES)}
                    parts.append(part.assign(**shares, condition=condition, seed=seed, model=UNTRAINED if arm == UNTRAINED else "trained"))
    return pd.concat(parts, ignore_index=True)


def _truth(pairs: Sequence[ProgressionPair], finding: str) -> NDArray[np.str_]:
    """(N,) the finding's classes; of no meaning where it is not labelled."""
    return np.asarray([pair.labels.get(finding, CLASSES[0]) for pair in pairs], dtype=str)


def _of_seeds(told: NDArray[np.str_], pairs: Sequence[ProgressionPair], finding: str) -> list[float | None]:
    member = np.asarray([finding in pair.labels for pair in pairs], bool)
    values = [macro_accuracy(_truth(pairs, finding)[member], seed[member]) for seed in told]
    return [None if np.isnan(value) else value for value in values]


def _renamed(entry: Mapping[str, Any], other: str) -> dict[str, Any]:
    """A figure that is compared with an arm and not with an untrained model."""
    return {(other if name == UNTRAINED else name): value for name, value in entry.items()}
