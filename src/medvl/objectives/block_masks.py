"""Block masks for masked image modelling: rectangles until the wanted share of patches is hidden (BEiT, Bao et al. 2022; DINOv2).

The distribution is that of DINOv2's ``MaskingGenerator`` and ``collate_data_and_cast``: a fixed share of the images is masked, their
ratios are stratified over the allowed range, and which image gets which is shuffled. Rectangles are filled and counted as slices, which
on large grids is what the time goes to.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

TRIES = 10  # for a rectangle that fits; then the mask is left as it is
SMALLEST = 4  # patches, the least area aimed at
LARGEST = 0.5  # share of the grid, the largest area
ASPECT = (0.3, 1 / 0.3)  # height over width


def block_masks(
    images: int, grid: tuple[int, int], *, probability: float = 0.5, ratio: tuple[float, float] = (0.1, 0.5), draw: np.random.Generator
) -> NDArray[np.bool_]:
    """Masks for a batch.

    Args:
        images: number of large crops.
        grid: (h, w) patches of each.
        probability: share of the images that get a mask, rounded down to whole images.
        ratio: lowest and highest share of patches to hide in those. A mask never has more than its share, at times less.
        draw: the source of randomness.

    Returns:
        (images, h · w), true where a patch is hidden, patches in row-major order.
    """
    masks = np.zeros((images, *grid), bool)
    masked = int(images * probability)
    edges = np.linspace(*ratio, masked + 1)
    shares = edges[:-1] + (edges[1:] - edges[:-1]) * draw.random(masked)
    for image, share in zip(draw.permutation(images)[:masked], shares, strict=True):
        fill_blocks(masks[image], int(share * grid[0] * grid[1]), draw)
    return masks.reshape(images, -1)


def fill_blocks(mask: NDArray[np.bool_], patches: int, draw: np.random.Generator) -> None:
    """Hide at most so many patches of an empty mask (h, w), in place, by rectangles drawn one after the other."""
    left = patches
    while left > 0:
        hidden = _add_block(mask, min(left, LARGEST * mask.size), draw.random((TRIES, 4)).tolist())
        if not hidden:
            return
        left -= hidden


def _add_block(mask: NDArray[np.bool_], most: float, draws: list[list[float]]) -> int:
    """Add the first rectangle that fits and hides between 1 and ``most`` further patches; returns how many."""
    rows, columns = mask.shape
    low, high = math.log(ASPECT[0]), math.log(ASPECT[1])
    for area, aspect, vertical, horizontal in draws:
        wanted = SMALLEST + (most - SMALLEST) * area
        ratio = math.exp(low + (high - low) * aspect)
        height, width = round(math.sqrt(wanted * ratio)), round(math.sqrt(wanted / ratio))
        if height >= rows or width >= columns:
            continue
        top, left = int(vertical * (rows - height + 1)), int(horizontal * (columns - width + 1))
        block = mask[top : top + height, left : left + width]
        added = height * width - int(np.count_nonzero(block))
        if 0 < added <= most:
            block[:] = True
            return added
    return 0
