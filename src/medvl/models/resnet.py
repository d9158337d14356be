"""A small residual network for radiographs (He et al. 2016, basic blocks), total stride 16.

Sized for two CPU cores: at 160 × 160 pixels it gives a 10 × 10 map. Departures from ResNet-18: one input channel; a stem that folds
2 × 2 pixels into channels before its convolution of stride 2, for on a CPU large maps cost more than wide ones; the second and third of
four stages halve the map; and group normalisation as a named choice, which is free of the batch and so gives the same loss however a
batch is split over processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Norm = Literal["batch", "group"]


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = _norm(norm, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = _norm(norm, outputs)
        self.activation = nn.ReLU(inplace=True)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), _norm(norm, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H / stride, W / stride)."""
        y = self.activation(self.norm1(self.conv1(x)))
        return self.activation(self.norm2(self.conv2(y)) + self.shortcut(x))


class SmallResNet(nn.Module):
    """Stem and four stages of residual blocks.

    Args:
        widths: channels of the four stages.
        blocks: residual blocks per stage.
        norm: ``batch`` or ``group`` (8 channels a group).
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 128, 256), blocks: int = 1, norm: Norm = "batch") -> None:
        super().__init__()
        self.config = {"architecture": "small_resnet", "widths": list(widths), "blocks": blocks, "norm": norm}
        fold = nn.PixelUnshuffle(2)
        self.stem = nn.Sequential(fold, nn.Conv2d(4, widths[0], 5, 2, 2, bias=False), _norm(norm, widths[0]), nn.ReLU(inplace=True))
        layers: list[nn.Module] = []
        for stage, width in enumerate(widths):
            for block in range(blocks):
                inputs = widths[max(stage - 1, 0)] if block == 0 else width
                layers.append(ResidualBlock(inputs, width, stride=2 if stage in (1, 2) and block == 0 else 1, norm=norm))
        self.stages = nn.Sequential(*layers)
        self.width = widths[-1]
        self.to(memory_format=torch.channels_last)  # a third faster on CPUs, the same values

    def forward(self, pixels: Tensor) -> Tensor:
        """Feature maps of radiographs.

        Args:
            pixels: (B, 1, H, W) in [0, 1], bone bright; standardised here to about zero mean and unit spread.

        Returns:
            (B, widths[-1], H / 16, W / 16).

        Raises:
            ValueError: for another shape, or if H or W is odd.
        """
        if pixels.ndim != 4 or pixels.shape[1] != 1 or pixels.shape[2] % 2 or pixels.shape[3] % 2:
            raise ValueError(f"pixels need the shape (B, 1, H, W) with even H and W, got {tuple(pixels.shape)}")
        standardised = ((pixels - 0.5) * 4).contiguous(memory_format=torch.channels_last)
        return self.stages(self.stem(standardised))


def _norm(kind: Norm, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.GroupNorm(max(channels // 8, 1), channels)
