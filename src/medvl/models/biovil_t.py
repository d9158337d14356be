"""BioViL-T's hybrid multi-image encoder (Bannur et al., CVPR 2023): what one film shows, and what changed since the film before.

Every film goes through the same trunk and a 1 × 1 convolution to ``width``. Where there is a previous film, a transformer reads the patches
of both, and what it makes of the current film's patches stands for the change; where there is none, one learned vector does:

    patches = [static map of the current film | change]      (B, 2 · width, h, w), projected as in BioViL

Tensor names are those of the official checkpoint (microsoft/hi-ml, ``MultiImageModel``). Departures, none of which changes a published
output: a batch may mix studies with and without a previous film; any grid is taken (the official code: 14 × 14), its sine table made
for it as the official one is for its own; previous films may come as cached static maps.
"""

from __future__ import annotations

import math

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from medvl.models.attention import attend
from medvl.models.biovil import ImageModelOutput, PatchProjector, Trunk, project


class PairAttention(nn.Module):
    """Multi-head self-attention without biases on queries, keys and values."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.proj_q = nn.Linear(width, width, bias=False)
        self.proj_k = nn.Linear(width, width, bias=False)
        self.proj_v = nn.Linear(width, width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, asking: int | None = None) -> Tensor:
        """(B, N, width) → what the first ``asking`` tokens, or all, found among the N."""
        projected = (self.proj_q(x[:, :asking]), self.proj_k(x), self.proj_v(x))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in projected)
        attended = attend(q, k, v, self.dropout if self.training else 0.0)  # (B, heads, asking, width / heads)
        return self.proj(attended.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two layers of the same width with GELU between."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, width)
        self.activation, self.drop = nn.GELU(), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) → the same."""
        return self.drop(self.fc2(self.drop(self.activation(self.fc1(x)))))


