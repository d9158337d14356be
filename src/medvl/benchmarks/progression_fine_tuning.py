"""Protocol P0 of MS-CXR-T: fine-tune on the silver progression labels of the training patients, test on MS-CXR-T (BioViL-T, CVPR 2023).

Every arm starts from the same image encoder and learns for the same number of steps from the same pairs in the same order; nothing is
chosen on the test. Chest ImaGenome's labels are silver: read from reports by rules. The paper gives macro accuracy per finding over four
seeds; its learning rates and steps are not published, so ours are options and stand beside the result. Departure: one network learns
all findings at once, each pair counting for those findings that it has a label of.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from medvl.benchmarks.embedding import device_of
from medvl.benchmarks.progression_films import Arm, Condition, Films, PairImages, conditions_of, encode_pairs
from medvl.benchmarks.progression_heads import Learn, PairClassifier, Pooling, ProgressionHead, static_films
from medvl.benchmarks.progression_pairs import UNLABELLED, targets
from medvl.benchmarks.progression_protocols import Predictions, softmax_of
from medvl.data.progression_samples import ProgressionPair
from medvl.data.transforms import Augmentation
from medvl.metrics.progression import CLASSES
from medvl.training.optimizers import adamw_with_cosine

Balance = Literal["none", "weights", "sampling"]
Precision = Literal["32-true", "bf16-mixed"]


@dataclass(frozen=True)
class FineTuning:
    """The protocol P0.

    Attributes:
        seeds: one classifier each: its head, its order, its draws.
        steps, batch_size: of the optimiser; pairs in a step.
        learning_rate, head_learning_rate, weight_decay, warmup_steps: of AdamW on the encoder and on the head, with half a cosine.
        learn: ``encoder`` and head; ``change``, what reads the static maps of both films, and head; or the ``head`` alone. Without
            augmentation the static maps are computed once and kept in memory: 2 · C · h · w numbers a pair.
        pooling, hidden, dropout: see ``ProgressionHead``.
        balance: ``weights`` of the loss inverse to each finding's class counts; ``sampling`` draws finding and class before the pair.
        swap: share of training pairs shown with current and previous film exchanged and the label reversed.
        prior_dropout: share of training pairs of the temporal arm shown without their previous film.
        augmentation: of training, shared by the films of a pair; none if not given.
        precision: ``bf16-mixed`` computes in half precision where that is safe.
    """

    seeds: Sequence[int] = (0, 1, 2, 3)
    steps: int = 1000
    batch_size: int = 32
    learning_rate: float = 1e-4
    head_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_steps: int = 50
    learn: Learn = "encoder"
    pooling: Pooling = "mean"
    hidden: int = 128
    dropout: float = 0.1
    balance: Balance = "weights"
    swap: float = 0.0
    prior_dropout: float = 0.0
    augmentation: Augmentation | None = None
    precision: Precision = "32-true"
    name: Literal["P0"] = field(default="P0", init=False)
    arms: tuple[Arm, ...] = field(default=("current", "concatenated", "registered", "temporal"), init=False)
    needs_training_pairs: bool = field(default=True, init=False)

    def tested(self, test: Sequence[ProgressionPair]) -> list[ProgressionPair]:
        """All of MS-CXR-T."""
        return list(test)

    def predict(
        self,
        model: Any,
        images: PairImages,
        arm: Arm,
        findings: Sequence[str],
        train: Sequence[ProgressionPair],
        validation: Sequence[ProgressionPair],
        test: Sequence[ProgressionPair],
    ) -> Predictions:
        """Fine-tune ``model.image`` for one arm with each seed; see ``ProgressionProtocol.predict``. The model itself stays as it is."""
        asked = [*test, *validation]
        kept = self._static(model.image, images, arm, train) if self.learn == "change" and self.augmentation is None else None
        shown = self._static(model.image, images, arm, asked) if self.learn == "change" else None
        by_seed: list[dict[Condition, NDArray[np.float64]]] = []
        losses = []
        for seed in self.seeds:
            classifier, loss = self.fine_tune(model.image, images, arm, findings, train, seed, kept=kept)
            losses.append(loss)
            batches = partial(_slices, shown, images.batch_size) if shown is not None else partial(images.batches, asked, arm)
            by_seed.append({condition: self._read(classifier, batches(), condition) for condition in conditions_of(arm)})
        together = {condition: np.stack([seed[condition] for seed in by_seed]) for condition in by_seed[0]}
        return Predictions(
            arm,
            {condition: values[:, : len(test)] for condition, values in together.items()},
            together[arm][:, len(test) :] if validation else None,
            {"final_training_loss": losses},
        )

    def fine_tune(
        self,
        encoder: nn.Module,
        images: PairImages,
        arm: Arm,
        findings: Sequence[str],
        train: Sequence[ProgressionPair],
        seed: int,
        *,
        kept: Films | None = None,
    ) -> tuple[PairClassifier, float]:
        """A classifier of one arm, in evaluation mode, and its mean loss over the last tenth of the steps.

        Args:
            kept: static maps of the training pairs, where these do not learn.
        """
        truth = torch.from_numpy(targets(train, findings))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            classifier = self._classifier(encoder, images, arm, findings, train)
            device = device_of(encoder)
            weights = _class_weights(truth).to(device) if self.balance == "weights" else None
            groups = self._optimizers(classifier)
            losses: list[float] = []
            for step in range(self.steps):
                rows, epoch = self._rows(truth, seed, step)
                if kept is not None:
                    films = Films(*(tensor[rows] for tensor in kept))
                else:
                    films = images.films([train[row] for row in rows], arm, augmentation=self.augmentation, seed=seed, epoch=epoch)
                films, labels = self._drawn(films, truth[rows], arm, seed, step)
                torch.manual_seed(seed * 1_000_003 + step)  # dropout is a function of (seed, step)
                films = films.to(device)
                if self.learn == "change" and kept is None:
                    films = static_films(encoder, films)
                loss = _loss(self._logits(classifier, films), labels.to(device), weights)
                loss.backward()
                for group in groups:
                    group["optimizer"].step()
                    group["lr_scheduler"]["scheduler"].step()
                    group["optimizer"].zero_grad()
                losses.append(loss.item())
        return classifier.eval(), float(np.mean(losses[-max(self.steps // 10, 1) :]))

    def described(self) -> dict[str, Any]:
        """What results say of it."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("augmentation", "arms")}
        drawn = self.augmentation
        augmentation = None if drawn is None else {name: _plain(getattr(drawn, name)) for name in drawn.__dataclass_fields__}
        return {**plain, "seeds": list(self.seeds), "augmentation": augmentation}

    def _classifier(
        self, encoder: nn.Module, images: PairImages, arm: Arm, findings: Sequence[str], train: Sequence[ProgressionPair]
    ) -> PairClassifier:
        device = device_of(encoder)
        with torch.no_grad():
            maps = encode_pairs(encoder, arm, images.films(train[:1], arm).to(device))
        head = ProgressionHead(maps[0].shape[1], len(maps), len(findings), pooling=self.pooling, hidden=self.hidden, dropout=self.dropout)
        return PairClassifier(copy.deepcopy(encoder), arm, head, learn=self.learn).to(device).train()

    def _optimizers(self, classifier: PairClassifier) -> list[dict[str, Any]]:
        """Encoder and head, each at its own rate."""
        rates = ((classifier.encoder, self.learning_rate), (classifier.head, self.head_learning_rate))
        return [
            adamw_with_cosine(
                module.parameters(),
                learning_rate=rate,
                weight_decay=self.weight_decay,
                warmup_steps=self.warmup_steps,
                steps=self.steps,
            )
            for module, rate in rates
            if any(parameter.requires_grad for parameter in module.parameters())
        ]

    def _rows(self, truth: Tensor, seed: int, step: int) -> tuple[list[int], int]:
        """The training pairs of one step, and the epoch of their draws: a function of (seed, step)."""
        if self.balance == "sampling":
            draw = np.random.default_rng((seed, step))
            cells = [torch.nonzero(truth[:, f] == c)[:, 0] for f in range(truth.shape[1]) for c in range(len(CLASSES))]
            filled = [cell for cell in cells if len(cell)]
            chosen = [filled[i] for i in draw.integers(len(filled), size=self.batch_size)]
            return [int(cell[draw.integers(len(cell))]) for cell in chosen], step
        places = range(step * self.batch_size, (step + 1) * self.batch_size)
        orders = {epoch: np.random.default_rng((seed, epoch)).permutation(len(truth)) for epoch in {p // len(truth) for p in places}}
        return [int(orders[place // len(truth)][place % len(truth)]) for place in places], places[0] // len(truth)

    def _drawn(self, films: Films, labels: Tensor, arm: Arm, seed: int, step: int) -> tuple[Films, Tensor]:
        """The films with the step's exchanges and missing priors; where films are exchanged, labels (B, F) are reversed."""
        draw = torch.Generator().manual_seed((seed << 32) + step)
        exchanged, dropped = torch.rand(2, len(labels), generator=draw)
        turn = exchanged < self.swap
        by_row = turn[:, None, None, None]
        current, previous = torch.where(by_row, films.previous, films.current), torch.where(by_row, films.current, films.previous)
        reversed_ = torch.where(labels == UNLABELLED, labels, len(CLASSES) - 1 - labels)
        labels = torch.where(turn[:, None], reversed_, labels)
        has_previous = films.has_previous & (dropped >= self.prior_dropout) if arm == "temporal" else films.has_previous
        return Films(current, previous, has_previous), labels

    def _autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed")

    def _logits(self, classifier: PairClassifier, films: Films) -> Tensor:
        with self._autocast(films.current.device):
            return classifier(films).float()

    def _static(self, encoder: nn.Module, images: PairImages, arm: Arm, pairs: Sequence[ProgressionPair]) -> Films:
        """The static maps of all pairs in evaluation's crop, on the CPU."""
        device = device_of(encoder)
        with self._autocast(device):
            parts = [static_films(encoder, films.to(device)).to(torch.device("cpu")) for films in images.batches(pairs, arm)]
        return Films(*(torch.cat(column) for column in zip(*parts, strict=True)))

    @torch.inference_mode()
    def _read(self, classifier: PairClassifier, batches: Iterable[Films], condition: Condition) -> NDArray[np.float64]:
        """Probabilities (N, F, 3) under one condition."""
        device = device_of(classifier)
        return np.concatenate([softmax_of(self._logits(classifier, films.to(device).shown(condition))) for films in batches])


def _slices(films: Films, size: int) -> Iterator[Films]:
    """Batches of many pairs."""
    for start in range(0, len(films.current), size):
        yield Films(*(tensor[start : start + size] for tensor in films))


def _class_weights(truth: Tensor) -> Tensor:
    """(F, 3): inverse to the class counts of each finding, so that its classes weigh alike and its pairs 1 on average."""
    counts = torch.stack([(truth == number).sum(dim=0) for number in range(len(CLASSES))], dim=1).float()  # (F, 3)
    present = (counts > 0).sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(counts > 0, counts.sum(dim=1, keepdim=True) / (present * counts.clamp(min=1)), 0.0)


def _loss(logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    """Mean cross-entropy of the labels that there are: logits (B, F, 3), labels (B, F), weights (F, 3)."""
    each = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=UNLABELLED, reduction="none").unflatten(0, labels.shape)
    known = labels != UNLABELLED
    if weights is not None:
        finding = torch.arange(labels.shape[1], device=labels.device).expand_as(labels)
        each = each * weights[finding, labels.clamp(min=0)]
    return (each * known).sum() / known.sum().clamp(min=1)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
