import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medvl.data.transforms import (
    Augmentation,
    Window,
    center_crop,
    cut_window,
    draw_window,
    fit_square,
    generator,
    jitter,
    pad_to_square,
    random_crop,
    stretch_to_square,
    to_tensor,
    warp,
)
from medvl.geometry import Frame

SIZES = st.integers(24, 90)


def ramps(height: int, width: int) -> tuple[np.ndarray, Frame]:
    """An image whose grey level is twice the column, and its frame."""
    return np.tile((np.arange(width) * 2).astype(np.uint8), (height, 1)), Frame.identity((height, width))


def assert_frame_tells_where_columns_went(square: np.ndarray, frame: Frame, width: int) -> None:
    """Each grey level must be twice the column (of pixel centres) to which the frame maps its place."""
    centres = np.stack([np.arange(square.shape[1]) + 0.5, np.full(square.shape[1], square.shape[0] / 2)], axis=-1)
    columns = frame.points_to_source(centres)[:, 0] - 0.5
    inside = (columns >= 1) & (columns <= width - 2)
    row = square[square.shape[0] // 2].astype(float)
    assert inside.any()
    assert np.abs(row - columns * 2)[inside].max() <= 2.5


@given(height=SIZES, width=SIZES, size=st.integers(16, 64))
def test_the_frame_of_a_centre_crop_tells_where_every_column_went(height, width, size):
    image, frame = ramps(height, width)

    square, cropped = center_crop(image, frame, size)

    assert square.shape == cropped.target == (size, size)
    assert_frame_tells_where_columns_went(square, cropped, width)


@given(height=SIZES, width=SIZES, size=st.integers(16, 64))
def test_the_frame_of_a_padded_image_tells_where_every_column_went(height, width, size):
    image, frame = ramps(height, width)

    square, padded = pad_to_square(image, frame, size)

    assert square.shape == padded.target == (size, size)
    assert_frame_tells_where_columns_went(square, padded, width)


@given(height=SIZES, width=SIZES, size=st.integers(16, 64), seed=st.integers(0, 1000))
def test_the_frame_of_a_drawn_window_tells_where_every_column_went(height, width, size, seed):
    image, frame = ramps(height, width)

    square, window = random_crop(image, frame, size, Augmentation(area=(0.3, 1.0)), generator(seed, 0, "x"))

    assert square.shape == window.target == (size, size)
    assert_frame_tells_where_columns_went(square, window, width)


def test_jitter_without_a_range_changes_nothing():
    image, _ = ramps(30, 40)

    levels = jitter(image, Augmentation(brightness=0, contrast=0), generator(0, 0, "x"))

    assert levels == pytest.approx(image / 255, abs=1e-6)


@given(seed=st.integers(0, 100))
def test_jitter_keeps_to_the_range_of_grey_levels(seed):
    image, _ = ramps(30, 127)

    levels = jitter(image, Augmentation(brightness=0.5, contrast=0.9), generator(seed, 0, "x"))

    assert (levels.min() >= 0) & (levels.max() <= 1)


def test_the_cached_image_is_never_written_to():
    image, frame = ramps(32, 32)
    image.flags.writeable = False

    to_tensor(center_crop(image, frame, 32)[0]).zero_()

    assert image.any()


def test_white_is_exactly_one():
    assert to_tensor(np.full((2, 2), 255, np.uint8)).eq(1).all()
    assert to_tensor(np.full((2, 2), 255, np.uint8)).dtype == torch.float32


@given(height=SIZES, width=SIZES, size=st.integers(16, 64))
def test_the_frame_of_a_stretched_image_tells_where_every_column_went(height, width, size):
    image, frame = ramps(height, width)

    square, stretched = stretch_to_square(image, frame, size)

    assert square.shape == stretched.target == (size, size)
    assert stretched.points_to_target(np.array([[0, 0], [width, height]])) == pytest.approx(np.array([[0, 0], [size, size]]))
    assert_frame_tells_where_columns_went(square, stretched, width)


@pytest.mark.parametrize(("fit", "expected"), [("crop", center_crop), ("pad", pad_to_square), ("stretch", stretch_to_square)])
def test_a_fit_is_called_by_its_name(fit, expected):
    image, frame = ramps(30, 50)

    square, shown = fit_square(image, frame, 24, fit=fit)

    assert np.array_equal(square, expected(image, frame, 24)[0])
    assert shown == expected(image, frame, 24)[1]


def test_an_unknown_fit_is_named():
    with pytest.raises(ValueError, match="no fit 'squash'"):
        fit_square(*ramps(30, 50), 24, fit="squash")


def test_an_upright_window_is_the_one_that_a_seed_has_always_given():
    draw = generator(7, 2, "view")

    square, window = random_crop(*ramps(60, 80), 8, Augmentation(area=(0.3, 1.0)), draw)

    assert square[0].tolist() == [43, 56, 68, 81, 93, 106, 118, 131]
    assert (window.scale, window.offset) == ((0.16, 0.16), (-0.64, -3.04))
    assert draw.random() == 0.33551574596940104  # what brightness would be drawn from


def noise(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side), np.uint8)


