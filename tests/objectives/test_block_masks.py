"""Block masks follow the official distribution. Expected shares: means over 6,000 masks of dinov2's MaskingGenerator @b8931f7."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvl.objectives.block_masks import block_masks, fill_blocks

OFFICIAL = {"patches": 114.91, "horizontal edges": 0.1259, "centre": 0.781, "corner": 0.054}


@given(
    images=st.integers(1, 9),
    grid=st.tuples(st.integers(2, 20), st.integers(2, 20)),
    probability=st.floats(0, 1),
    ratio=st.tuples(st.floats(0, 0.5), st.floats(0.5, 1)),
    seed=st.integers(0, 2**32),
)
def test_no_mask_exceeds_its_share_and_no_more_images_are_masked_than_asked(images, grid, probability, ratio, seed):
    masks = block_masks(images, grid, probability=probability, ratio=ratio, draw=np.random.default_rng(seed))

    hidden = masks.sum(axis=1)
    assert masks.shape == (images, grid[0] * grid[1])
    assert hidden.max() <= ratio[1] * masks.shape[1]
    assert (hidden > 0).sum() <= int(images * probability)


def test_half_the_images_are_masked_each_in_its_own_stratum_of_the_ratio():
    masks = block_masks(16, (16, 16), probability=0.5, ratio=(0.1, 0.5), draw=np.random.default_rng(0))

    shares = np.sort(masks.mean(axis=1))
    assert (shares[:8] == 0).all()
    assert (shares[8:] <= 0.1 + 0.05 * np.arange(1, 9)).all()
    assert (shares[8:] >= 0.1 + 0.05 * np.arange(8) - 0.02).all()


def test_every_image_is_masked_about_as_often():
    draw = np.random.default_rng(0)

    masked = np.mean([block_masks(4, (8, 8), draw=draw).any(axis=1) for _ in range(1000)], axis=0)

    assert masked == pytest.approx([0.5] * 4, abs=0.06)


def test_the_same_generator_gives_the_same_masks():
    first, again = (block_masks(6, (16, 16), draw=np.random.default_rng(3)) for _ in range(2))

    assert np.array_equal(first, again)


def test_blocks_have_the_official_number_of_patches_and_shape():
    masks = np.zeros((3000, 16, 16), bool)
    draw = np.random.default_rng(0)

    for mask in masks:
        fill_blocks(mask, 115, draw)

    assert masks.sum(axis=(1, 2)).mean() == pytest.approx(OFFICIAL["patches"], abs=0.05)
    assert (masks[:, 1:] != masks[:, :-1]).mean() == pytest.approx(OFFICIAL["horizontal edges"], rel=0.02)
    assert masks[:, 8, 8].mean() == pytest.approx(OFFICIAL["centre"], abs=0.03)
    assert masks[:, 0, 0].mean() == pytest.approx(OFFICIAL["corner"], abs=0.015)
