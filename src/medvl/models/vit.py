"""Vision transformer of DINOv2 (Oquab et al. 2023; registers: Darcet et al. 2024): S/B/L/g at patch 14, on one or three channels.

Names of parameters are the official ones, so official state dicts load as they are. Crops of several sizes run packed (see
``vit_blocks``). Departures: the layer and whether it is normed are always said, since libraries mean different tensors by "the last layer";
the way position embeddings are interpolated is a named choice; the weights carry the mean and standard deviation of the pixels they
expect; a small convolutional stem can take the place of the patch projection where there is no large pre-training.

    width 384, depth 12, heads 6     ViT-S         width 1024, depth 24, heads 16                  ViT-L
    width 768, depth 12, heads 12    ViT-B         width 1536, depth 40, heads 24, mlp swiglu      ViT-g
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from medvl.models.position_embeddings import PositionInterpolation, interpolate_positions
from medvl.models.vit_blocks import Block, Group, MlpName, SubsetRounding, groups_of

Stem = Literal["patch", "conv"]
STEM_CHANNELS = 24


@dataclass(frozen=True, slots=True)
class EncoderOutput:
    """Tokens of B images.

    Attributes:
        cls: (B, D) the class token of the last layer asked for.
        patches: (B, N, D) for each layer asked for, N = h · w, row by row.
        grid: (h, w).
        cls_by_layer: (B, D) for each layer asked for.
    """

    cls: Tensor
    patches: tuple[Tensor, ...]
    grid: tuple[int, int]
    cls_by_layer: tuple[Tensor, ...]


class VisionTransformer(nn.Module):
    """Images to a class token and patch tokens.

    Args:
        width: D.
        depth: blocks.
        heads: of each attention.
        patch_size: pixels along a side of a patch.
        image_size: pixels along a side of the image whose grid the position embeddings are learned on.
        in_channels: 1 or 3.
        registers: register tokens.
        mlp, mlp_ratio, layer_scale, subset_rounding: see ``Block``.
        drop_path: rate of stochastic depth.
        drop_path_schedule: the same rate in every block (as in the official training), or rising to it from 0 in the first.
        checkpoint_activations: compute each block again in the backward pass instead of keeping its activations.
        position_interpolation: see ``interpolate_positions``.
        mean, std: of the pixels in [0, 1] that the weights expect; one number, or one per channel. RAD-DINO's if not given.
        stem: the patch projection, or 3×3 convolutions of stride 2 with group normalisation (``patch_size`` a power of two).

    Raises:
        ValueError: if heads do not divide the width, or patches the image.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        patch_size: int = 14,
        image_size: int = 518,
        in_channels: int = 3,
        registers: int = 0,
        mlp: MlpName = "gelu",
        mlp_ratio: float = 4.0,
        layer_scale: float | None = 1e-5,
        drop_path: float = 0.0,
        drop_path_schedule: Literal["uniform", "linear"] = "uniform",
        subset_rounding: SubsetRounding = "floor",
        position_interpolation: PositionInterpolation = "dinov2",
        mean: float | Sequence[float] = 0.5307,
        std: float | Sequence[float] = 0.2583,
        stem: Stem = "patch",
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        require_channels(in_channels)
        if width % heads or image_size % patch_size:
            raise ValueError(f"{heads} heads must divide a width of {width}, and patches of {patch_size} an image of {image_size}")
        self.embed_dim, self.patch_size, self.in_channels = width, patch_size, in_channels
        self.prefix_tokens = 1 + registers
        self.native_grid = (image_size // patch_size, image_size // patch_size)
        self.position_interpolation: PositionInterpolation = position_interpolation
        self.checkpoint_activations = checkpoint_activations
        self.patch_embed = PatchEmbedding(width, patch_size, in_channels, stem)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.native_grid[0] * self.native_grid[1], width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        if registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, registers, width))
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                mlp=mlp,
                mlp_ratio=mlp_ratio,
                layer_scale=layer_scale,
                drop_path=drop_path * (number / max(depth - 1, 1) if drop_path_schedule == "linear" else 1),
                subset_rounding=subset_rounding,
            )
            for number in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.set_statistics(mean, std)
        self._initialise()

    def set_statistics(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        """Set the mean and standard deviation of the pixels in [0, 1] that the weights expect.

        Raises:
            ValueError: if there are not as many as channels, or a deviation is not positive.
        """
        for name, values in (("mean", mean), ("std", std)):
            numbers = [float(values)] * self.in_channels if isinstance(values, (int, float)) else [float(v) for v in values]
            if len(numbers) != self.in_channels or (name == "std" and min(numbers) <= 0):
                raise ValueError(f"{name} of {self.in_channels} channels needs as many numbers, a deviation above 0; got {numbers}")
            self.config[name] = numbers
            values_of_channels = torch.tensor(numbers, device=self.cls_token.device)[:, None, None]
            self.register_buffer(name, values_of_channels, persistent=False)

    def standardize(self, images: Tensor) -> Tensor:
        """Images (B, 1 or C, H, W) in [0, 1] → (B, C, H, W) as the weights expect them; one channel is repeated.

        Raises:
            ValueError: if there is another number of channels.
        """
        if images.shape[1] not in (1, self.in_channels):
            raise ValueError(f"images have {images.shape[1]} channels, the encoder takes 1 or {self.in_channels}")
        return (images - self.mean) / self.std

    def encode(self, pixels: Tensor, layers: Sequence[int] = (-1,), norm: bool = True) -> EncoderOutput:
        """Tokens of the given blocks.

        Args:
            pixels: (B, C, H, W), standardised; H and W multiples of the patch size.
            layers: numbers of blocks, from 0, or negative from the last; in the order in which they are wanted.
            norm: whether the final layer norm is applied, to every layer (as in the official ``get_intermediate_layers``).

        Raises:
            ValueError: naming what is wrong with the pixels' shape, or a layer that does not exist.
        """
        depth = len(self.blocks)
        if not layers:
            raise ValueError("name at least one layer")
        for layer in layers:
            if not -depth <= layer < depth:
                raise ValueError(f"there is no layer {layer} in {depth} blocks")
        wanted = [layer % depth for layer in layers]
        packed, groups, grids = self._pack([pixels], [None])
        found: dict[int, Tensor] = {}
        for number, block in enumerate(self.blocks[: max(wanted) + 1]):
            packed = self._run(block, packed, groups)
            if number in wanted:
                found[number] = groups[0].of(self.norm(packed) if norm else packed)  # (B, prefix + N, D)
        cls = tuple(found[number][:, 0] for number in wanted)
        patches = tuple(found[number][:, self.prefix_tokens :] for number in wanted)
        return EncoderOutput(cls[-1], patches, grids[0], cls)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, C, H, W), standardised → all tokens of the last block, normed, (B, prefix + N, D)."""
        return self.forward_crops([pixels], [None])[0]

    def forward_crops(self, groups: Sequence[Tensor], masks: Sequence[Tensor | None]) -> list[Tensor]:
        """Normed tokens of crops of several sizes, run together.

        Args:
            groups: crops (B_i, C, H_i, W_i), standardised, one tensor per size.
            masks: (B_i, N_i) boolean, true where a patch is replaced by the mask token; or none.

        Returns:
            (B_i, prefix + N_i, D) for each group: class token, registers, patches row by row.

        Raises:
            ValueError: naming what is wrong with a shape.
        """
        packed, parts, _ = self._pack(groups, masks)
        for block in self.blocks:
            packed = self._run(block, packed, parts)
        packed = self.norm(packed)
        return [part.of(packed) for part in parts]

    def _run(self, block: nn.Module, packed: Tensor, groups: list[Group]) -> Tensor:
        if self.checkpoint_activations and torch.is_grad_enabled():
            return checkpoint(block, packed, groups, use_reentrant=False)
        return block(packed, groups)

    def _pack(self, groups: Sequence[Tensor], masks: Sequence[Tensor | None]) -> tuple[Tensor, list[Group], list[tuple[int, int]]]:
        """Embed the crops: packed tokens (T, D), their groups, and the grid of each."""
        tokens, grids = [], []
        for pixels, mask in zip(groups, masks, strict=True):
            embedded, grid = self._embed(pixels, mask)
            tokens.append(embedded)
            grids.append(grid)
        parts = groups_of([(part.shape[0], part.shape[1]) for part in tokens])
        packed = tokens[0].flatten(0, 1) if len(tokens) == 1 else torch.cat([part.flatten(0, 1) for part in tokens])
        return packed, parts, grids

    def _embed(self, pixels: Tensor, mask: Tensor | None) -> tuple[Tensor, tuple[int, int]]:
        """(B, C, H, W) → tokens (B, prefix + N, D) with positions, and the grid (h, w)."""
        self._check_shape(pixels)
        grid = (pixels.shape[2] // self.patch_size, pixels.shape[3] // self.patch_size)
        x = self.patch_embed(pixels)  # (B, N, D)
        if mask is not None:
            if mask.shape != x.shape[:2]:
                raise ValueError(f"a mask of {tuple(mask.shape)} for patches of {tuple(x.shape[:2])}")
            x = torch.where(mask[..., None], self.mask_token.to(x.dtype), x)
        positions = interpolate_positions(
            self.pos_embed[:, 1:], self.native_grid, grid, self.position_interpolation, registers=self.prefix_tokens > 1
        )
        prefix = [(self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)]
        if self.prefix_tokens > 1:
            prefix.append(self.register_tokens.expand(len(x), -1, -1))  # registers have no position
        return torch.cat([*prefix, x + positions], dim=1), grid

    def _check_shape(self, pixels: Tensor) -> None:
        if pixels.ndim != 4 or pixels.shape[1] != self.in_channels:
            raise ValueError(f"pixels need the shape (B, {self.in_channels}, H, W), got {tuple(pixels.shape)}")
        if pixels.shape[2] % self.patch_size or pixels.shape[3] % self.patch_size:
            raise ValueError(f"sides of {pixels.shape[2]}×{pixels.shape[3]} pixels are no multiples of the patch size {self.patch_size}")

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.normal_(self.cls_token, std=1e-6)
        if self.prefix_tokens > 1:
            nn.init.normal_(self.register_tokens, std=1e-6)


class PatchEmbedding(nn.Module):
    """Pixels to patch tokens: one projection of each patch, or a small convolutional stem.

    Raises:
        ValueError: if a convolutional stem is asked for and the patch size is no power of two.
    """

    def __init__(self, width: int, patch_size: int, in_channels: int, stem: Stem) -> None:
        super().__init__()
        if stem == "patch":
            self.proj: nn.Module = nn.Conv2d(in_channels, width, patch_size, patch_size)
            return
        halvings = int(math.log2(patch_size))
        if 2**halvings != patch_size:
            raise ValueError(f"a convolutional stem needs a patch size that is a power of two, got {patch_size}")
        layers: list[nn.Module] = []
        inputs = in_channels
        for i in range(halvings):
            outputs = min(STEM_CHANNELS * 2**i, width)
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.GroupNorm(1, outputs), nn.ReLU(inplace=True)]
            inputs = outputs
        self.proj = nn.Sequential(*layers, nn.Conv2d(inputs, width, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) → (B, N, D), row by row."""
        return self.proj(pixels).flatten(2).transpose(1, 2)


