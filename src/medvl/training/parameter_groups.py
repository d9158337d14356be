"""Parameter groups of a vision transformer with heads: layer-wise learning rates, and what is not decayed.

As in the official DINOv2 code (``utils/param_groups.py``): of L blocks, block i learns at decay^(L - i) of the rate, the embeddings at
decay^(L + 1), the last normalisation and the heads at the full rate; the patch embedding has a multiplier of its own besides. Biases and
everything named ``norm`` or ``gamma`` are not decayed.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from torch import nn

EMBEDDINGS = ("pos_embed", "patch_embed", "mask_token", "cls_token", "register_tokens")


class Multipliers(NamedTuple):
    """What a group's parameters have in common.

    Attributes:
        learning_rate, weight_decay: factors on the scheduled values.
        last_layer: whether they are the heads' prototypes.
        backbone: whether they are the backbone's.
    """

    learning_rate: float
    weight_decay: float
    last_layer: bool
    backbone: bool


def multipliers(name: str, *, depth: int, layer_decay: float, patch_embed: float) -> Multipliers:
    """The group of a parameter by its name, ``backbone.…`` or that of a head.

    Args:
        name: dotted.
        depth: number of blocks.
        layer_decay: factor from each block to the one below.
        patch_embed: factor on the patch embedding, besides.
    """
    module, _, inner = name.partition(".")
    backbone = module == "backbone"
    layer = depth + 1
    if backbone and inner.startswith(EMBEDDINGS):
        layer = 0
    elif backbone and inner.startswith("blocks."):
        layer = int(inner.split(".")[1]) + 1
    rate = layer_decay ** (depth + 1 - layer) * (patch_embed if "patch_embed" in inner else 1.0)
    plain = name.endswith(".bias") or "norm" in name or "gamma" in name
    return Multipliers(rate, 0.0 if plain else 1.0, "last_layer" in name, backbone)


def parameter_groups(network: nn.Module, *, depth: int, layer_decay: float, patch_embed: float) -> list[dict[str, Any]]:
    """The trainable parameters as optimiser groups, each with its ``multipliers``, in order of first appearance."""
    groups: dict[Multipliers, list[nn.Parameter]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups[multipliers(name, depth=depth, layer_decay=layer_decay, patch_embed=patch_embed)].append(parameter)
    return [{"params": parameters, "multipliers": tuple(common)} for common, parameters in groups.items()]
