"""A small probe during training: how well frozen features tell the findings of held-out patients.

Logistic regression per finding on standardised features of some training images, scored by AUROC on the validation split and averaged
over the findings. It chooses the checkpoint, as linear probing on validation sets chose the public RAD-DINO one; what is reported
afterwards comes from the benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medvl.data.module import RadiographDataModule
from medvl.data.samples import ImageSamples
from medvl.metrics.classification import auroc
from medvl.runtime.errors import UserError

Encode = Callable[[Tensor], Tensor]


class NothingToProbe(UserError):
    """No finding has both labels in the training and in the validation split."""


class FindingsProbe:
    """Mean AUROC of findings on the validation split.

    Args:
        labels: the source of the labels, as the dataset names it; unmentioned counts as negative, uncertain labels are left out.
        images: at most so many of each split, evenly over its order.
        findings: which ones; all that have both labels in both splits if not given.
        strength: inverse regularisation C of the regressions.
        batch_size: images embedded at once.
    """

    def __init__(
        self,
        *,
        labels: str = "chexpert",
        images: int = 1000,
        findings: Sequence[str] | None = None,
        strength: float = 0.01,
        batch_size: int = 50,
    ) -> None:
        self.labels, self.images, self.findings = labels, images, findings
        self.strength, self.batch_size = strength, batch_size

    def auroc(self, encode: Encode, batches: RadiographDataModule, device: torch.device) -> float:
        """The mean over findings.

        Args:
            encode: images (B, 1, S, S) in [0, 1] → features (B, D).
            batches: the run's data; its centre crops of the frontal images are embedded.
            device: of the encoder.

        Raises:
            NothingToProbe: if no finding has both labels in both splits.
        """
        (train, train_labels), (held_out, labels) = (
            self._embedded(encode, batches, split, device) for split in (batches.train_split, batches.val_split)
        )
        mean, std = train.mean(axis=0), train.std(axis=0) + 1e-6
        scores = [
            _auroc((train - mean) / std, train_labels[finding], (held_out - mean) / std, labels[finding], self.strength)
            for finding in sorted(train_labels.keys() & labels.keys())
            if self.findings is None or finding in self.findings
        ]
        found = [score for score in scores if score is not None]
        if not found:
            raise NothingToProbe(f"no finding has both {self.labels!r} labels in training and validation: set training.probe=null")
        return float(np.mean(found))

    def _embedded(
        self, encode: Encode, batches: RadiographDataModule, split: str, device: torch.device
    ) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        """Features (n, D) of a split, and per finding its labels (n,), NaN where left out."""
        samples = ImageSamples(batches.prepared, split=split, crop=batches.crop)
        chosen = np.unique(np.linspace(0, len(samples) - 1, min(self.images, len(samples))).astype(int))
        features = torch.cat([encode(images.to(device)).float().cpu() for images in self._images(samples, chosen)])
        given = [batches.prepared.studies[samples.items[i][0]].labels.get(self.labels, {}) for i in chosen]
        names = sorted({name for labels in given for name in labels})
        value = {"positive": 1.0, "negative": 0.0, "uncertain": np.nan, None: 0.0}
        return features.double().numpy(), {name: np.array([value[labels.get(name)] for labels in given]) for name in names}

    def _images(self, samples: ImageSamples, chosen: NDArray[np.int64]) -> Iterator[Tensor]:
        for start in range(0, len(chosen), self.batch_size):
            yield torch.stack([samples[int(i)]["image"] for i in chosen[start : start + self.batch_size]])


def _auroc(
    train: NDArray[np.float64],
    train_labels: NDArray[np.float64],
    held_out: NDArray[np.float64],
    labels: NDArray[np.float64],
    strength: float,
) -> float | None:
    """AUROC of one finding; ``None`` if a class is missing."""
    from sklearn.linear_model import LogisticRegression

    known, known_here = ~np.isnan(train_labels), ~np.isnan(labels)
    if any(len(np.unique(values)) < 2 for values in (train_labels[known], labels[known_here])):
        return None
    regression = LogisticRegression(C=strength, max_iter=2000).fit(train[known], train_labels[known])
    scores = regression.decision_function(held_out[known_here])
    return auroc(labels[known_here] == 1, scores)