class PairBlock(nn.Module):
    """A pre-norm block; places and times are added after the first norm, so that values carry them too, as in the official code."""

    def __init__(self, width: int, heads: int, dropout: float, drop_path: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = PairAttention(width, heads, dropout)
        self.mlp = FeedForward(width, dropout)
        self.drop, self.drop_path = nn.Dropout(dropout), DropPath(drop_path)

    def forward(self, x: Tensor, places: Tensor, asking: int | None = None) -> Tensor:
        """Tokens (B, N, width) and what is added to each of them (1, N, width) → the first ``asking`` tokens, or all, of the next layer."""
        x = x[:, :asking] + self.drop_path(self.drop(self.attn(self.norm1(x) + places, asking)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PairTransformer(nn.Module):
    """Reads the patches of two films and returns the current one's."""

    def __init__(self, width: int, heads: int, blocks: int, dropout: float, drop_path: float) -> None:
        super().__init__()
        self.type_embed = nn.Parameter(torch.zeros(2, 1, width))  # current, previous
        nn.init.trunc_normal_(self.type_embed, std=0.02)
        self.blocks = nn.ModuleList(PairBlock(width, heads, dropout, drop_path) for _ in range(blocks))
        self.norm_post = nn.LayerNorm(width, eps=1e-6)
        self.drop = nn.Dropout(dropout)

    def forward(self, current: Tensor, previous: Tensor) -> Tensor:
        """Static maps (B, width, h, w) of both films → the change at each patch of the current one, (B, width, h, w)."""
        height, width = current.shape[2:]
        sine = sine_places(height, width, current.shape[1], current.device)  # (N, width)
        places = torch.cat([sine + kind for kind in self.type_embed])[None]  # (1, 2N, width)
        tokens = torch.cat([current.flatten(2), previous.flatten(2)], dim=2).transpose(1, 2)  # (B, 2N, width)
        tokens = self.drop(tokens)
        places = places.to(tokens.dtype)
        *earlier, last = self.blocks
        for block in earlier:
            tokens = block(tokens, places)
        tokens = last(tokens, places, height * width)  # nobody reads what becomes of the previous film's patches
        return self.norm_post(tokens).transpose(1, 2).unflatten(2, (height, width))


class HybridEncoder(nn.Module):
    """Trunk, its projection to the transformer's width, the transformer, and the vector for a missing film."""

    def __init__(self, trunk: Trunk, width: int, heads: int, blocks: int, dropout: float, drop_path: float) -> None:
        super().__init__()
        self.encoder = trunk
        self.missing_previous_emb = nn.Parameter(torch.zeros(1, width, 1, 1))
        nn.init.trunc_normal_(self.missing_previous_emb, std=0.02)
        self.backbone_to_vit = nn.Conv2d(trunk.width, width, 1, bias=False)
        self.vit_pooler = PairTransformer(width, heads, blocks, dropout, drop_path)


class BioVilTImageModel(nn.Module):
    """The multi-image model.

    Args:
        trunk: ``ResNet50`` as published, or ``SmallResNet``.
        projection_size: D.
        width: of the static map and of the transformer; a multiple of 4 and of ``heads``.
        heads, blocks: of the transformer.
        dropout, drop_path: of the transformer, in training.
    """

    def __init__(
        self,
        trunk: Trunk,
        projection_size: int = 128,
        width: int = 256,
        heads: int = 8,
        blocks: int = 3,
        dropout: float = 0.1,
        drop_path: float = 0.25,
    ) -> None:
        super().__init__()
        sizes = {"projection_size": projection_size, "width": width, "heads": heads, "blocks": blocks}
        self.config = {"architecture": "biovil_t", "trunk": trunk.config, **sizes, "dropout": dropout, "drop_path": drop_path}
        self.width = 2 * width
        self.encoder = HybridEncoder(trunk, width, heads, blocks, dropout, drop_path)
        self.projector = PatchProjector(2 * width, projection_size)

    def forward(
        self,
        current: Tensor,
        previous: Tensor | None = None,
        has_previous: Tensor | None = None,
        *,
        previous_features: Tensor | None = None,
    ) -> ImageModelOutput:
        """Encode B studies.

        Args:
            current: (B, 1 or 3, H, W) in [0, 1], bone bright.
            previous: the films before, of the same shape; rows without one may hold anything.
            has_previous: (B,) whether there is a film before; all have one if ``previous`` is given and this is not.
            previous_features: ``encode_static`` of the films before, (B, width, h, w), instead of ``previous``.

        Raises:
            ValueError: if both forms of the previous films are given, or one does not fit the current films in shape.
        """
        present = _present(current, previous, has_previous, previous_features)
        if previous is None:
            return self.from_static(self.encode_static(current), previous_features, has_previous)
        static, before = self._both(current, previous, present)
        return project(torch.cat([static, self._change(static, before, present)], dim=1), self.projector)

    def from_static(self, static: Tensor, previous_features: Tensor | None = None, has_previous: Tensor | None = None) -> ImageModelOutput:
        """``forward`` from static maps of the current films, (B, width, h, w), as ``encode_static`` gives them; arguments as there."""
        present = _present(static, None, has_previous, previous_features)
        before = None if previous_features is None else previous_features[present].to(static.dtype)
        if before is not None and before.shape[1:] != static.shape[1:]:
            raise ValueError(f"previous_features are {tuple(before.shape[1:])} a film, the current films' {tuple(static.shape[1:])}")
        return project(torch.cat([static, self._change(static, before, present)], dim=1), self.projector)

    @property
    def static_modules(self) -> tuple[nn.Module, ...]:
        """What ``encode_static`` is made of."""
        return self.encoder.encoder, self.encoder.backbone_to_vit

    def encode_static(self, pixels: Tensor) -> Tensor:
        """What one film shows, whatever stands beside it: (B, 1 or 3, H, W) → (B, width, h, w); may be kept for ``previous_features``."""
        return self.encoder.backbone_to_vit(self.encoder.encoder(pixels))

    def _both(self, current: Tensor, previous: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Static maps of all current films and of the previous films that are there, in one pass."""
        maps = self.encode_static(torch.cat([current, previous[present]]))
        return maps[: len(current)], maps[len(current) :]

    def _change(self, static: Tensor, before: Tensor | None, present: Tensor) -> Tensor:
        missing = self.encoder.missing_previous_emb.to(static.dtype).expand_as(static)
        if before is None or len(before) == 0:
            return missing + self._unused().to(static.dtype) if self.training else missing
        change = self.encoder.vit_pooler(static[present], before).to(static.dtype)
        return missing.index_copy(0, present.nonzero()[:, 0], change)

    def _unused(self) -> Tensor:
        """Zero, made of every parameter of the transformer: processes that share a batch need a gradient of each at every step."""
        return torch.stack([parameter.sum() for parameter in self.encoder.vit_pooler.parameters()]).sum() * 0.0


def sine_places(height: int, width: int, channels: int, device: torch.device | None = None) -> Tensor:
    """Sines and cosines of each patch's row and column (Carion et al. 2020, DETR), (h · w, channels), float32.

    Rows and columns run to 2 π whatever their number; the first half of the channels are the row's, even ones sines, odd ones cosines.
    """
    half = channels // 2
    index = torch.arange(half, device=device)
    scale = 10_000 ** (2 * (index // 2) / half)
    tables = []
    for size in (height, width):
        steps = torch.arange(1, size + 1, dtype=torch.float32, device=device)
        angle = (steps / (size + 1e-6) * 2 * math.pi)[:, None] / scale  # (size, half)
        tables.append(torch.where(index % 2 == 0, angle.sin(), angle.cos()))
    rows, columns = tables
    grid = [rows[:, None].expand(height, width, half), columns[None].expand(height, width, half)]
    return torch.cat(grid, dim=2).flatten(0, 1)


def _present(current: Tensor, previous: Tensor | None, has_previous: Tensor | None, features: Tensor | None) -> Tensor:
    """(B,) bool: which studies have a film before."""
    if previous is not None and features is not None:
        raise ValueError("give previous or previous_features, not both")
    if previous is not None and previous.shape != current.shape:
        raise ValueError(f"previous films are {tuple(previous.shape)}, current ones {tuple(current.shape)}; the shapes must be equal")
    given = previous if previous is not None else features
    if given is None:
        return torch.zeros(len(current), dtype=torch.bool, device=current.device)
    if has_previous is None:
        return torch.ones(len(current), dtype=torch.bool, device=current.device)
    if has_previous.shape != (len(current),) or len(given) != len(current):
        raise ValueError(f"{len(current)} current films, {len(given)} previous ones and has_previous of {tuple(has_previous.shape)}")
    return has_previous.bool()
