"""Attributes of patient and film from frozen features: sex, age and projection; what a report seldom says and language supervision misses.

Sex and projection by logistic regression (AUROC for male, and for AP), age by ridge regression (R², mean absolute error in years), each
on the training studies that state it, its strength chosen on the validation studies. RAD-DINO (Pérez-García et al. 2025) reports such
regressions beside findings; its exact protocol is not public, so this one is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge

from medvl.benchmarks.embedding import RadiographSource
from medvl.benchmarks.features import Encoding, Features, ImageEncoder, Pooling
from medvl.benchmarks.findings_task import NothingToProbe, Splits, identifiers
from medvl.benchmarks.logistic_regression import scaled
from medvl.benchmarks.results import Evaluation, Roles, figure
from medvl.metrics.bootstrap import Statistic, mean_of, resample
from medvl.metrics.classification import auroc, auroc_of
from medvl.metrics.regression import r_squared_of
from medvl.records import Study
from medvl.runtime.privacy import strictest

Attribute = Literal["sex", "age", "projection"]
Rows = NDArray[np.float64]


@dataclass(frozen=True)
class AttributeProbe:
    """The protocol; ``evaluate`` runs it.

    Attributes:
        encoding: how images become features.
        attributes: those to probe; one that no training or test study states is left out and named in the protocol.
        poolings: what the classifiers read of the last block, side by side.
        strengths: candidates for C, and for 1 / α of the ridge.
        replicates, seed: of the bootstrap over patients.
    """

    encoding: Encoding
    attributes: Sequence[Attribute] = ("sex", "age", "projection")
    poolings: Sequence[Pooling] = ("cls", "mean")
    strengths: Sequence[float] = (1e-4, 1e-3, 1e-2, 0.1, 1.0)
    replicates: int = 1000
    seed: int = 0
    name: Literal["attributes"] = field(default="attributes", init=False)

    def evaluate(
        self, encoder: ImageEncoder, images: RadiographSource, splits: Splits, *, untrained: ImageEncoder | None = None
    ) -> Evaluation:
        """Probe an encoder, and another beside it.

        Args:
            encoder: in evaluation mode, as is ``untrained``.
            images: the prepared images.
            splits: training, validation and test studies.
            untrained: the same architecture before training, or any encoder to compare with.

        Raises:
            NothingToProbe: if no attribute can be probed.
        """
        encoders = {"trained": encoder} | ({"untrained": untrained} if untrained is not None else {})
        read = {role: self._read(candidate, images, splits) for role, candidate in encoders.items()}
        studies = {part: split.studies for part, split in read["trained"].items()}
        truth = {a: {part: _values(studies[part], a) for part in studies} for a in self.attributes}
        possible = [a for a in self.attributes if all(_usable(truth[a][part], a) for part in truth[a])]
        if not possible:
            raise NothingToProbe(f"no attribute of {', '.join(self.attributes)} is stated in training, validation and test studies")
        predicted = {a: {role: self._predict(a, parts, truth[a]) for role, parts in read.items()} for a in possible}
        return Evaluation(
            benchmark=self.name,
            metrics=self._figures(truth, predicted, studies["test"]),
            per_finding={},
            protocol={**self._protocol(possible), "studies": {part: len(of) for part, of in studies.items()}},
            tables={"attributes": _table(truth, predicted, studies["test"])},
            privacy=strictest(study.privacy for study in studies["test"]),
        )

    def _read(self, encoder: ImageEncoder, images: RadiographSource, splits: Splits) -> dict[str, _Part]:
        parts = {}
        for part in ("train", "validation", "test"):
            by_view = {view.view_id: study for study in getattr(splits, part) if (view := study.frontal()) is not None}
            features = self.encoding.extract(encoder, images, list(by_view))
            if not features.view_ids:
                raise NothingToProbe(f"no {part} study has a prepared frontal image")
            parts[part] = _Part(features, [by_view[view_id] for view_id in features.view_ids])
        return parts

    def _predict(self, attribute: Attribute, parts: dict[str, _Part], truth: dict[str, Rows]) -> Rows:
        """The test studies' predictions with the strength that does best on the validation studies."""
        inputs = dict(zip(parts, scaled(*(p.features.joined(self.poolings) for p in parts.values()), scaling="standard"), strict=True))
        known = {part: ~np.isnan(values) for part, values in truth.items()}
        fit = _fit_age if attribute == "age" else _fit_class
        quality = _minus_error if attribute == "age" else auroc
        best, best_quality = None, -np.inf
        for strength in self.strengths:
            predict = fit(inputs["train"][known["train"]], truth["train"][known["train"]], strength)
            found = quality(truth["validation"][known["validation"]], predict(inputs["validation"][known["validation"]]))
            if found > best_quality:
                best, best_quality = predict, found
        assert best is not None
        return best(inputs["test"])

    def _figures(
        self, truth: dict[Attribute, dict[str, Rows]], predicted: dict[Attribute, dict[str, Rows]], studies: Sequence[Study]
    ) -> dict[str, dict[str, Any]]:
        patients = np.asarray([study.patient_id for study in studies], dtype=str)
        weights = resample(patients, replicates=self.replicates, seed=self.seed)
        figures = {}
        for attribute, by_role in predicted.items():
            test = truth[attribute]["test"]
            known = ~np.isnan(test)
            for metric, statistic in _statistics(attribute).items():
                roles: Roles = {role: statistic(test[known], values[known]) for role, values in by_role.items()}
                figures[metric] = figure(roles, weights[:, known], n=int(known.sum()))
        return figures

    def _protocol(self, possible: Sequence[Attribute]) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in ("attributes", "poolings", "strengths", "replicates", "seed")}
        left_out = [a for a in self.attributes if a not in possible]
        return {
            **{name: list(v) if isinstance(v, Sequence) else v for name, v in plain.items()},
            "encoding": self.encoding.described(),
            "left_out": left_out,
        }


