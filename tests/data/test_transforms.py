import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medvl.data.transforms import Augmentation, center_crop, generator, jitter, pad_to_square, random_crop, to_tensor
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
