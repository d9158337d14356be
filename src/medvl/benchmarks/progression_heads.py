"""A progression classifier: an image encoder, and for each finding a small network that reads its patches.

The pooled patches of one film, of two films side by side, or of a pair read in one pass, go through a layer norm and an MLP per finding to
three classes. Pooling is the mean patch, as in BioViL's ``img_embedding``, or attention with one query per finding,

    pooled = Σ_p softmax_p(q · LN(x_p) / √C) x_p

shared by the two films of a pair. The findings share the encoder and learn together; their heads share nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from medvl.benchmarks.progression_films import Arm, Films, encode_pairs
from medvl.runtime.errors import UserError

Pooling = Literal["mean", "attention"]
Learn = Literal["encoder", "change", "head"]
CLASS_COUNT = 3


class ProgressionHead(nn.Module):
    """One classifier per finding.

    Args:
        channels: C of the patch maps.
        films: maps side by side: 1, or 2 where films are encoded alone.
        findings: F.
        pooling: how a map becomes a vector.
        hidden: width of the MLP's hidden layer; 0 for a linear classifier.
        dropout: of the pooled vector and the hidden layer, in training.
    """

    def __init__(self, channels: int, films: int, findings: int, *, pooling: Pooling = "mean", hidden: int = 128, dropout: float = 0.0):
        super().__init__()
        self.pooling, self.findings = pooling, findings
        if pooling == "attention":
            self.key_norm = nn.LayerNorm(channels)
            self.queries = nn.Parameter(torch.randn(findings, channels) * 0.02)
        self.norm = nn.LayerNorm(films * channels)
        self.drop = nn.Dropout(dropout)
        sizes = [films * channels, hidden, CLASS_COUNT] if hidden else [films * channels, CLASS_COUNT]
        self.weights = nn.ParameterList(_uniform(findings, inputs, outputs) for inputs, outputs in pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(findings, outputs) for outputs in sizes[1:])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Patch maps, each (B, C, h, w) → logits (B, F, 3), float32."""
        x = self.norm(torch.cat([self._pooled(patches.float()) for patches in maps], dim=2))  # (B, F, films · C)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.einsum("bfi,fio->bfo", self.drop(gelu(x) if layer else x), weight) + bias
        return x.float()

    def _pooled(self, patches: Tensor) -> Tensor:
        """(B, C, h, w) → (B, F, C)."""
        if self.pooling == "mean":
            return patches.mean(dim=(2, 3))[:, None].expand(-1, self.findings, -1)
        tokens = patches.flatten(2).transpose(1, 2)  # (B, N, C)
        share = (self.key_norm(tokens) @ self.queries.T / math.sqrt(tokens.shape[2])).softmax(dim=1)  # (B, N, F)
        return share.transpose(1, 2) @ tokens


class PairClassifier(nn.Module):
    """An image encoder with a head.

    Args:
        encoder: the image model.
        arm: what of a pair it sees.
        head: reads the encoder's patches.
        learn: ``encoder`` and head; ``change``, what reads the pair's static maps, and head; or the ``head`` alone. The rest is held,
            without gradient and in evaluation mode. In an encoder of single films nothing but the head reads static maps.
        both_orders: whether the arm ``temporal`` reads a pair in both orders, see ``encode_pairs``.

    Raises:
        UserError: if the change that a pair shows is to be learned by an encoder that reads single films.
    """

    def __init__(self, encoder: Any, arm: Arm, head: ProgressionHead, *, learn: Learn = "encoder", both_orders: bool = False) -> None:
        super().__init__()
        self.encoder, self.arm, self.head, self.learn, self.both_orders = encoder, arm, head, learn, both_orders
        if learn == "change" and arm == "temporal" and not reads_pairs(encoder):
            raise UserError(f"learn=change needs a multi-image encoder such as BioViL-T's, got {type(encoder).__name__}; use learn=head")
        static = encoder.static_modules if reads_pairs(encoder) else (encoder,)
        self._held: tuple[nn.Module, ...] = {"encoder": (), "change": static, "head": (encoder,)}[learn]
        for module in self._held:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> PairClassifier:
        """As ``nn.Module.train``; what is held stays in evaluation mode."""
        super().train(mode)
        for module in self._held:
            module.eval()
        return self

    def forward(self, films: Films) -> Tensor:
        """B pairs → logits (B, F, 3): films, or with ``learn="change"`` their ``static_films``."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.learn != "head"):
            maps = self._maps(films)
        return self.head(maps)

    def _maps(self, films: Films) -> list[Tensor]:
        if self.learn != "change":
            return encode_pairs(self.encoder, self.arm, films, both_orders=self.both_orders)
        if reads_pairs(self.encoder):
            return encode_pairs(self.encoder.from_static, self.arm, films, both_orders=self.both_orders)
        return [films.current] if self.arm == "current" else [films.current, films.previous]


def reads_pairs(encoder: Any) -> bool:
    """Whether an encoder tells what one film shows from what changed, as BioViL-T's does."""
    return hasattr(encoder, "encode_static") and hasattr(encoder, "from_static")


@torch.no_grad()
def static_films(encoder: Any, films: Films) -> Films:
    """The films' static maps (B, C, h, w) in their place; of an encoder of single films its patches."""
    both = torch.cat([films.current, films.previous])
    maps = encoder.encode_static(both) if reads_pairs(encoder) else encoder(both).patch_embeddings
    return Films(maps[: len(films.current)], maps[len(films.current) :], films.has_previous)


def _uniform(findings: int, inputs: int, outputs: int) -> nn.Parameter:
    """Weights (F, inputs, outputs), as ``nn.Linear`` draws its own."""
    bound = 1 / math.sqrt(inputs)
    return nn.Parameter(torch.empty(findings, inputs, outputs).uniform_(-bound, bound))
