"""Student and teacher of a DINOv2 run: a vision transformer with a head on class tokens and one, the same or another, on hidden patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from medvl.models.dino_head import DinoHead
from medvl.models.vit import VisionTransformer

HeadInput = Literal["class", "class_and_mean"]


class CropOutputs(NamedTuple):
    """What a network says of crops.

    Attributes:
        cls: (n, D) class tokens of all crops, in their order, normed.
        logits: (n, K) of the class tokens.
        patch_logits: (M, K') of the hidden patches of the first group of crops.
    """

    cls: Tensor
    logits: Tensor
    patch_logits: Tensor


class DinoNetwork(nn.Module):
    """Backbone and heads; the names of the parameters are those of the official training checkpoints.

    Args:
        backbone: the vision transformer.
        head: makes the head of the class tokens, ``head(in_dim=D)``.
        ibot_head: makes the head of the patches; the class tokens' serves both if not given.
        head_input: what the first head sees of a crop: the class token (official), or the mean patch beside it (ours, for small networks).

    Raises:
        ValueError: if one head is to see both patches and class tokens with mean patches, which differ in width.
    """

    def __init__(
        self,
        backbone: VisionTransformer,
        head: Callable[..., DinoHead],
        ibot_head: Callable[..., DinoHead] | None = None,
        head_input: HeadInput = "class",
    ) -> None:
        super().__init__()
        if head_input == "class_and_mean" and ibot_head is None:
            raise ValueError("head_input=class_and_mean needs an ibot_head of its own")
        self.backbone, self.head_input = backbone, head_input
        self.dino_head = head(in_dim=backbone.embed_dim * (2 if head_input == "class_and_mean" else 1))
        self.ibot_head = ibot_head(in_dim=backbone.embed_dim) if ibot_head is not None else None

    def forward(self, groups: Sequence[Tensor], masks: Sequence[Tensor | None], hidden: Tensor) -> CropOutputs:
        """Class tokens and logits.

        Args:
            groups: crops (B_i, C, H_i, W_i) of one size each, standardised.
            masks: (B_i, N_i) true where a patch is hidden from this network, or none.
            hidden: (M,) positions of the patches to predict among all B_0 · N_0 patches of the first group.
        """
        tokens = self.backbone.forward_crops(groups, masks)  # (B_i, 1 + registers + N_i, D) each
        cls = torch.cat([group[:, 0] for group in tokens])
        patches = tokens[0][:, -(tokens[0].shape[1] - self.backbone.prefix_tokens) :].flatten(0, 1)[hidden]
        if self.ibot_head is not None:
            seen = torch.cat([self._seen(group) for group in tokens])
            return CropOutputs(cls, self.dino_head(seen), self.ibot_head(patches))
        logits, patch_logits = self.dino_head(torch.cat([cls, patches])).split([len(cls), len(patches)])
        return CropOutputs(cls, logits, patch_logits)

    def _seen(self, tokens: Tensor) -> Tensor:
        """What the class tokens' head sees of crops (B, prefix + N, D)."""
        cls = tokens[:, 0]
        if self.head_input == "class":
            return cls
        return torch.cat([cls, tokens[:, self.backbone.prefix_tokens :].mean(dim=1)], dim=1)
