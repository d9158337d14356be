"""Cross-entropy of logits against a target distribution, for prototypes by the ten thousand.

For student logits s, targets t and temperature τ, row by row

    loss = -Σ_k t_k · log softmax(s / τ)_k = (Σ_k t_k) · logsumexp(s / τ) - Σ_k t_k · s_k / τ

The gradient (Σ_k t_k · softmax(s / τ) - t) / τ is written in closed form: between forward and backward only the logits, the targets and
one number a row are kept, where log_softmax keeps another array of the logits' size, and backward needs one buffer of that size, not three.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def soft_cross_entropy(logits: Tensor, targets: Tensor, *, temperature: float) -> Tensor:
    """Cross-entropy of each row.

    Args:
        logits: (…, K), any floating type; computed in float32.
        targets: (…, K), not negative; rows need not sum to one. No gradient reaches them.
        temperature: divides the logits.

    Returns:
        (…,) float32.
    """
    return _SoftCrossEntropy.apply(logits, targets.detach(), temperature)


class _SoftCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
        scaled = logits.float() / temperature
        normaliser, mass = scaled.logsumexp(dim=-1), targets.sum(dim=-1, dtype=torch.float32)
        context.save_for_backward(logits, targets, normaliser, mass)
        context.temperature = temperature
        return mass * normaliser - scaled.mul_(targets).sum(dim=-1)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        logits, targets, normaliser, mass = context.saved_tensors
        buffer = logits.float() / context.temperature
        buffer.sub_(normaliser[..., None]).exp_().mul_(mass[..., None]).sub_(targets)
        return buffer.mul_(gradient[..., None] / context.temperature).to(logits.dtype), None, None
