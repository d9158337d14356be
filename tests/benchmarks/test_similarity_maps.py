"""Similarity maps against the formulas of BioViL's engine, written out with torch and scipy."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate, pad

from medvl.benchmarks.phrase_grounding import similarity_map
from medvl.benchmarks.similarity_maps import frame_at, map_in_original, patch_similarity
from medvl.geometry import Frame

SIZES = [(400, 600), (500, 600), (650, 401), (513, 513), (480, 640), (1000, 937)]  # (height, width) of originals


class ImageModel:
    """Projected patches of any length, the same for every image; says what it was given."""

    def __init__(self, patches):
        self.patches = patches
        self.given = None

    def __call__(self, current, previous=None, has_previous=None):
        self.given = (current, previous, has_previous)
        return SimpleNamespace(projected_patch_embeddings=self.patches[None])


@pytest.fixture
def patches():
    return 3 * torch.randn(16, 14, 14, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def text():
    return 5 * torch.randn(16, generator=torch.Generator().manual_seed(1))


def engine(patches, text, smoothing=1.5):
    """The engine's map on the grid: cosines, smoothed."""
    normed, direction = patches / patches.norm(dim=0, keepdim=True), text / text.norm()
    return gaussian_filter(torch.einsum("dhw,d->hw", normed, direction).numpy(), sigma=(smoothing, smoothing), order=0)


def engine_in_original(grid, size, resize, crop, mode):
    """The engine's map over the original: a whole number of pixels about the centre, NaN around."""
    height, width = size
    side = int(crop * min(height, width) / resize)
    options = {} if mode == "nearest" else {"align_corners": False}
    square = interpolate(torch.from_numpy(grid)[None, None], size=(side, side), mode=mode, **options)[0, 0]
    horizontal, vertical = (width - side) / 2, (height - side) / 2
    margins = (math.floor(horizontal), math.ceil(horizontal), math.floor(vertical), math.ceil(vertical))
    return pad(square, margins, value=float("nan")).numpy()


def model_frame(size, resize, crop):
    return Frame.identity(size).short_side(resize).center_cropped((crop, crop))


def test_the_map_on_the_grid_is_the_engines(patches, text):
    found = similarity_map(ImageModel(patches), text, torch.zeros(1, 1, 64, 64))

    assert found == pytest.approx(engine(patches, text), abs=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("crop", [448, 480])
def test_the_map_over_the_original_is_the_engines_in_its_geometry(patches, text, size, interpolation, crop):
    frame = model_frame(size, 512, crop)

    found = similarity_map(
        ImageModel(patches), text, torch.zeros(1, 1, crop, crop), frame=frame, interpolation=interpolation, geometry="official"
    )

    expected = engine_in_original(engine(patches, text), size, 512, crop, interpolation)
    assert found.shape == size
    assert np.allclose(found, expected, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("size", SIZES)
def test_the_exact_geometry_differs_by_less_than_a_pixel(patches, text, size):
    frame, grid = model_frame(size, 512, 448), engine(patches, text)

    exact, official = (map_in_original(grid, frame, geometry=geometry) for geometry in ("frame", "official"))

    assert abs(int(np.isnan(exact).sum()) - int(np.isnan(official).sum())) <= 2 * sum(size)
    both = ~np.isnan(exact) & ~np.isnan(official)
    assert np.abs(exact - official)[both].max() < 0.05 * np.ptp(grid)


@pytest.mark.parametrize(("size", "hidden"), [((600, 400), 0.49), ((401, 650), 0.53), ((2544, 3056), 0.36), ((513, 513), 0.24)])
def test_the_published_crop_hides_as_much_as_was_measured(size, hidden):
    whole = map_in_original(np.zeros((14, 14), np.float32), model_frame(size, 512, 448), geometry="official")

    assert np.isnan(whole).mean() == pytest.approx(hidden, abs=0.006)


def test_several_texts_give_several_maps_and_one_text_one(patches, text):
    model, pixels = ImageModel(patches), torch.zeros(1, 64, 64)

    several = similarity_map(model, torch.stack([text, -text]), pixels)

    assert several.shape == (2, 14, 14)
    assert several[0] == pytest.approx(similarity_map(model, text, pixels))
    assert several[1] == pytest.approx(-several[0], abs=1e-6)


def test_the_film_before_reaches_the_model(patches, text):
    model, before = ImageModel(patches), torch.ones(1, 64, 64)

    similarity_map(model, text, torch.zeros(1, 64, 64), before, torch.tensor([True]))

    current, previous, has_previous = model.given
    assert current.shape == previous.shape == (1, 1, 64, 64)
    assert has_previous.tolist() == [True]


def test_wrong_inputs_are_named(patches, text):
    model, pixels = ImageModel(patches), torch.zeros(1, 1, 64, 64)

    with pytest.raises(ValueError, match=r"one image \(1, C, H, W\), got \(2, 1, 64, 64\)"):
        similarity_map(model, text, torch.zeros(2, 1, 64, 64))
    with pytest.raises(ValueError, match="projected to 16 numbers"):
        similarity_map(model, text[:8], pixels)
    with pytest.raises(ValueError, match=r"leads to \(32, 32\)"):
        similarity_map(model, text, pixels, frame=Frame.identity((32, 32)))
    with pytest.raises(ValueError, match="no interpolation 'cubic'"):
        similarity_map(model, text, pixels, frame=Frame.identity((64, 64)), interpolation="cubic")
    with pytest.raises(ValueError, match="training mode"):
        similarity_map(torch.nn.Conv2d(1, 1, 1), text, pixels)


def test_similarity_is_the_cosine_of_patch_and_text():
    patches = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])  # (D=2, h=1, w=2)

    maps = patch_similarity(patches, torch.tensor([[0.6, 0.8]]), smoothing=None)

    assert maps == pytest.approx(np.array([[[0.6, 0.8]]]))


def test_smoothing_stays_within_a_map():
    patches = torch.zeros(1, 5, 5)
    patches[0, 2, 2] = 1

    maps = patch_similarity(patches, torch.tensor([[1.0], [0.0]]), smoothing=1.5)

    assert maps[0].max() < 0.2
    assert maps[0].sum() == pytest.approx(1, abs=1e-5)
    assert not maps[1].any()


def test_a_smaller_original_keeps_its_frame():
    frame = Frame.identity((1000, 800)).short_side(64).center_cropped((64, 64))

    small = frame_at(frame, 100)

    assert small.source == (125, 100)
    assert small.points_to_target(np.array([100.0, 125.0])) == pytest.approx(frame.points_to_target(np.array([800.0, 1000.0])))
    assert frame_at(frame, None) is frame
