"""k nearest neighbours: how well the plain distances of frozen features separate findings (DINOv2's protocol, Oquab et al. 2023).

Class tokens of unit length; the k nearest training images vote with weights softmax(cosine / 0.07). The vote for a finding is the weighted
share of neighbours that have it. k is chosen on the validation studies; the scores at every k are in the protocol.

Departure: the official protocol has one class per image and reports accuracy; here findings are independent and the figures are areas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from medvl.benchmarks.embedding import RadiographSource
from medvl.benchmarks.features import ImageEncoder
from medvl.benchmarks.findings_task import FindingsTask, LabelledFeatures, Splits
from medvl.benchmarks.results import Evaluation

ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class KNearestNeighbours:
    """The protocol; ``evaluate`` runs it.

    Attributes:
        task: images, findings and labels.
        neighbours: candidates for k; those above the number of training images are left out.
        temperature: of the votes.
    """

    task: FindingsTask
    neighbours: Sequence[int] = (10, 20, 100, 200)
    temperature: float = 0.07
    name: Literal["knn"] = field(default="knn", init=False)

    def evaluate(
        self, encoder: ImageEncoder, images: RadiographSource, splits: Splits, *, untrained: ImageEncoder | None = None
    ) -> Evaluation:
        """Probe an encoder, and another beside it. Arguments and errors as ``FindingsTask.evaluate``."""
        return self.task.evaluate(self.name, self._score, encoder, images, splits, untrained=untrained)

    def _score(self, train: LabelledFeatures, validation: LabelledFeatures, test: LabelledFeatures) -> tuple[pd.DataFrame, dict[str, Any]]:
        possible = [k for k in self.neighbours if k <= len(train.studies)] or [len(train.studies)]
        tried = self._votes(train, validation, possible)
        areas = {k: self.task.macro_auroc(votes, validation.truth) for k, votes in tried.items()}
        best = max(possible, key=lambda k: np.nan_to_num(areas[k]))
        scores = self._votes(train, test, [best])[best]
        return pd.DataFrame(scores, columns=list(self.task.findings)), {"k": best, "validation_auroc": areas}

    def _votes(self, train: LabelledFeatures, asked: LabelledFeatures, neighbours: Sequence[int]) -> dict[int, NDArray[np.float64]]:
        """k → votes (N, findings) in [0, 1]."""
        known, votes = train.truth.notna().to_numpy(np.float64), train.truth.fillna(0).to_numpy()
        memory, questions = _unit(train.features.pooled["cls"][:, -1]), _unit(asked.features.pooled["cls"][:, -1])
        parts: dict[int, list[NDArray[np.float64]]] = {k: [] for k in neighbours}
        for start in range(0, len(questions), ROWS_AT_ONCE):
            cosines = questions[start : start + ROWS_AT_ONCE] @ memory.T
            nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : max(neighbours)]
            weights = softmax(np.take_along_axis(cosines, nearest, axis=1) / self.temperature, axis=1)[..., None]
            for k in neighbours:
                first, weight = nearest[:, :k], weights[:, :k]
                total = (weight * known[first]).sum(axis=1)
                for_it = (weight * votes[first]).sum(axis=1)
                parts[k].append(np.divide(for_it, total, out=np.zeros_like(total), where=total > 0))
        return {k: np.concatenate(rows) for k, rows in parts.items()}


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(lengths, np.float32(1e-12))
