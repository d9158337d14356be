"""What a protocol of MS-CXR-T's temporal image classification is: from pairs of films to a class for each finding.

    P0  fine-tune on silver labels of the training patients, test on MS-CXR-T    (the paper)        progression_fine_tuning
    A   70 / 10 / 20 split of MS-CXR-T's own patients, frozen encoder, linear classifier    (HERGen, ALTA)    progression_frozen
    B   k folds over MS-CXR-T's patients, support vector machine on frozen features    (Med-ST)    progression_frozen
    C   no training: the pair's embedding against sentences about improvement, stability and worsening    progression_prompts

None is comparable with another: P0 learns from labels that rules read from reports, A and B from the radiologists' own, tested on a part of
them or on all, and C from none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from medvl.benchmarks.progression_films import Arm, Condition, PairImages
from medvl.benchmarks.progression_pairs import PairSplits
from medvl.data.progression_samples import ProgressionPair


class Predictions(NamedTuple):
    """What one arm says of the tested pairs.

    Attributes:
        arm: what was seen of the pairs.
        pairs: the N pairs of MS-CXR-T that figures are over: all, or those that the protocol keeps for the test.
        probabilities: condition → (S, N, F, 3): seed, pair, finding, class; zero or one where a classifier gives no probabilities.
        validation: the same of the arm itself on the validation pairs; ``None`` without them.
        chosen: what the protocol settled on, for the results.
    """

    arm: Arm
    pairs: Sequence[ProgressionPair]
    probabilities: dict[Condition, NDArray[np.float64]]
    validation: NDArray[np.float64] | None = None
    chosen: Mapping[str, Any] = {}

    def of_arm(self) -> NDArray[np.float64]:
        """(S, N, F, 3) of the arm itself, without controls."""
        return self.probabilities[self.arm]


class ProgressionProtocol(Protocol):
    """How a model comes to a class.

    Attributes:
        name: stands in every metric's name.
        arms: those that it is defined for.
        needs_training_pairs: whether it learns from pairs other than MS-CXR-T's own.
    """

    @property
    def name(self) -> str:
        """P0, A, B or C."""

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms that it is defined for."""

    @property
    def needs_training_pairs(self) -> bool:
        """Whether it learns from pairs other than MS-CXR-T's own."""

    def predict(
        self, model: Any, images: PairImages, arms: Sequence[Arm], findings: Sequence[str], pairs: PairSplits
    ) -> dict[Arm, Predictions]:
        """What a model says of the pairs that figures are over, under the conditions of each arm.

        Args:
            model: an image-text model in evaluation mode with its image model as ``image``.
            images: the films.
            arms: what is seen of a pair.
            findings: F names.
            pairs: those for training and validation are unused unless ``needs_training_pairs``.
        """

    def described(self) -> dict[str, Any]:
        """What results say of it."""


def softmax_of(logits: Tensor) -> NDArray[np.float64]:
    """Probabilities over the last dimension, on the CPU."""
    return np.asarray(logits.double().softmax(dim=-1).cpu().numpy())
