"""Blocks of a DINOv2 vision transformer on packed tokens: crops of several sizes side by side, one attention call per size.

Pre-norm attention and MLP (GELU, or SwiGLU for the giant), each with LayerScale and stochastic depth (Oquab et al. 2023). Tokens of all
crops lie in one tensor (T, D), so that every linear layer runs once over all of them, and attention runs once per group of equal crops, as
in DINOv3; the result is exactly that of each crop alone.

Stochastic depth as in the official code: above a rate of 0.1 a branch is computed for a random subset of the crops only, whose output is
scaled up in turn (real savings of compute); at or below, whole crops of the branch's output are set to zero. ``floor`` keeps
``max(int(B · (1 − rate)), 1)`` of a group's crops, as officially; ``nearest`` rounds, which for small groups is closer to the rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from medvl.models.attention import attend
from medvl.models.linear import Linear

SubsetRounding = Literal["floor", "nearest"]
MlpName = Literal["gelu", "swiglu"]
SUBSET_FROM = 0.1


class Group(NamedTuple):
    """Crops of one size among packed tokens: where they start, how many there are, and the tokens of each."""

    start: int
    crops: int
    tokens: int

    def of(self, packed: Tensor) -> Tensor:
        """The group's part of packed tokens (T, …) as (crops, tokens, …), a view."""
        return packed[self.start : self.start + self.crops * self.tokens].unflatten(0, (self.crops, self.tokens))


def groups_of(sizes: Sequence[tuple[int, int]]) -> list[Group]:
    """Groups one after the other from (crops, tokens) each."""
    groups, start = [], 0
    for crops, tokens in sizes:
        groups.append(Group(start, crops, tokens))
        start += crops * tokens
    return groups


class Attention(nn.Module):
    """Multi-head self-attention within each crop."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(self, packed: Tensor, groups: Sequence[Group]) -> Tensor:
        """(T, D) → (T, D)."""
        qkv = self.qkv(packed).unflatten(1, (3, self.heads, -1))  # (T, 3, heads, D / heads)
        mixed = [_attend(group.of(qkv)) for group in groups]
        return self.proj(mixed[0] if len(mixed) == 1 else torch.cat(mixed))


def _attend(qkv: Tensor) -> Tensor:
    """(B, N, 3, heads, d) → (B · N, heads · d)."""
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, N, d)
    return attend(query, key, value).transpose(1, 2).flatten(2).flatten(0, 1)


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Linear(width, hidden)
        self.act = nn.GELU()
        self.fc2 = Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(T, D) → (T, D)."""
        return self.fc2(self.act(self.fc1(x)))


class SwiGlu(nn.Module):
    """Gated MLP: w3(silu(a) · b), a and b the halves of w12; hidden width ⌈⅔ of ``hidden``⌉ to a multiple of 8, as officially."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        hidden = (int(hidden * 2 / 3) + 7) // 8 * 8
        self.w12 = Linear(width, 2 * hidden)
        self.w3 = Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(T, D) → (T, D)."""
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(silu(gate) * value)


class LayerScale(nn.Module):
    """A learned factor per channel."""

    def __init__(self, width: int, start: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Tensor) -> Tensor:
        """(T, D) → (T, D)."""
        return x * self.gamma


class Block(nn.Module):
    """Attention and MLP with residuals.

    Args:
        width, heads: of the attention.
        mlp: which MLP.
        mlp_ratio: hidden over outer width (before SwiGLU's ⅔).
        layer_scale: where the factors start; no LayerScale if not given.
        drop_path: rate of stochastic depth while training.
        subset_rounding: see the head of this file.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        mlp: MlpName = "gelu",
        mlp_ratio: float = 4.0,
        layer_scale: float | None = 1e-5,
        drop_path: float = 0.0,
        subset_rounding: SubsetRounding = "floor",
    ) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.ls1 = nn.Identity() if layer_scale is None else LayerScale(width, layer_scale)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, hidden) if mlp == "gelu" else SwiGlu(width, hidden)
        self.ls2 = nn.Identity() if layer_scale is None else LayerScale(width, layer_scale)
        self.drop_path, self.subset_rounding = drop_path, subset_rounding

    def forward(self, packed: Tensor, groups: Sequence[Group]) -> Tensor:
        """Packed tokens (T, D) → (T, D)."""
        packed = self._residual(packed, groups, lambda x, parts: self.ls1(self.attn(self.norm1(x), parts)))
        return self._residual(packed, groups, lambda x, _: self.ls2(self.mlp(self.norm2(x))))

    def _residual(self, packed: Tensor, groups: Sequence[Group], branch: Callable[[Tensor, Sequence[Group]], Tensor]) -> Tensor:
        if not self.training or self.drop_path == 0:
            return packed + branch(packed, groups)
        if self.drop_path <= SUBSET_FROM:
            return packed + branch(packed, groups) * self._keep(packed, groups)
        return self._on_subset(packed, groups, branch)

    def _keep(self, packed: Tensor, groups: Sequence[Group]) -> Tensor:
        """(T, 1): 0 for the tokens of dropped crops, 1 / (1 − rate) for the others."""
        kept = [torch.rand(group.crops, device=packed.device) >= self.drop_path for group in groups]
        each = [keep.repeat_interleave(group.tokens) for keep, group in zip(kept, groups, strict=True)]
        return torch.cat(each)[:, None].to(packed.dtype) / (1 - self.drop_path)

    def _on_subset(self, packed: Tensor, groups: Sequence[Group], branch: Callable[[Tensor, Sequence[Group]], Tensor]) -> Tensor:
        rows, sizes, scales = [], [], []
        for group in groups:
            kept = self._kept_crops(group.crops)
            chosen = torch.randperm(group.crops, device=packed.device)[:kept]
            tokens = torch.arange(group.tokens, device=packed.device)
            rows.append((group.start + chosen[:, None] * group.tokens + tokens).flatten())
            sizes.append((kept, group.tokens))
            scales.append(packed.new_full((kept * group.tokens, 1), group.crops / kept))
        subset = torch.cat(rows)
        output = branch(packed[subset], groups_of(sizes)) * torch.cat(scales)
        return packed.index_add(0, subset, output.to(packed.dtype))

    def _kept_crops(self, crops: int) -> int:
        expected = crops * (1 - self.drop_path)
        return max(int(expected) if self.subset_rounding == "floor" else round(expected), 1)
