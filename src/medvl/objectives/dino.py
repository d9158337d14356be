"""DINO: the student's class token of every crop predicts the teacher's of every other large crop (Caron et al. 2021; DINOv2).

With G large and L small crops of each of B images, student logits s_i, teacher probabilities t_j and temperature τ,

    loss = 1/P · Σ_{i, j: i ≠ j} mean_B [ -t_j · log softmax(s_i / τ) ],   i over all crops, j over large ones, P = G (G - 1) + G L

which is the sum of the official code's local and global terms with their weights. The teacher's probabilities are
softmax((logits - center) / temperature) with a running mean of its logits as centre, or those of ``sinkhorn.py``.

Departures from the official code: the centre moves when ``update`` is called, not at the next use, so that a checkpoint holds all of it;
and it moves towards the mean over all rows of all processes, where the patches' centre there takes the mean of each process's mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medvl.objectives.soft_cross_entropy import soft_cross_entropy
from medvl.runtime.distributed import sum_over_ranks


class SoftmaxCentering(nn.Module):
    """The teacher's softmax about a running mean of its logits; ``center`` (K,) is part of the state.

    Args:
        prototypes: K.
        momentum: share of the old centre that an update keeps.
    """

    center: Tensor

    def __init__(self, prototypes: int, *, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("center", torch.zeros(prototypes))

    @torch.no_grad()
    def forward(self, logits: Tensor, temperature: float) -> Tensor:
        """Probabilities (…, K) of logits (…, K), in float32."""
        return (logits.float() - self.center).div_(temperature).softmax(dim=-1)

    @torch.no_grad()
    def update(self, logits: Tensor) -> None:
        """Move the centre towards the mean of the logits (…, K) of all processes; call it after they were used.

        Every process must call it, with any number of rows; where there are none at all the centre stays.
        """
        rows = logits.flatten(0, -2)
        total = sum_over_ranks(torch.cat([rows.sum(dim=0, dtype=torch.float32), rows.new_tensor([len(rows)], dtype=torch.float32)]))
        mean = total[:-1] / total[-1].clamp(min=1)
        weight = (1 - self.momentum) * (total[-1] > 0)
        self.center += weight * (mean - self.center)


def dino_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], *, temperature: float = 0.1) -> Tensor:
    """Mean cross-entropy over the pairs of a student's crop and a teacher's other crop.

    Args:
        student: logits (B, K) of each crop, the teacher's crops first and in its order.
        teacher: probabilities (B, K) of each large crop.
        temperature: of the student's softmax.

    Returns:
        Scalar, float32; ln K if the student is indifferent. Without small crops the official code still counts one term for them, and so
        does this.

    Raises:
        ValueError: if there are fewer than two crops, or fewer of the student's than of the teacher's.
    """
    large, crops = len(teacher), len(student)
    if crops < max(large, 2) or not large:
        raise ValueError(f"DINO needs two crops of the student or more, the teacher's among them; got {crops}, and {large} of the teacher")
    everything = torch.stack(list(teacher)).sum(dim=0)  # (B, K): a small crop predicts all large ones
    others = [everything - targets for targets in teacher]
    terms = [soft_cross_entropy(logits, targets, temperature=temperature).mean() for logits, targets in zip(student, others, strict=False)]
    terms += [soft_cross_entropy(logits, everything, temperature=temperature).mean() for logits in student[large:]]
    return torch.stack(terms).sum() / (large * (large - 1) + max(large * (crops - large), 1))
