"""Fine-tuning a whole image encoder to classify findings: the encoder and one linear head on its class token, trained together.

AdamW, the learning rate warmed up linearly and decayed by a cosine to 0, binary cross-entropy over the known labels; the weights with the
best macro AUROC on the validation studies score the test studies. The recipe is ours: published ones differ in all of it.

The order of samples and what augmentation draws are functions of the seed, the epoch and the view; the encoder given is not changed.
"""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from medvl.benchmarks.embedding import RadiographSource, device_of, image_batches
from medvl.benchmarks.features import ImageEncoder
from medvl.benchmarks.findings_task import FindingsTask, LabelledFeatures
from medvl.data.transforms import Augmentation, generator, jitter, random_crop, to_tensor
from medvl.runtime.errors import UserError


class NotTrainable(UserError):
    """An encoder that is no torch module cannot be fine-tuned."""


@dataclass(frozen=True)
class FineTuning:
    """How an encoder is fine-tuned.

    Attributes:
        learning_rate: of the encoder, at its highest.
        head_learning_rate: of the new head, at its highest.
        weight_decay: of both.
        steps: optimiser steps, whatever the number of samples.
        warm_up: share of the steps over which the learning rate rises.
        validate_every: steps between two looks at the validation studies.
        batch_size: samples in a step; all of them where there are fewer.
        max_gradient_norm: gradients are scaled down to this norm.
        augmentation: what is drawn anew for each sample and epoch; nothing if not given.
    """

    learning_rate: float = 5e-5
    head_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    steps: int = 1000
    warm_up: float = 0.1
    validate_every: int = 100
    batch_size: int = 32
    max_gradient_norm: float = 1.0
    augmentation: Augmentation | None = None

    def score(
        self,
        encoder: ImageEncoder,
        images: RadiographSource,
        task: FindingsTask,
        train: LabelledFeatures,
        validation: LabelledFeatures,
        test: LabelledFeatures,
        *,
        seed: int = 0,
    ) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Learn from the training studies, choose by the validation studies: log-odds of the test studies (N, findings), and the choice.

        Args:
            encoder: where training starts; a torch module in evaluation mode.
            images: of all views.
            task: the findings, and the crop that evaluation sees.
            train, validation, test: who they are and their truth; features are not read.
            seed: of the head's weights, the order and augmentation.

        Raises:
            NotTrainable: if the encoder is no torch module.
            ValueError: if it is in training mode.
        """
        if not isinstance(encoder, nn.Module):
            raise NotTrainable(f"{type(encoder).__name__} is no torch module and cannot be fine-tuned; take mode=linear")
        network = _Classifier(copy.deepcopy(encoder), images, task, device_of(encoder), seed)
        optimizer = torch.optim.AdamW(
            [{"params": network.encoder.parameters(), "lr": self.learning_rate}, {"params": [network.weight, network.bias]}],
            lr=self.head_learning_rate,
            weight_decay=self.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._share_of_rate)
        truth = torch.tensor(train.truth.to_numpy(np.float32), device=network.device)
        best, best_step, best_area = network.state(), 0, -math.inf
        for step in range(self.steps):
            rows, epoch = self._rows(step, len(truth), seed)
            loss = _loss(network(self._pixels(network, train, rows, epoch, seed)), truth[torch.from_numpy(rows)])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], self.max_gradient_norm)
            optimizer.step()
            schedule.step()
            if (step + 1) % self.validate_every == 0 or step + 1 == self.steps:
                area = np.nan_to_num(task.macro_auroc(network.scores(validation), validation.truth))
                if area > best_area:
                    best, best_step, best_area = network.state(), step + 1, float(area)
        network.load(best)
        return pd.DataFrame(network.scores(test), columns=list(task.findings)), {"step": best_step, "validation_auroc": best_area}

    def described(self) -> dict[str, Any]:
        """What results say of it."""
        return asdict(self)

    def _share_of_rate(self, step: int) -> float:
        rising = max(1, round(self.warm_up * self.steps))
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, self.steps - rising)))

    def _rows(self, step: int, count: int, seed: int) -> tuple[np.ndarray[Any, np.dtype[np.int64]], int]:
        """The samples of a step and their epoch; an epoch's last, smaller batch is not used."""
        batch = min(self.batch_size, count)
        epoch, place = divmod(step, count // batch)
        return np.random.default_rng((seed, epoch)).permutation(count)[place * batch : (place + 1) * batch], epoch

    def _pixels(self, network: _Classifier, train: LabelledFeatures, rows: np.ndarray[Any, Any], epoch: int, seed: int) -> Tensor:
        """(B, 1, S, S), augmented if asked for."""
        views = [train.features.view_ids[row] for row in rows]
        encoding = network.task.encoding
        if self.augmentation is None:
            return next(image_batches(network.images, views, encoding.crop, encoding.short_side, encoding.fit, len(views)))[1]
        squares = []
        for view in views:
            draw = generator(seed, epoch, view)
            window, _ = random_crop(network.images.image(view), network.images.frame(view), encoding.crop, self.augmentation, draw)
            squares.append(to_tensor(jitter(window, self.augmentation, draw)))
        return torch.stack(squares)


class _Classifier:
    """An encoder with a linear head on its class token."""

    def __init__(self, encoder: Any, images: RadiographSource, task: FindingsTask, device: torch.device, seed: int) -> None:
        self.encoder, self.images, self.task, self.device, self.seed = encoder, images, task, device, seed
        width = self._class_token(torch.zeros(1, 1, task.encoding.crop, task.encoding.crop)).shape[1]
        draw = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter((torch.randn(width, len(task.findings), generator=draw) * 0.01).to(device))
        self.bias = nn.Parameter(torch.zeros(len(task.findings), device=device))
        self.encoder.requires_grad_(True)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 1, S, S) → log-odds (B, findings), the encoder in training mode."""
        self.encoder.train()
        return self._class_token(pixels) @ self.weight + self.bias

    @torch.no_grad()
    def scores(self, labelled: LabelledFeatures) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Log-odds (N, findings), the encoder in evaluation mode."""
        self.encoder.eval()
        of = self.task.encoding
        batches = image_batches(self.images, labelled.features.view_ids, of.crop, of.short_side, of.fit, of.batch_size)
        return torch.cat([self._class_token(pixels) @ self.weight + self.bias for _, pixels, _ in batches]).cpu().numpy()

    def state(self) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """A copy of all weights."""
        encoder = {name: tensor.detach().clone() for name, tensor in self.encoder.state_dict().items()}
        return encoder, self.weight.detach().clone(), self.bias.detach().clone()

    def load(self, state: tuple[dict[str, Tensor], Tensor, Tensor]) -> None:
        """Take weights back."""
        self.encoder.load_state_dict(state[0])
        self.weight.data, self.bias.data = state[1], state[2]

    def _class_token(self, pixels: Tensor) -> Tensor:
        encoded = self.encoder.encode(self.encoder.standardize(pixels.to(self.device)), layers=(-1,), norm=True)
        return encoded.cls_by_layer[-1].float()


def _loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy over the labels that are known (not NaN)."""
    known = ~truth.isnan()
    each = binary_cross_entropy_with_logits(logits, truth.nan_to_num(), reduction="none")
    return each[known].sum() / known.sum().clamp(min=1)
