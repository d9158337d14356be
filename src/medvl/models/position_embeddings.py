"""Learned position embeddings away from the size they were learned at: bicubic, in the ways of the three libraries that share the weights.

    dinov2   without registers: scale factors (side + 0.1) / native side, no antialiasing; with registers: the size itself, antialiased
    hf       transformers: the size itself, no antialiasing (antialiased for the model with registers)
    timm     the size itself, antialiased

At the native size all three agree. Elsewhere they are different functions, so a network trained at 224 from weights of 518 differs between
the libraries: the choice belongs to the checkpoint.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import interpolate

PositionInterpolation = Literal["dinov2", "hf", "timm"]
OFFICIAL_OFFSET = 0.1


def interpolate_positions(
    positions: Tensor, native: tuple[int, int], grid: tuple[int, int], how: PositionInterpolation, *, registers: bool
) -> Tensor:
    """Position embeddings of a native grid for another.

    Args:
        positions: (1, h₀ · w₀, D), row by row.
        native: (h₀, w₀).
        grid: (h, w) wanted.
        how: whose way.
        registers: whether the model has register tokens.

    Returns:
        (1, h · w, D) in the precision of ``positions``; computed in float32.
    """
    if grid == native:
        return positions
    maps = positions.float().unflatten(1, native).permute(0, 3, 1, 2)  # (1, D, h₀, w₀)
    antialias = how == "timm" or registers
    if how == "dinov2" and not registers:
        factors = [(side + OFFICIAL_OFFSET) / before for side, before in zip(grid, native, strict=True)]
        maps = interpolate(maps, scale_factor=factors, mode="bicubic")
    else:
        maps = interpolate(maps, size=grid, mode="bicubic", antialias=antialias)
    return maps.flatten(2).transpose(1, 2).to(positions.dtype)