@dataclass(frozen=True)
class _Part:
    features: Features
    studies: list[Study]


def _values(studies: Sequence[Study], attribute: Attribute) -> Rows:
    """(N,) years of age; 1 for male or AP, 0 for female or PA; NaN where it is not stated."""
    if attribute == "age":
        return np.asarray([np.nan if study.age is None else study.age for study in studies], np.float64)
    ones = {"sex": {"M": 1.0, "F": 0.0}, "projection": {"AP": 1.0, "PA": 0.0}}[attribute]
    stated = [study.sex if attribute == "sex" else view.projection if (view := study.frontal()) else None for study in studies]
    return np.asarray([ones.get(value or "", np.nan) for value in stated], np.float64)


def _usable(values: Rows, attribute: Attribute) -> bool:
    return len(np.unique(values[~np.isnan(values)])) > 1


def _fit_class(inputs: Rows, truth: Rows, strength: float) -> Callable[[Rows], Rows]:
    fitted = LogisticRegression(C=strength, max_iter=1000).fit(inputs, truth)
    return fitted.decision_function


def _fit_age(inputs: Rows, truth: Rows, strength: float) -> Callable[[Rows], Rows]:
    return Ridge(alpha=1 / strength).fit(inputs, truth).predict


def _minus_error(truth: Rows, predicted: Rows) -> float:
    return -float(np.abs(truth - predicted).mean())


def _statistics(attribute: Attribute) -> dict[str, Callable[[Rows, Rows], Statistic]]:
    if attribute == "age":
        return {"age_r_squared": r_squared_of, "age_mean_absolute_error": lambda y, y_hat: mean_of(np.abs(y - y_hat))}
    return {f"{attribute}_auroc": lambda y, scores: auroc_of(y == 1, scores)}


def _table(truth: dict[Attribute, dict[str, Rows]], predicted: dict[Attribute, dict[str, Rows]], studies: Sequence[Study]) -> pd.DataFrame:
    who = identifiers(studies)
    parts = [
        who.assign(attribute=attribute, truth=truth[attribute]["test"], predicted=values, model=role)
        for attribute, by_role in predicted.items()
        for role, values in by_role.items()
    ]
    return pd.concat(parts, ignore_index=True)
