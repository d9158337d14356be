"""A linear layer that is fast in single precision on any processor.

PyTorch multiplies float32 matrices on a CPU with MKL, which uses AVX-512 on Intel's processors alone; oneDNN, which it has on board for
half precision and compiled models, uses it on any. Here a float32 product of some size on a CPU goes through oneDNN, forward and backward:
as fast on a processor of another maker whose AVX-512 is worked off in halves (Zen 4), up to twice as fast where its units are of full
width. The sums differ in the order of their terms only (1e-6 of the largest value). All else is ``torch.nn.functional.linear``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear as torch_linear

FEWEST_ROWS = 64  # below, the call costs more than the product


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Inputs (…, D) times weight (K, D) plus bias (K,) → (…, K)."""
    return _OneDnnLinear.apply(x, weight, bias) if _suits_onednn(x, weight) else torch_linear(x, weight, bias)


class Linear(nn.Linear):
    """``torch.nn.Linear`` by way of ``linear``; same parameters."""

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (…, D) → (…, K)."""
        return linear(x, self.weight, self.bias)


def _suits_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.ndim == 2
        and len(x) >= FEWEST_ROWS
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _OneDnnLinear(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        context.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = context.saved_tensors
        of_x, of_weight, of_bias = context.needs_input_grad
        return (
            _product(gradient, weight.T) if of_x else None,
            _product(gradient.T, x.T) if of_weight else None,
            gradient.sum(dim=0) if of_bias else None,
        )
