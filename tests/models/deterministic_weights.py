"""Weights and pixels that are a function of their name alone, the same on every machine and in every version of every library.

A 32-bit integer hash of the position and of the name's checksum gives uniform numbers; their scale follows the tensor's part, so that
fifty layers neither fade nor blow up, normalisation statistics are proper, and every embedding is large enough to matter.
"""

import math
import zlib
from collections import OrderedDict

import numpy as np
import torch

SMALL_PARTS = {"missing_previous_emb": 0.5, "type_embed": 0.5, "embeddings.weight": 0.3}  # spread of embeddings, by the end of the name


def uniform(name, shape):
    """float32 in [-1, 1) of a shape: Murmur3's mixing of the position and the name's CRC-32."""
    x = np.arange(math.prod(shape), dtype=np.uint32)
    x *= np.uint32(0x9E3779B1)
    x += np.uint32(zlib.crc32(name.encode()))
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    return torch.from_numpy((x >> np.uint32(8)).astype(np.float32) * 2.0**-23 - 1).reshape(shape)


def weight(name, shape, dtype=torch.float32):
    """One tensor of a state dict, by its name's ending and its shape."""
    if dtype == torch.int64:
        return torch.arange(math.prod(shape)).reshape(shape)  # position_ids; 0 batches tracked
    values = uniform(name, shape)
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        return 1 + 0.5 * values
    if len(shape) < 2 or name.endswith("bias"):
        return 0.2 * values
    for ending, spread in SMALL_PARTS.items():
        if name.endswith(ending):
            return spread * values
    fan_in = math.prod(shape[1:])
    return values * math.sqrt(3 / fan_in)  # variance 1 / fan-in


def deterministic_state(shapes):
    """A state dict from ``{name: (shape, dtype)}``."""
    return OrderedDict((name, weight(name, shape, dtype)) for name, (shape, dtype) in shapes.items())


def shapes_of(state):
    """``{name: (shape, dtype)}`` of a state dict."""
    return {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in state.items()}


def pixels(name, height, width):
    """A grey image (1, 1, H, W) in [0, 1] with structure at every scale."""
    total = torch.zeros(1, 1, height, width)
    for cells in (3, 7, 20, 60):
        coarse = uniform(f"{name} {cells}", (1, 1, cells, cells))
        total += torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    return (total / 4 + 0.5).clamp(0, 1)