def test_a_quarter_turn_is_clockwise_and_has_no_frame():
    image = noise(30)

    turned, frame = cut_window(image, Frame.identity(image.shape), 30, Window(1, 1, (0.5, 0.5), rotation=90))

    assert np.array_equal(turned, np.rot90(image, -1))
    assert frame is None


def test_a_shear_slants_the_vertical_about_the_centre():
    image = np.zeros((31, 31), np.uint8)
    image[:, 15] = 255

    slanted, frame = cut_window(image, Frame.identity(image.shape), 31, Window(1, 1, (0.5, 0.5), shear=45))

    assert np.array_equal(slanted, np.eye(31, dtype=np.uint8) * 255)
    assert frame is None


@given(height=SIZES, width=SIZES, size=st.integers(16, 48), seed=st.integers(0, 1000))
@settings(max_examples=50)
def test_a_hardly_turned_window_shows_what_the_upright_one_shows(height, width, size, seed):
    image, frame = ramps(height, width)
    window = draw_window(image.shape, Augmentation(area=(0.3, 1.0)), generator(seed, 0, "x"))
    hardly = Window(window.side, window.stretch, window.place, rotation=1e-6)

    upright, turned = (cut_window(image, frame, size, w)[0].astype(int) for w in (window, hardly))

    assert np.abs(upright - turned)[3:-3, 3:-3].max() <= 4


def test_a_turned_window_much_larger_than_its_crop_is_smoothed():
    image, window = noise(160), Window(1, 1, (0.5, 0.5), rotation=10)

    small = cut_window(image, Frame.identity(image.shape), 16, window)[0][6:10, 6:10]

    assert small.std() < image.std() / 4


def test_what_a_turned_window_shows_beyond_the_image_is_black():
    white = np.full((40, 40), 255, np.uint8)

    turned, _ = cut_window(white, Frame.identity(white.shape), 40, Window(1, 1, (0.5, 0.5), rotation=45))

    assert turned[0, 0] == turned[-1, 0] == turned[0, -1] == turned[-1, -1] == 0
    assert turned[20, 20] == 255


def test_turn_and_slant_are_drawn_within_their_range_and_after_the_window():
    augmentation = Augmentation(rotation=30, shear=15)
    windows = [draw_window((60, 80), augmentation, generator(0, 0, str(i))) for i in range(200)]
    upright = [draw_window((60, 80), Augmentation(), generator(0, 0, str(i))) for i in range(200)]

    assert [(w.side, w.stretch, w.place) for w in windows] == [(w.side, w.stretch, w.place) for w in upright]
    assert 25 < max(abs(w.rotation) for w in windows) <= 30
    assert 12 < max(abs(w.shear) for w in windows) <= 15


@given(seed=st.integers(0, 1000), height=SIZES, width=SIZES)
def test_a_window_is_the_same_share_of_any_image_of_the_same_aspect(seed, height, width):
    window = draw_window((height, width), Augmentation(area=(0.2, 1.0)), generator(seed, 0, "x"))

    once, thrice = (np.array(window.pixels((height * n, width * n))) / n for n in (1, 3))

    assert once == pytest.approx(thrice, abs=1.01)


@pytest.mark.parametrize("wrong", [{"rotation": -1}, {"rotation": 181}, {"shear": 90}, {"shear": float("nan")}])
def test_a_turn_or_slant_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match="degrees"):
        Augmentation(**wrong)


def test_a_warp_maps_pixel_edges():
    image = noise(20)

    assert np.array_equal(warp(image, np.array([[1.0, 0, 3], [0, 1, 2]]), (15, 10)), image[2:17, 3:13])
    assert warp(image, np.array([[2.0, 0, 0], [0, 2, 0]]), (10, 10)) == pytest.approx(image.reshape(10, 2, 10, 2).mean(axis=(1, 3)), abs=1)
