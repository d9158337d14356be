"""Protocol C of MS-CXR-T: no training, the pair's embedding against sentences about improvement, stability and worsening."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medvl.benchmarks.embedding import device_of, ensemble_direction, text_embeddings
from medvl.benchmarks.progression_films import Arm, Condition, PairImages, conditions_of
from medvl.benchmarks.progression_pairs import NoProgressionPairs, PairSplits
from medvl.benchmarks.progression_protocols import Predictions, softmax_of
from medvl.data.progression_samples import ProgressionPair
from medvl.metrics.progression import CLASSES


@dataclass(frozen=True)
class PairPrompts:
    """Protocol C: the class whose sentences are nearest to the pair's embedding.

    score(class) = the cosine of the pair's embedding with the class's prompt ensemble, see ``ensemble_direction``.

    Attributes:
        prompts: finding → class → sentences.
    """

    prompts: Mapping[str, Mapping[str, Sequence[str]]]
    name: ClassVar[Literal["C"]] = "C"
    arms: ClassVar[tuple[Arm, ...]] = ("current", "temporal")
    needs_training_pairs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for finding, by_class in self.prompts.items():
            for name in CLASSES:
                if not by_class.get(name):
                    raise NoProgressionPairs(f"prompts.{finding} has no sentence for {name!r}; give at least one")

    @torch.inference_mode()
    def predict(
        self, model: Any, images: PairImages, arms: Sequence[Arm], findings: Sequence[str], pairs: PairSplits
    ) -> dict[Arm, Predictions]:
        """See ``ProgressionProtocol.predict``; probabilities are the softmax of the scores over the model's temperature.

        Raises:
            NoProgressionPairs: if a finding has no prompts.
        """
        if unnamed := [finding for finding in findings if finding not in self.prompts]:
            raise NoProgressionPairs(f"protocol C has no prompts for {unnamed[0]!r}; give some, or leave the finding out")
        prompts = [sentence for finding in findings for name in CLASSES for sentence in self.prompts[finding][name]]
        texts = text_embeddings(model, prompts, unit_length=False)
        ensembles = [ensemble_direction([texts[prompt] for prompt in self.prompts[f][name]]) for f in findings for name in CLASSES]
        classes = torch.stack(ensembles).unflatten(0, (len(findings), len(CLASSES)))  # (F, 3, D)
        return {arm: self._predict_arm(model, images, arm, classes, pairs.test) for arm in arms}

    def described(self) -> dict[str, Any]:
        """What results say of it."""
        prompts = {finding: {name: list(by_class[name]) for name in CLASSES} for finding, by_class in self.prompts.items()}
        return {"name": self.name, "prompts": prompts}

    def _predict_arm(self, model: Any, images: PairImages, arm: Arm, classes: Tensor, pairs: Sequence[ProgressionPair]) -> Predictions:
        device, temperature = device_of(model), float(getattr(model, "temperature", 1.0))
        told: dict[Condition, list[NDArray[np.float64]]] = {condition: [] for condition in conditions_of(arm)}
        for films in images.batches(pairs, arm):
            for condition, parts in told.items():
                shown = films.to(device).shown(condition)
                seen = (shown.current,) if arm == "current" else shown
                embedded = model.embed_images(*seen).projected_global_embedding.float().cpu()  # (B, D)
                parts.append(softmax_of(torch.einsum("bd,fcd->bfc", embedded, classes) / temperature))
        return Predictions(arm, pairs, {condition: np.concatenate(parts)[None] for condition, parts in told.items()})