def require_channels(in_channels: int) -> None:
    """See that an encoder of radiographs takes one channel or three.

    Raises:
        ValueError: for any other number.
    """
    if in_channels not in (1, 3):
        raise ValueError(f"in_channels is {in_channels}: films are grey, so 1, or 3 for weights that were trained on colours")


def check_images(images: Tensor, in_channels: int = 3) -> None:
    """Check a batch before training starts.

    Args:
        images: (B, 1 or C, H, W) in [0, 1].
        in_channels: C.

    Raises:
        ValueError: naming the first image that is constant or has a value that is not finite or out of range, or the channels.
    """
    if images.ndim != 4 or images.shape[1] not in (1, in_channels):
        channels = " or ".join(map(str, sorted({1, in_channels})))
        raise ValueError(f"images need the shape (B, {channels}, H, W), got {tuple(images.shape)}")
    flat = images.flatten(1).float()
    problems = {
        "has values that are not finite": ~flat.isfinite().all(dim=1),
        "has values outside [0, 1]": (flat < 0).any(dim=1) | (flat > 1).any(dim=1),
        "is constant: was it decoded with the wrong window?": flat.amax(dim=1) == flat.amin(dim=1),
    }
    for problem, rows in problems.items():
        if rows.any():
            raise ValueError(f"image {int(rows.nonzero()[0])} of {len(images)} {problem}")
