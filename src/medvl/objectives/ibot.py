"""iBOT: the student predicts the teacher's distribution at patches hidden from it (Zhou et al. 2022; DINOv2's ``forward_masked``).

For hidden patches m with student logits s_m, teacher probabilities t_m, weights w_m and temperature τ,

    loss = 1/images · Σ_m w_m · [ -t_m · log softmax(s_m / τ) ],   w_m = 1 / number of hidden patches in the crop of m

over all large crops, those with nothing hidden included in ``images``: DINOv2's two factors (2 crops, scale ½) cancel.
"""

from __future__ import annotations

from torch import Tensor

from medvl.objectives.soft_cross_entropy import soft_cross_entropy


def ibot_loss(student: Tensor, teacher: Tensor, weights: Tensor, *, images: int, temperature: float = 0.1) -> Tensor:
    """Weighted cross-entropy over hidden patches.

    Args:
        student: logits (M, K).
        teacher: probabilities (M, K).
        weights: (M,).
        images: number of large crops in the batch, with hidden patches or without.
        temperature: of the student's softmax.

    Returns:
        Scalar, float32; 0, with a gradient of 0, if M is 0.
    """
    return (soft_cross_entropy(student, teacher, temperature=temperature) * weights).sum() / images
