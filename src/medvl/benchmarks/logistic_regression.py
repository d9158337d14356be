"""Logistic regression on frozen features: L2-regularised, the strength chosen per finding on the validation studies (DINOv2's protocol).

The official grid is C in 10^linspace(−6, 5, 45), up to 1,000 iterations, features of unit length; after the choice the classifier is
fitted once more on training and validation studies together. Departures: one binary classifier per finding, chosen by AUROC; the validation
split stands in for the official tenth of the training images; scikit-learn's solver in place of cuML's.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from medvl.benchmarks.embedding import RadiographSource
from medvl.benchmarks.features import ImageEncoder, Pooling
from medvl.benchmarks.findings_task import FindingsTask, LabelledFeatures, Splits
from medvl.benchmarks.results import Evaluation
from medvl.metrics.classification import auroc

Scaling = Literal["unit", "standard"]


@dataclass(frozen=True)
class LogisticRegressionProbe:
    """The protocol; ``evaluate`` runs it.

    Attributes:
        task: images, findings and labels.
        poolings: what the classifier reads of the last block, side by side. Official: ``cls``.
        scaling: features of unit length (official), or each with mean 0 and deviation 1 over the training studies.
        exponents: lowest and highest power of ten of C, and their number.
        iterations: of the solver, at most.
    """

    task: FindingsTask
    poolings: Sequence[Pooling] = ("cls",)
    scaling: Scaling = "unit"
    exponents: tuple[float, float, int] = (-6, 5, 45)
    iterations: int = 1000
    name: Literal["logistic_regression"] = field(default="logistic_regression", init=False)

    def evaluate(
        self, encoder: ImageEncoder, images: RadiographSource, splits: Splits, *, untrained: ImageEncoder | None = None
    ) -> Evaluation:
        """Probe an encoder, and another beside it. Arguments and errors as ``FindingsTask.evaluate``."""
        return self.task.evaluate(self.name, self._score, encoder, images, splits, untrained=untrained)

    def _score(self, train: LabelledFeatures, validation: LabelledFeatures, test: LabelledFeatures) -> tuple[pd.DataFrame, dict[str, Any]]:
        inputs = scaled(*(part.features.joined(self.poolings) for part in (train, validation, test)), scaling=self.scaling)
        scores, chosen = {}, {}
        for finding in self.task.findings:
            truths = tuple(part.truth[finding].to_numpy() for part in (train, validation))
            scores[finding], chosen[finding] = self._score_finding(inputs, truths)
        return pd.DataFrame(scores), {"C": chosen}

    def _score_finding(
        self, inputs: Sequence[NDArray[np.float64]], truths: tuple[NDArray[np.float64], ...]
    ) -> tuple[NDArray[np.float64], float | None]:
        """Scores of the test studies, and the chosen C; constant scores and no choice where a class is missing."""
        train, validation = (~np.isnan(truth) for truth in truths)
        if len(np.unique(truths[0][train])) < 2:
            return np.zeros(len(inputs[2])), None
        areas = {}
        for c in np.logspace(self.exponents[0], self.exponents[1], int(self.exponents[2])):
            fitted = self._fit(inputs[0][train], truths[0][train], c)
            areas[float(c)] = np.nan_to_num(auroc(truths[1][validation] == 1, fitted.decision_function(inputs[1][validation])))
        best = max(areas, key=lambda c: areas[c])
        both = np.concatenate([inputs[0][train], inputs[1][validation]])
        fitted = self._fit(both, np.concatenate([truths[0][train], truths[1][validation]]), best)
        return fitted.decision_function(inputs[2]), best

    def _fit(self, inputs: NDArray[np.float64], truth: NDArray[np.float64], c: float) -> LogisticRegression:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # weak regularisation of separable classes has no end; the grid compares
            return LogisticRegression(C=c, max_iter=self.iterations).fit(inputs, truth)


def scaled(*parts: NDArray[np.float32], scaling: Scaling) -> list[NDArray[np.float64]]:
    """Features (N, D) of several splits, of unit length or standardised by the first."""
    exact = [part.astype(np.float64) for part in parts]
    if scaling == "unit":
        return [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12) for part in exact]
    mean, deviation = exact[0].mean(axis=0), np.maximum(exact[0].std(axis=0), 1e-12)
    return [(part - mean) / deviation for part in exact]
