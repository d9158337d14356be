"""Protocol P0 of MS-CXR-T: fine-tune on the silver progression labels of the training patients, test on MS-CXR-T (BioViL-T, CVPR 2023).

Every arm starts from the same image encoder and learns for the same number of steps from the same pairs in the same order; nothing is
chosen on the test. Chest ImaGenome's labels are silver: read from reports by rules. The paper gives macro accuracy per finding over four
seeds; its learning rates and steps are not published, so ours are options and stand beside the result. Departure: one network learns
all findings at once, each pair counting for those findings that it has a label of.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from medvl.benchmarks.embedding import device_of
from medvl.benchmarks.progression_draws import altered, one_of, rows_by_class, rows_in_order
from medvl.benchmarks.progression_films import ARMS, Arm, Condition, Films, PairImages, conditions_of, encode_pairs
from medvl.benchmarks.progression_heads import Learn, PairClassifier, Pooling, ProgressionHead, static_films
from medvl.benchmarks.progression_pairs import UNLABELLED, PairSplits, targets
from medvl.benchmarks.progression_protocols import Predictions, softmax_of
from medvl.data.progression_samples import ProgressionPair
from medvl.data.transforms import Augmentation
from medvl.metrics.progression import CLASSES
from medvl.runtime.errors import UserError
from medvl.training.optimizers import adamw_with_cosine

Balance = Literal["none", "weights", "sampling"]
Precision = Literal["32-true", "bf16-mixed"]


class KeptMaps(NamedTuple):
    """Static maps that do not learn, computed once and kept on the CPU.

    Attributes:
        train: the training pairs as they are, then each augmented draw of them; ``None`` where pairs are drawn anew at each step.
        asked: the pairs of test and validation.
    """

    train: Sequence[Films] | None
    asked: Films


@dataclass(frozen=True)
class FineTuning:
    """The protocol P0.

    Attributes:
        seeds: one classifier each: its head, its order, its draws.
        steps, batch_size: of the optimiser; pairs in a step.
        learning_rate, head_learning_rate, weight_decay, warmup_steps: of AdamW on the encoder and on the head, with half a cosine.
        learn: ``encoder`` and head; ``change``, what reads the static maps of both films, and head; or the ``head`` alone. Where
            ``change`` learns without augmentation, or with ``kept_draws``, the static maps are computed once and kept in memory:
            2 · C · h · w numbers a pair and draw.
        both_orders: whether the arm ``temporal`` reads a pair in both orders, as the two films apart are read: beside the encoding of the
            current film after the previous one the head gets that of the previous after the current. The paper reads one.
        pooling, hidden, dropout: see ``ProgressionHead``.
        balance: ``weights`` of the loss inverse to each finding's class counts; ``sampling`` draws finding and class before the pair.
        swap: share of training pairs shown with current and previous film exchanged and the label reversed.
        prior_dropout: share of training pairs of the temporal arm shown without their previous film.
        augmentation: of training, shared by the films of a pair; none if not given.
        kept_draws: where ``change`` learns, so many augmented draws of each training pair are kept beside the pair as it is, and a step
            takes any of them; by default an augmented pair is drawn and encoded anew at each step.
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
    both_orders: bool = False
    pooling: Pooling = "mean"
    hidden: int = 128
    dropout: float = 0.1
    balance: Balance = "weights"
    swap: float = 0.0
    prior_dropout: float = 0.0
    augmentation: Augmentation | None = None
    kept_draws: int | None = None
    precision: Precision = "32-true"
    name: ClassVar[Literal["P0"]] = "P0"
    arms: ClassVar[tuple[Arm, ...]] = ARMS
    needs_training_pairs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.kept_draws is not None and (self.learn != "change" or self.augmentation is None or self.kept_draws < 1):
            raise UserError(
                f"protocol.kept_draws={self.kept_draws} keeps one or more augmented draws of static maps: it needs learn=change and an "
                "augmentation; leave it out otherwise"
            )

    def predict(
        self, model: Any, images: PairImages, arms: Sequence[Arm], findings: Sequence[str], pairs: PairSplits
    ) -> dict[Arm, Predictions]:
        """Fine-tune ``model.image`` for each arm with each seed; see ``ProgressionProtocol.predict``. The model itself stays as it is."""
        kept: dict[bool, KeptMaps] = {}  # all arms but ``registered`` have the same static maps
        said: dict[Arm, Predictions] = {}
        for arm in arms:
            registered = arm == "registered"
            if self.learn == "change" and registered not in kept:
                kept[registered] = self._kept_maps(model.image, images, arm, pairs)
            said[arm] = self._predict_arm(model.image, images, arm, findings, pairs, kept.get(registered))
        return said

    def _predict_arm(
        self, encoder: nn.Module, images: PairImages, arm: Arm, findings: Sequence[str], pairs: PairSplits, kept: KeptMaps | None
    ) -> Predictions:
        """Fine-tune for one arm with each seed."""
        asked, tested = [*pairs.test, *pairs.validation], len(pairs.test)
        batches = partial(_slices, kept.asked, images.batch_size) if kept else partial(images.batches, asked, arm)
        by_seed: list[dict[Condition, NDArray[np.float64]]] = []
        losses = []
        for seed in self.seeds:
            classifier, loss = self.fine_tune(encoder, images, arm, findings, pairs.train, seed, kept=kept.train if kept else None)
            losses.append(loss)
            by_seed.append({condition: self._read(classifier, batches(), condition) for condition in conditions_of(arm)})
        together = {condition: np.stack([seed[condition] for seed in by_seed]) for condition in by_seed[0]}
        return Predictions(
            arm,
            pairs.test,
            {condition: values[:, :tested] for condition, values in together.items()},
            together[arm][:, tested:] if pairs.validation else None,
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
        kept: Sequence[Films] | None = None,
    ) -> tuple[PairClassifier, float]:
        """A classifier of one arm, in evaluation mode, and its mean loss over the last tenth of the steps.

        Args:
            kept: draws of the static maps of the training pairs, where these do not learn.
        """
        truth = torch.from_numpy(targets(train, findings))
        device = device_of(encoder)
        weights = _class_weights(truth).to(device) if self.balance == "weights" else None
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            classifier = self._classifier(encoder, images, arm, len(findings), train[:1])
            optimizers = self._optimizers(classifier)
            losses: list[float] = []
            for step in range(self.steps):
                rows, epoch = self._rows(truth, seed, step)
                if kept is not None:
                    films = one_of(kept, rows, seed, step)
                else:
                    films = images.films([train[row] for row in rows], arm, augmentation=self.augmentation, seed=seed, epoch=epoch)
                prior_dropout = self.prior_dropout if arm == "temporal" else 0.0
                films, labels = altered(films, truth[rows], seed, step, swap=self.swap, prior_dropout=prior_dropout)
                films = films.to(device)
                if self.learn == "change" and kept is None:
                    films = self._static(encoder, films)
                torch.manual_seed(seed * 1_000_003 + step)  # dropout is a function of (seed, step)
                loss = _loss(self._logits(classifier, films), labels.to(device), weights)
                _step(loss, optimizers)
                losses.append(loss.item())
        return classifier.eval(), float(np.mean(losses[-max(self.steps // 10, 1) :]))

    def described(self) -> dict[str, Any]:
        """What results say of it."""
        return {"name": self.name, **asdict(self)}

    def _classifier(
        self, encoder: nn.Module, images: PairImages, arm: Arm, findings: int, example: Sequence[ProgressionPair]
    ) -> PairClassifier:
        """A copy of the encoder with a new head, whose inputs are as many as an example shows."""
        device = device_of(encoder)
        with torch.no_grad():
            maps = encode_pairs(encoder, arm, images.films(example, arm).to(device), both_orders=self.both_orders)
        head = ProgressionHead(maps[0].shape[1], len(maps), findings, pooling=self.pooling, hidden=self.hidden, dropout=self.dropout)
        classifier = PairClassifier(copy.deepcopy(encoder), arm, head, learn=self.learn, both_orders=self.both_orders)
        return classifier.to(device).train()

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
        """The training pairs of one step, and the epoch of their draws."""
        if self.balance == "sampling":
            return rows_by_class(truth, self.batch_size, seed, step)
        return rows_in_order(len(truth), self.batch_size, seed, step)

    def _autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed")

    def _logits(self, classifier: PairClassifier, films: Films) -> Tensor:
        with self._autocast(films.current.device):
            return classifier(films).float()

    def _static(self, encoder: nn.Module, films: Films) -> Films:
        with self._autocast(films.current.device):
            return static_films(encoder, films)

    def _kept_maps(self, encoder: nn.Module, images: PairImages, arm: Arm, pairs: PairSplits) -> KeptMaps:
        """What of the static maps need not be computed at every step."""
        train = None
        if self.augmentation is None or self.kept_draws is not None:
            train = [self._kept(encoder, images, arm, pairs.train)]
            for draw in range(self.kept_draws or 0):
                drawn = {"augmentation": self.augmentation, "seed": self.seeds[0], "epoch": draw}
                train.append(self._kept(encoder, images, arm, pairs.train, **drawn))
        return KeptMaps(train, self._kept(encoder, images, arm, [*pairs.test, *pairs.validation]))

    def _kept(self, encoder: nn.Module, images: PairImages, arm: Arm, pairs: Sequence[ProgressionPair], **drawn: Any) -> Films:
        """The static maps of all pairs, on the CPU; ``drawn`` as in ``PairImages.batches``."""
        device, cpu = device_of(encoder), torch.device("cpu")
        parts = [self._static(encoder, films.to(device)).to(cpu) for films in images.batches(pairs, arm, **drawn)]
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


def _step(loss: Tensor, optimizers: Sequence[dict[str, Any]]) -> None:
    """Take one step of each optimiser and its schedule."""
    loss.backward()
    for each in optimizers:
        each["optimizer"].step()
        each["lr_scheduler"]["scheduler"].step()
        each["optimizer"].zero_grad()


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
