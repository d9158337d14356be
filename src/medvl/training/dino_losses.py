"""The loss of a DINOv2 run: class tokens against the teacher's, hidden patches against the teacher's, class tokens kept apart.

    loss = dino_weight · DINO + ibot_weight · iBOT + koleo_weight · Σ over large crops KoLeo

With G large and L small crops of each of B images, tensors over crops are crop-major: all first crops, then all second ones. Over several
processes the average of their losses is that of the global batch.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from medvl.objectives.dino import SoftmaxCentering, dino_loss
from medvl.objectives.ibot import ibot_loss
from medvl.objectives.koleo import koleo_loss
from medvl.objectives.sinkhorn import sinkhorn_knopp
from medvl.runtime.distributed import world_size
from medvl.training.dino_network import CropOutputs

Centering = Literal["softmax", "sinkhorn"]


class DinoLosses(nn.Module):
    """The terms and their weights; holds the teacher's centres.

    Args:
        prototypes: K of the class tokens' head.
        ibot_prototypes: K of the patches' head; ``prototypes`` if not given.
        centering: how the teacher's outputs are kept from one prototype: minus their running mean, or Sinkhorn-Knopp.
        dino_weight, ibot_weight, koleo_weight: of the terms; 0 leaves one out.
        student_temperature: of both softmaxes.
        gather_koleo: look for neighbours among the class tokens of all processes, not of each.
    """

    def __init__(
        self,
        *,
        prototypes: int,
        ibot_prototypes: int | None = None,
        centering: Centering = "softmax",
        dino_weight: float = 1.0,
        ibot_weight: float = 1.0,
        koleo_weight: float = 0.1,
        student_temperature: float = 0.1,
        gather_koleo: bool = True,
    ) -> None:
        super().__init__()
        self.centering = centering
        self.dino_weight, self.ibot_weight, self.koleo_weight = dino_weight, ibot_weight, koleo_weight
        self.student_temperature, self.gather_koleo = student_temperature, gather_koleo
        self.prototypes = prototypes
        self.dino_center = SoftmaxCentering(prototypes)
        self.ibot_center = SoftmaxCentering(ibot_prototypes or prototypes)

    def forward(self, student: CropOutputs, teacher: CropOutputs, masks: Tensor, *, temperature: float, images: int) -> dict[str, Tensor]:
        """The loss, its terms, and what shows a collapse.

        Args:
            student: of the large and the small crops.
            teacher: of the large crops; without gradient.
            masks: (G · B, N), true where a patch was hidden from the student.
            temperature: of the teacher.
            images: B.

        Returns:
            ``loss``, ``dino``, ``ibot``, ``koleo`` unweighted; ``teacher_entropy``, the mean entropy of the teacher's targets, and
            ``mean_entropy``, the entropy of their mean, both in units of ln K: 1 is uniform, 0 a single prototype.
        """
        targets = self._targets(teacher.logits, self.dino_center, temperature)
        large = len(masks)
        terms = {"dino": dino_loss(student.logits.split(images), targets.split(images), temperature=self.student_temperature)}
        alone = images * (world_size() if self.gather_koleo else 1) < 2  # the last batch of a validation split may be one image
        crops = student.cls[:large].split(images) if self.koleo_weight and not alone else []
        koleo = [koleo_loss(cls, gather=self.gather_koleo) for cls in crops]
        terms["koleo"] = torch.stack(koleo).sum() if koleo else terms["dino"].new_zeros(())
        terms["ibot"] = self._ibot(student.patch_logits, teacher.patch_logits, masks, temperature)
        weights = {"dino": self.dino_weight, "koleo": self.koleo_weight, "ibot": self.ibot_weight}
        loss = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
        return {"loss": loss, **terms, **self._entropies(targets)}

    @torch.no_grad()
    def update_centers(self, teacher: CropOutputs) -> None:
        """Move the centres towards a batch's outputs; after they were used, once a training batch."""
        if self.centering == "softmax":
            self.dino_center.update(teacher.logits)
            if self.ibot_weight:
                self.ibot_center.update(teacher.patch_logits)

    @torch.no_grad()
    def _targets(self, logits: Tensor, center: SoftmaxCentering, temperature: float) -> Tensor:
        return center(logits, temperature) if self.centering == "softmax" else sinkhorn_knopp(logits, temperature=temperature)

    def _ibot(self, student: Tensor, teacher: Tensor, masks: Tensor, temperature: float) -> Tensor:
        if not self.ibot_weight:
            return student.sum() * 0
        targets = self._targets(teacher, self.ibot_center, temperature)  # all processes take part, those without a hidden patch as well
        if not len(student):
            return student.sum() * 0
        hidden = masks.sum(dim=1)
        weights = (1 / hidden.clamp(min=1)).repeat_interleave(hidden)  # of each hidden patch, one over its crop's number
        return ibot_loss(student, targets, weights, images=len(masks), temperature=self.student_temperature)

    @torch.no_grad()
    def _entropies(self, targets: Tensor) -> dict[str, Tensor]:
        each, mean = _entropy(targets).mean(), _entropy(targets.mean(dim=0))
        scale = math.log(self.prototypes)
        return {"teacher_entropy": each / scale, "mean_entropy": mean / scale}


def _entropy(probabilities: Tensor) -> Tensor:
    return torch.special.entr(probabilities.float()).sum(dim=-1)
