"""Decoders that turn a vision transformer's patch tokens into masks: linear, and in the manner of UPerNet.

``LinearDecoder`` is DINOv2's linear head: batch normalisation and a 1×1 convolution on the last block's tokens. ``PyramidDecoder`` follows
UPerNet (Xiao et al. 2018) on a plain transformer: the tokens of four blocks at 4, 2, 1 and ½ times their grid, pyramid pooling on the
coarsest, a top-down pathway with lateral connections, and all levels fused. ``PlacePrior`` adds to either what is known without seeing an
image: where in the frame each structure usually lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

DecoderName = Literal["linear", "upernet"]
POOLED_SIDES = (1, 2, 3, 6)
SHARES = (0.01, 0.99)  # logits of places where a structure never or always lies stay within ± 4.6


class LinearDecoder(nn.Module):
    """Batch normalisation and one linear classifier per patch.

    Args:
        width: D of the tokens.
        structures: masks to predict, each on its own.
    """

    blocks = 1

    def __init__(self, width: int, structures: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width)
        self.classify = nn.Conv2d(width, structures, 1)

    def forward(self, maps: Sequence[Tensor], size: int) -> Tensor:
        """Logits (B, structures, size, size) from the last of the token maps (B, D, h, w)."""
        return _resize(self.classify(self.norm(maps[-1])), (size, size))


class PyramidDecoder(nn.Module):
    """Pyramid pooling and a feature pyramid over four blocks.

    Args:
        width: D of the tokens.
        structures: masks to predict, each on its own.
        channels: of every level.
    """

    blocks = 4

    def __init__(self, width: int, structures: int, channels: int = 64) -> None:
        super().__init__()
        self.rescale = nn.ModuleList(
            [
                nn.Sequential(nn.ConvTranspose2d(width, width, 2, 2), nn.GELU(), nn.ConvTranspose2d(width, width, 2, 2)),
                nn.ConvTranspose2d(width, width, 2, 2),
                nn.Identity(),
                nn.MaxPool2d(2, ceil_mode=True),
            ]
        )
        self.laterals = nn.ModuleList([_block(width, channels, 1) for _ in range(3)])
        self.pooled = nn.ModuleList([nn.Sequential(nn.Conv2d(width, channels, 1), nn.ReLU()) for _ in POOLED_SIDES])
        self.bottleneck = _block(width + len(POOLED_SIDES) * channels, channels, 3)
        self.smooth = nn.ModuleList([_block(channels, channels, 3) for _ in range(3)])
        self.fuse = _block(4 * channels, channels, 3)
        self.classify = nn.Conv2d(channels, structures, 1)

    def forward(self, maps: Sequence[Tensor], size: int) -> Tensor:
        """Logits (B, structures, size, size) from the token maps (B, D, h, w) of four blocks, shallow to deep."""
        levels = [rescale(tokens) for rescale, tokens in zip(self.rescale, maps, strict=True)]  # fine to coarse
        tops = [self._pool(levels[-1])]
        for lateral, level in zip(reversed(self.laterals), reversed(levels[:-1]), strict=True):
            tops.append(lateral(level) + _resize(tops[-1], level.shape[-2:]))
        smoothed = [tops[0], *(smooth(top) for smooth, top in zip(self.smooth, tops[1:], strict=True))]
        finest = smoothed[-1].shape[-2:]
        fused = self.fuse(torch.cat([_resize(level, finest) for level in smoothed], dim=1))
        return _resize(self.classify(fused), (size, size))

    def _pool(self, coarsest: Tensor) -> Tensor:
        sides = zip(self.pooled, POOLED_SIDES, strict=True)
        pooled = [_resize(project(adaptive_avg_pool2d(coarsest, side)), coarsest.shape[-2:]) for project, side in sides]
        return self.bottleneck(torch.cat([coarsest, *pooled], dim=1))


class PlacePrior(nn.Module):
    """A decoder whose logits are added to a map of places, the same for every image: it begins as the mean mask and learns from there.

    A linear classifier draws a lung only from tokens that say finely where they lie; those of a small or little trained transformer say it
    roughly. With the map, all that is left to find in the tokens is how this image differs from the mean.

    Args:
        decoder: its classifier is set to 0.
        share: (structures, h, w) in [0, 1], the share of training masks in each patch.
    """

    def __init__(self, decoder: LinearDecoder | PyramidDecoder, share: Tensor) -> None:
        super().__init__()
        self.decoder = decoder
        self.blocks = decoder.blocks
        self.place = nn.Parameter(share.clamp(*SHARES).logit())
        for parameter in decoder.classify.parameters():
            nn.init.zeros_(parameter)

    def forward(self, maps: Sequence[Tensor], size: int) -> Tensor:
        """Logits (B, structures, size, size) from the token maps that the decoder takes."""
        return self.decoder(maps, size) + _resize(self.place[None], (size, size))


def _block(inputs: int, outputs: int, kernel: int) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    return interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
