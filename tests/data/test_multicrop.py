"""Multi-crop views: sizes, windows, what is drawn, and that a draw is a function of (seed, epoch, sample id)."""

import dataclasses

import numpy as np
import pytest
import torch
from cohort import write_cohort

from medvl.data.multicrop import BLUR, MultiCrop, MultiCropSamples, draw_window, multi_crops
from medvl.data.prepare import prepare
from medvl.data.prepared import PreparedDataset
from medvl.data.sampler import SampleIndex
from medvl.data.samples import Crop

PLAIN = MultiCrop(local_crops=3, local_size=14, flip=0.0, jitter=0.0)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    prepare(write_cohort(root / "images", patients=3), root / "out", inputs={}, image_size=64, progress=False)
    return PreparedDataset(root / "out")


def samples(prepared, **options):
    return MultiCropSamples(prepared, **{"crop": Crop(28), "crops": PLAIN, "patch_size": 14, **options})


def noise(height=64, width=48):
    return np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)


def test_a_sample_is_large_and_small_crops_with_masks(prepared):
    def masks(images, grid, *, draw):
        return draw.random((images, grid[0] * grid[1])) < 0.5

    sample = samples(prepared, masks=masks)[0]

    assert sample["global_crops"].shape == (2, 1, 28, 28)
    assert sample["local_crops"].shape == (3, 1, 14, 14)
    assert sample["global_crops"].dtype == sample["local_crops"].dtype == torch.uint8
    assert sample["masks"].shape == (2, 4)
    assert sample["masks"].dtype == torch.bool


def test_draws_are_a_function_of_seed_epoch_and_sample(prepared):
    def masks(images, grid, *, draw):
        return draw.random((images, grid[0] * grid[1])) < 0.5

    one, again, other_seed = (samples(prepared, seed=seed, masks=masks, crops=MultiCrop(local_size=14)) for seed in (3, 3, 4))
    names = ("global_crops", "local_crops", "masks")

    first, same, later, other = one[SampleIndex(2, 1)], again[SampleIndex(2, 1)], one[SampleIndex(3, 1)], other_seed[SampleIndex(2, 1)]

    assert all(torch.equal(first[name], same[name]) for name in names)
    assert not any(torch.equal(first[name], later[name]) for name in names)
    assert not any(torch.equal(first[name], other[name]) for name in names)


def test_without_small_crops_there_is_an_empty_tensor(prepared):
    sample = samples(prepared, crops=dataclasses.replace(PLAIN, local_crops=0))[0]

    assert sample["local_crops"].shape == (0, 1, 14, 14)


def test_windows_keep_to_scale_aspect_and_image():
    draw = np.random.default_rng(0)

    windows = np.array([draw_window((100, 80), (0.3, 0.6), (3 / 4, 4 / 3), draw) for _ in range(2000)])
    top, left, height, width = windows.T
    area, aspect = height * width / 8000, width / height

    assert min(top.min(), left.min()) >= 0
    assert (top + height).max() <= 100
    assert (left + width).max() <= 80
    assert (area.min(), area.max()) == pytest.approx((0.3, 0.6), abs=0.02)
    assert (aspect.min(), aspect.max()) == pytest.approx((3 / 4, 4 / 3), abs=0.03)
    assert np.quantile(top / np.maximum(100 - height, 1), [0.25, 0.75]) == pytest.approx([0.25, 0.75], abs=0.05)


def test_a_window_that_never_fits_becomes_the_centre_of_allowed_aspect():
    assert draw_window((300, 30), (0.9, 1.0), (3 / 4, 4 / 3), np.random.default_rng(0)) == (130, 0, 40, 30)


def test_the_whole_image_at_its_own_size_is_not_resampled():
    image = noise(56, 56)

    large, _ = multi_crops(image, 56, dataclasses.replace(PLAIN, global_scale=(1.0, 1.0), aspect=(1.0, 1.0)), np.random.default_rng(1))

    assert np.array_equal(large[0], image)


def test_a_flip_mirrors():
    image = noise(56, 56)
    whole = dataclasses.replace(PLAIN, global_scale=(1.0, 1.0), aspect=(1.0, 1.0), flip=1.0)

    large, _ = multi_crops(image, 56, whole, np.random.default_rng(1))

    assert np.array_equal(large[0], image[:, ::-1])


@pytest.mark.parametrize("blur", BLUR)
def test_blur_comes_as_often_as_its_name_says(blur):
    # below a quarter of a pixel no grey level changes
    image, crops = noise(56, 56), MultiCrop(local_crops=2, local_size=56, flip=0.0, jitter=0.0, blur=blur, blur_sigma=(1.0, 2.0))
    crops = dataclasses.replace(crops, global_scale=(1.0, 1.0), local_scale=(1.0, 1.0), aspect=(1.0, 1.0))
    draw, counts = np.random.default_rng(0), np.zeros(4)

    for _ in range(400):
        large, small = multi_crops(image, 56, crops, draw)
        counts += [not np.array_equal(crop, image) for crop in (*large, *small)]

    first, second, small = BLUR[blur]
    assert counts / 400 == pytest.approx([first, second, small, small], abs=0.08)


def test_jitter_scales_levels_and_their_distance_to_the_mean():
    image = np.repeat(np.array([[60, 100]], np.uint8), 56, axis=0).repeat(28, axis=1)
    crops = dataclasses.replace(PLAIN, global_scale=(1.0, 1.0), aspect=(1.0, 1.0), jitter=1.0, local_crops=0, blur="as_trained")
    draw = np.random.default_rng(0)

    levels = np.array([multi_crops(image, 56, crops, draw)[0][0][0, [0, 55]] for _ in range(500)]).astype(float)
    brightness, contrast = levels.mean(axis=1) / 80, (levels[:, 1] - levels[:, 0]) / 40

    assert (brightness.min(), brightness.max()) == pytest.approx((0.6, 1.4), abs=0.03)
    assert ((contrast / brightness).min(), (contrast / brightness).max()) == pytest.approx((0.6, 1.4), abs=0.06)
