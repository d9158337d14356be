"""Projection head of DINO, iBOT and DINOv2: an MLP to a bottleneck, L2-normalised, then one weight-normalised product per prototype.

    logits = g · (v / ‖v‖) z / ‖z‖,   z = MLP(tokens)

The names of the state, ``mlp.0.weight`` … ``last_layer.weight_g`` (K, 1), ``last_layer.weight_v`` (K, bottleneck), are those of the
official DINOv2 head, whose checkpoints load as they are. Departure: the weight is normed in ``forward``, not by a hook, so that a head can
be copied before and after use.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from medvl.models.linear import linear


class DinoHead(nn.Module):
    """From tokens to logits over prototypes.

    Args:
        in_dim: D, width of the tokens.
        prototypes: K.
        hidden_dim: width of the hidden layers.
        bottleneck_dim: width before the prototypes.
        layers: linear layers of the MLP, the bottleneck's included; 1 has no hidden layer.
        batch_norm: of the input, after each hidden layer and of the bottleneck, over all tokens: takes away what all radiographs have in
            common, which at the start is nearly everything (ours, for small networks).
    """

    def __init__(
        self,
        in_dim: int,
        prototypes: int,
        *,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        layers: int = 3,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.mlp = _mlp(in_dim, hidden_dim, bottleneck_dim, layers, batch_norm)
        self.last_layer = Prototypes(bottleneck_dim, prototypes)
        for module in self.mlp.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (…, D) → logits (…, K)."""
        x = self.mlp(tokens.flatten(0, -2))
        x = normalize(x, dim=-1, eps=1e-6 if x.dtype == torch.float16 else 1e-12)
        return self.last_layer(x).unflatten(0, tokens.shape[:-1])


class Prototypes(nn.Module):
    """A linear layer without bias whose rows have a direction, ``weight_v`` (K, D), and a length, ``weight_g`` (K, 1), both trained."""

    def __init__(self, in_dim: int, prototypes: int) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(prototypes, 1))
        self.weight_v = nn.Parameter(torch.empty(prototypes, in_dim))
        nn.init.kaiming_uniform_(self.weight_v, a=5**0.5)  # as nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (…, D) → (…, K)."""
        return linear(x, self.weight_v * (self.weight_g / self.weight_v.norm(dim=1, keepdim=True)))


def _mlp(in_dim: int, hidden_dim: int, out_dim: int, layers: int, batch_norm: bool) -> nn.Module:
    if layers <= 1:
        return nn.Linear(in_dim, out_dim)
    modules: list[nn.Module] = [nn.BatchNorm1d(in_dim)] if batch_norm else []
    for width in [in_dim, *[hidden_dim] * (layers - 2)]:
        modules += [nn.Linear(width, hidden_dim), *([nn.BatchNorm1d(hidden_dim)] if batch_norm else []), nn.GELU()]
    modules += [nn.Linear(hidden_dim, out_dim), *([nn.BatchNorm1d(out_dim, affine=False)] if batch_norm else [])]
    return nn.Sequential(*modules)
