"""Linear probing of a frozen encoder: every learning rate × last blocks × pooling head in one pass (DINOv2's protocol).

A head reads the class tokens of the last n blocks side by side, optionally with the mean patch token of the last; it is trained with SGD
(momentum 0.9, no weight decay, learning rate · batch / 256 decayed by a cosine to 0). All heads learn side by side on the same batches; the
one with the best macro AUROC on the validation studies scores the test studies.

Departures: findings are independent, so the loss is binary cross-entropy and unknown labels do not count; features are those of the
evaluation crop, encoded once, where the official code draws a new random crop of every image in every epoch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from medvl.benchmarks.embedding import RadiographSource
from medvl.benchmarks.features import Features, ImageEncoder
from medvl.benchmarks.findings_task import FindingsTask, LabelledFeatures, Splits
from medvl.benchmarks.results import Evaluation

OFFICIAL_LEARNING_RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)
MOMENTUM = 0.9


@dataclass(frozen=True)
class LinearProbe:
    """The protocol; ``evaluate`` runs it.

    Attributes:
        task: images, findings and labels.
        learning_rates: per 256 samples, one head for each.
        blocks: numbers of last blocks whose class tokens a head reads, one head for each.
        mean_patch: whether the mean patch token of the last block is read as well, one head for each.
        steps: of SGD.
        batch_size: samples in a step.
        seed: of the heads' weights and of the order.
    """

    task: FindingsTask
    learning_rates: Sequence[float] = OFFICIAL_LEARNING_RATES
    blocks: Sequence[int] = (1, 4)
    mean_patch: Sequence[bool] = (False, True)
    steps: int = 12_500
    batch_size: int = 1024
    seed: int = 0
    name: Literal["linear_probe"] = field(default="linear_probe", init=False)

    def evaluate(
        self, encoder: ImageEncoder, images: RadiographSource, splits: Splits, *, untrained: ImageEncoder | None = None
    ) -> Evaluation:
        """Probe an encoder, and another beside it. Arguments and errors as ``FindingsTask.evaluate``."""
        return self.task.evaluate(self.name, self.score, encoder, images, splits, untrained=untrained, layers=self.layers)

    @property
    def layers(self) -> Sequence[int]:
        """The blocks whose features are read."""
        return range(-max(self.blocks), 0)

    def score(self, train: LabelledFeatures, validation: LabelledFeatures, test: LabelledFeatures) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Learn from the training studies, choose by the validation studies: log-odds of the test studies (N, findings), and the choice."""
        best_area, best_scores, best_head = -math.inf, np.zeros(0), {}
        for blocks, mean_patch in itertools.product(self.blocks, self.mean_patch):
            heads = self._train(_inputs(train.features, blocks, mean_patch), torch.tensor(train.truth.to_numpy(np.float32)))
            tried = heads(_inputs(validation.features, blocks, mean_patch)).numpy()  # (rates, N, findings)
            areas = [np.nan_to_num(self.task.macro_auroc(scores, validation.truth)) for scores in tried]
            best = int(np.argmax(areas))
            if areas[best] > best_area:
                best_area, best_scores = areas[best], heads(_inputs(test.features, blocks, mean_patch))[best].numpy()
                best_head = {"learning_rate": self.learning_rates[best], "blocks": blocks, "mean_patch": mean_patch}
        return pd.DataFrame(best_scores, columns=list(self.task.findings)), {**best_head, "validation_auroc": float(best_area)}

    def _train(self, inputs: Tensor, truth: Tensor) -> _Heads:
        """One head for each learning rate, on the same batches: inputs (N, D), truth (N, findings) with NaN where unknown."""
        draw = torch.Generator().manual_seed(self.seed)
        heads = _Heads(len(self.learning_rates), inputs.shape[1], truth.shape[1], draw)
        batch = min(self.batch_size, len(inputs))
        rates = torch.tensor(self.learning_rates)[:, None, None] * batch / 256
        order = torch.randperm(len(inputs), generator=draw)
        for step in range(self.steps):
            start = step * batch % len(inputs)
            if start + batch > len(inputs):
                order, start = torch.randperm(len(inputs), generator=draw), 0
            rows = order[start : start + batch]
            heads.descend(inputs[rows], truth[rows], rates * 0.5 * (1 + math.cos(math.pi * step / self.steps)))
        return heads


class _Heads:
    """R linear classifiers (R, D, F) that see the same inputs; each has its own learning rate and nothing to do with the others."""

    def __init__(self, count: int, inputs: int, findings: int, draw: torch.Generator) -> None:
        one = torch.randn(inputs, findings, generator=draw) * 0.01
        self.weight, self.bias = one.expand(count, -1, -1).clone(), torch.zeros(count, 1, findings)
        self.weight_momentum, self.bias_momentum = torch.zeros_like(self.weight), torch.zeros_like(self.bias)

    def __call__(self, inputs: Tensor) -> Tensor:
        """(N, D) → logits (R, N, F)."""
        return torch.baddbmm(self.bias, inputs.expand(len(self.weight), -1, -1), self.weight)

    def descend(self, inputs: Tensor, truth: Tensor, rates: Tensor) -> None:
        """One step of SGD with momentum on the mean cross-entropy of the known labels; its gradient is p − y."""
        known = ~truth.isnan()
        error = torch.where(known, self(inputs).sigmoid() - truth.nan_to_num(), 0.0) / known.sum().clamp(min=1)  # (R, B, F)
        self.weight_momentum.mul_(MOMENTUM).add_(inputs.T @ error)
        self.bias_momentum.mul_(MOMENTUM).add_(error.sum(dim=1, keepdim=True))
        self.weight.sub_(rates * self.weight_momentum)
        self.bias.sub_(rates * self.bias_momentum)


def _inputs(features: Features, blocks: int, mean_patch: bool) -> Tensor:
    """(N, D): class tokens of the last blocks, and the last block's mean patch token if asked for."""
    cls = features.pooled["cls"][:, -blocks:].reshape(len(features.view_ids), -1)
    parts = [cls, features.pooled["mean"][:, -1]] if mean_patch else [cls]
    return torch.from_numpy(np.concatenate(parts, axis=1))
