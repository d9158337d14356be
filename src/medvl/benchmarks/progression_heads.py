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
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from medvl.benchmarks.progression_films import Arm, Films, encode_pairs

Pooling = Literal["mean", "attention"]
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
        encoder: the image model; ``frozen`` keeps it in evaluation mode and without gradient.
        arm: what of a pair it sees.
        head: reads the encoder's patches.
    """

    def __init__(self, encoder: nn.Module, arm: Arm, head: ProgressionHead, *, frozen: bool = False) -> None:
        super().__init__()
        self.encoder, self.arm, self.head, self.frozen = encoder.requires_grad_(not frozen), arm, head, frozen

    def train(self, mode: bool = True) -> PairClassifier:
        """As ``nn.Module.train``; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, films: Films) -> Tensor:
        """Films of B pairs → logits (B, F, 3)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            maps = encode_pairs(self.encoder, self.arm, films)
        return self.head(maps)


def _uniform(findings: int, inputs: int, outputs: int) -> nn.Parameter:
    """Weights (F, inputs, outputs), as ``nn.Linear`` draws its own."""
    bound = 1 / math.sqrt(inputs)
    return nn.Parameter(torch.empty(findings, inputs, outputs).uniform_(-bound, bound))
