"""Protocols A and B of MS-CXR-T: classifiers on the mean patches of a frozen encoder, learned from MS-CXR-T's own labels.

A splits the patients 70 / 10 / 20 and fits a linear classifier (HERGen, ALTA); B tests every pair once in k folds over the patients with a
support vector machine (Med-ST). The published splits, folds and strengths are not released: ours stand beside the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from medvl.benchmarks.embedding import device_of
from medvl.benchmarks.progression_films import ARMS, Arm, Condition, PairImages, conditions_of, encode_pairs
from medvl.benchmarks.progression_pairs import UNLABELLED, NoProgressionPairs, PairSplits, targets
from medvl.benchmarks.progression_protocols import Predictions
from medvl.data.hashed_split import hashed_split
from medvl.data.progression_samples import ProgressionPair
from medvl.metrics.progression import CLASSES, macro_accuracy

Features = dict[Condition, NDArray[np.float64]]
"""Condition → (N, D) frozen features of the same pairs."""


@dataclass(frozen=True)
class LinearHead:
    """Protocol A: a linear classifier on frozen features, on a split of MS-CXR-T's own patients.

    The published splits are not released; ours goes by a hash of the patient. Features are standardised over the training pairs; the
    strength of the regularisation is chosen per finding by macro accuracy on the validation pairs.

    Attributes:
        shares: of training, validation and test patients.
        strengths: values of C to choose from.
        iterations: of the solver, at most.
    """

    shares: tuple[float, float, float] = (0.7, 0.1, 0.2)
    strengths: Sequence[float] = (1e-4, 1e-3, 1e-2, 0.1, 1.0)
    iterations: int = 2000
    name: ClassVar[Literal["A"]] = "A"
    arms: ClassVar[tuple[Arm, ...]] = ARMS
    needs_training_pairs: ClassVar[bool] = False

    def predict(
        self, model: Any, images: PairImages, arms: Sequence[Arm], findings: Sequence[str], pairs: PairSplits
    ) -> dict[Arm, Predictions]:
        """See ``ProgressionProtocol.predict``.

        Raises:
            NoProgressionPairs: if the split leaves a part without pairs.
        """
        parts = {name: self._part(pairs.test, name) for name in ("train", "validation", "test")}
        if empty := [name for name, part in parts.items() if not part]:
            raise NoProgressionPairs(
                f"protocol A splits {len(pairs.test)} pairs by patient, which leaves none for {empty[0]}; it needs more patients"
            )
        return {arm: self._predict_arm(model.image, images, arm, findings, parts) for arm in arms}

    def described(self) -> dict[str, Any]:
        """What results say of it."""
        plain = {"shares": list(self.shares), "strengths": list(self.strengths), "iterations": self.iterations}
        return {"name": self.name, **plain, "split": "by a hash of the patient", "features": "mean patch, standardised"}

    def _predict_arm(
        self, encoder: Any, images: PairImages, arm: Arm, findings: Sequence[str], parts: Mapping[str, Sequence[ProgressionPair]]
    ) -> Predictions:
        features = {name: frozen_features(encoder, images, arm, part) for name, part in parts.items()}
        truth = {name: targets(part, findings) for name, part in parts.items()}
        told = {condition: np.zeros((len(parts["test"]), len(findings), len(CLASSES))) for condition in features["test"]}
        strengths = {}
        for i, finding in enumerate(findings):
            fitted, strengths[finding] = self._fit(features, {name: labels[:, i] for name, labels in truth.items()}, arm)
            for condition, inputs in features["test"].items():
                told[condition][:, i] = _scattered(fitted, inputs)
        return Predictions(arm, parts["test"], {c: values[None] for c, values in told.items()}, chosen={"C": strengths})

    def _part(self, pairs: Sequence[ProgressionPair], name: str) -> list[ProgressionPair]:
        shares = dict(zip(("train", "validation", "test"), self.shares, strict=True))
        return [pair for pair in pairs if hashed_split(pair.patient_id, shares) == name]

    def _fit(self, features: Mapping[str, Features], truth: Mapping[str, NDArray[np.int64]], arm: Arm) -> tuple[Pipeline, float]:
        """The classifier with the best strength."""
        known, held_out = truth["train"] != UNLABELLED, truth["validation"] != UNLABELLED
        best: tuple[float, float, Pipeline] | None = None
        for strength in self.strengths:
            linear = LogisticRegression(C=strength, max_iter=self.iterations, class_weight="balanced")
            fitted = _fitted(linear, features["train"][arm][known], truth["train"][known])
            told = _scattered(fitted, features["validation"][arm][held_out]).argmax(axis=1)
            value = float(np.nan_to_num(macro_accuracy(_names(truth["validation"][held_out]), _names(told))))
            if best is None or value > best[0]:
                best = (value, strength, fitted)
        assert best is not None
        return best[2], best[1]


@dataclass(frozen=True)
class FoldedSvm:
    """Protocol B: a support vector machine on frozen features, in k folds over MS-CXR-T's patients; every pair is tested once.

    Attributes:
        folds: k; 5 and 10 are met.
        kernel, strength: of the machine; ours, for none is published.
        balanced: whether classes weigh alike.
        seed: of the folds.
    """

    folds: int = 5
    kernel: Literal["linear", "rbf"] = "linear"
    strength: float = 0.01
    balanced: bool = True
    seed: int = 0
    name: ClassVar[Literal["B"]] = "B"
    arms: ClassVar[tuple[Arm, ...]] = ARMS
    needs_training_pairs: ClassVar[bool] = False

    def predict(
        self, model: Any, images: PairImages, arms: Sequence[Arm], findings: Sequence[str], pairs: PairSplits
    ) -> dict[Arm, Predictions]:
        """See ``ProgressionProtocol.predict``.

        Raises:
            NoProgressionPairs: if there are fewer patients than folds.
        """
        fold = self._fold_of(pairs.test)
        return {arm: self._predict_arm(model.image, images, arm, findings, pairs.test, fold) for arm in arms}

    def described(self) -> dict[str, Any]:
        """What results say of it."""
        plain = {name: getattr(self, name) for name in ("name", "folds", "kernel", "strength", "balanced", "seed")}
        return {**plain, "features": "mean patch, standardised"}

    def _predict_arm(
        self,
        encoder: Any,
        images: PairImages,
        arm: Arm,
        findings: Sequence[str],
        pairs: Sequence[ProgressionPair],
        fold: NDArray[np.int64],
    ) -> Predictions:
        features, truth = frozen_features(encoder, images, arm, pairs), targets(pairs, findings)
        told = {condition: np.zeros((len(pairs), len(findings), len(CLASSES))) for condition in features}
        for i in range(len(findings)):
            known = truth[:, i] != UNLABELLED
            for held_out in range(self.folds):
                rest = known & (fold != held_out)
                machine = SVC(kernel=self.kernel, C=self.strength, class_weight="balanced" if self.balanced else None)
                fitted = _fitted(machine, features[arm][rest], truth[rest, i])
                for condition, inputs in features.items():
                    told[condition][fold == held_out, i] = _one_hot(fitted, inputs[fold == held_out])
        return Predictions(arm, pairs, {condition: values[None] for condition, values in told.items()})

    def _fold_of(self, pairs: Sequence[ProgressionPair]) -> NDArray[np.int64]:
        """(N,) the fold of each pair, by patient."""
        patients, member = np.unique([pair.patient_id for pair in pairs], return_inverse=True)
        if len(patients) < self.folds:
            raise NoProgressionPairs(f"protocol B needs a patient for each of its {self.folds} folds, got {len(patients)}")
        place = np.random.default_rng(self.seed).permutation(len(patients))
        return np.asarray(place % self.folds)[member]


@torch.inference_mode()
def frozen_features(encoder: Any, images: PairImages, arm: Arm, pairs: Sequence[ProgressionPair]) -> Features:
    """Mean patches of an arm's films side by side, under each of its conditions: (N, films · C)."""
    device = device_of(encoder)
    found: dict[Condition, list[NDArray[np.float64]]] = {condition: [] for condition in conditions_of(arm)}
    for films in images.batches(pairs, arm):
        for condition, parts in found.items():
            maps = encode_pairs(encoder, arm, films.to(device).shown(condition))
            parts.append(torch.cat([patches.float().mean(dim=(2, 3)) for patches in maps], dim=1).cpu().double().numpy())
    return {condition: np.concatenate(parts) for condition, parts in found.items()}


def _fitted(classifier: Any, inputs: NDArray[np.float64], labels: NDArray[np.int64]) -> Pipeline:
    """A classifier after standardisation.

    Raises:
        NoProgressionPairs: if there are fewer than two classes to learn.
    """
    if len(np.unique(labels)) < 2:
        raise NoProgressionPairs(f"a finding has {len(labels)} training pairs of fewer than two classes; leave it out of `findings`")
    return make_pipeline(StandardScaler(), classifier).fit(inputs, labels)


def _scattered(fitted: Pipeline, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) probabilities; 0 for a class that was not in training."""
    probabilities = np.zeros((len(inputs), len(CLASSES)))
    if len(inputs):
        probabilities[:, fitted.classes_] = fitted.predict_proba(inputs)
    return probabilities


def _one_hot(fitted: Pipeline, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3), one at the predicted class."""
    return np.eye(len(CLASSES))[fitted.predict(inputs)] if len(inputs) else np.zeros((0, len(CLASSES)))


def _names(numbers: NDArray[Any]) -> NDArray[np.str_]:
    return np.asarray(CLASSES)[numbers]
