"""BioViL's image model (Boecking et al., ECCV 2022): a convolutional trunk whose patches are projected into the joint space.

    trunk (B, C, h, w) → 1 × 1 convolution to D → batch norm → ReLU → 1 × 1 convolution → projected patches (B, D, h, w)

The projected global embedding is the mean of the projected patches, before either is brought to unit length. Tensor names are those of
the official checkpoint (microsoft/hi-ml, ``ImageModel``).
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from medvl.models.resnet import SmallResNet
from medvl.models.resnet50 import ResNet50

Trunk = ResNet50 | SmallResNet
"""From pixels to a map: ``ResNet50`` as published, ``SmallResNet`` for two CPU cores."""


class ImageModelOutput(NamedTuple):
    """What an image model says of B images; names as in the official package. Nothing is of unit length.

    Attributes:
        img_embedding: (B, C), the mean patch.
        patch_embeddings: (B, C, h, w).
        projected_global_embedding: (B, D), the mean projected patch.
        projected_patch_embeddings: (B, D, h, w).
    """

    img_embedding: Tensor
    patch_embeddings: Tensor
    projected_global_embedding: Tensor
    projected_patch_embeddings: Tensor


class PatchProjector(nn.Module):
    """The projection of each patch: 1 × 1 convolutions with batch norm and ReLU between, (B, C, h, w) → (B, D, h, w)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 1),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """(B, C, h, w) → (B, D, h, w)."""
        return self.model(patches)


class StaticEncoder(nn.Module):
    """The trunk under the name that official checkpoints give it, ``encoder.encoder``."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.encoder = trunk

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) → (B, C, h, w)."""
        return self.encoder(pixels)


class BioVilImageModel(nn.Module):
    """The static image model.

    Args:
        trunk: ``ResNet50`` as published, or ``SmallResNet``.
        projection_size: D.
    """

    def __init__(self, trunk: Trunk, projection_size: int = 128) -> None:
        super().__init__()
        self.config = {"architecture": "biovil", "trunk": trunk.config, "projection_size": projection_size}
        self.width = trunk.width
        self.encoder = StaticEncoder(trunk)
        self.projector = PatchProjector(self.width, projection_size)

    def forward(self, current: Tensor, previous: Tensor | None = None, has_previous: Tensor | None = None) -> ImageModelOutput:
        """Encode B images.

        Args:
            current: (B, 1 or 3, H, W) in [0, 1], bone bright.
            previous, has_previous: without effect: the model is static; taken so that it stands where a multi-image model does.
        """
        return project(self.encoder(current), self.projector)


def project(patches: Tensor, projector: PatchProjector) -> ImageModelOutput:
    """Patches (B, C, h, w) and their projection, with the means of both."""
    projected = projector(patches)
    return ImageModelOutput(patches.mean(dim=(2, 3)), patches, projected.mean(dim=(2, 3)), projected)
