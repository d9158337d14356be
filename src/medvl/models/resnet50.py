"""The trunk of BioViL and BioViL-T: torchvision's ResNet-50 (He et al. 2016) up to its last map, total stride 32.

Tensor names are torchvision's, so that official checkpoints load; the classifier ``fc``, which they carry and nobody uses, is left out.
Input is in [0, 1] without ImageNet's mean and deviation, as in BioViL.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import resnet50


class ResNet50(nn.Module):
    """Stem and four stages of bottleneck blocks, 2,048 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {"architecture": "resnet50"}
        whole = resnet50(weights=None)
        for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
            self.add_module(name, getattr(whole, name))
        self.width = 2048
        self.to(memory_format=torch.channels_last)  # half the time under bfloat16; the same values but for rounding

    def forward(self, pixels: Tensor) -> Tensor:
        """Radiographs (B, 1 or 3, H, W) in [0, 1] → (B, 2048, ⌈H / 32⌉, ⌈W / 32⌉); one channel is shown three times.

        Raises:
            ValueError: for another shape.
        """
        if pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
            raise ValueError(f"pixels need the shape (B, 1 or 3, H, W), got {tuple(pixels.shape)}")
        x = pixels.expand(-1, 3, -1, -1) if pixels.shape[1] == 1 else pixels
        for module in self.children():
            x = module(x)
        return x
