import cv2
import numpy as np
import pytest
from films import RAMP
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medvl.data.intensity import StoredImage, grey_levels, lookup, window

NOISE = np.random.default_rng(0).integers(300, 3000, (40, 50)).astype(np.uint16)
INTENSITIES = ("minmax", "percentile", "window", "mimic_jpg")


@pytest.mark.parametrize("inverted", [False, True])
def test_mimic_jpg_follows_the_rule_of_the_release(inverted):
    shifted = NOISE - NOISE.min()
    eight = (shifted / shifted.max() * 255).astype(np.uint8)
    expected = cv2.equalizeHist(255 - eight if inverted else eight)

    pixels = grey_levels(StoredImage(NOISE, 12, inverted=inverted), "mimic_jpg")

    assert np.array_equal(np.rint(pixels * 255), expected)


def test_mimic_jpg_leaves_a_picture_that_is_one_already():
    picture = (RAMP >> 4).astype(np.uint8)

    assert np.array_equal(np.rint(grey_levels(StoredImage(picture, 8, equalised=True), "mimic_jpg") * 255), picture)


def test_percentiles_cut_the_few_extremes():
    values = np.full((100, 100), 1000, np.uint16)
    values[:50] = 2000
    values[0, 0], values[0, 1] = 0, 4095

    pixels = grey_levels(StoredImage(values, 12), "percentile")

    assert (pixels[60, 0], pixels[10, 0], pixels[0, 0], pixels[0, 1]) == (0, 1, 0, 1)


def test_percentiles_of_an_almost_constant_image_fall_back_to_its_range():
    values = np.full((100, 100), 1000, np.uint16)
    values[0, 0] = 3000

    pixels = grey_levels(StoredImage(values, 12), "percentile")

    assert (pixels[1, 1], pixels[0, 0]) == (0, 1)


@pytest.mark.parametrize("intensity", INTENSITIES)
@pytest.mark.parametrize("inverted", [False, True])
def test_a_constant_image_is_black(intensity, inverted):
    stored = StoredImage(np.full((4, 5), 700, np.uint16), 12, inverted=inverted, voi=window(500, 100))

    assert not grey_levels(stored, intensity).any()


def test_an_image_of_padding_alone_is_black():
    assert not grey_levels(StoredImage(RAMP, 12, padding=(0, 4095)), "minmax").any()


@given(
    arrays(np.uint16, (5, 7)),
    st.integers(2, 16),
    st.booleans(),
    st.booleans(),
    st.sampled_from(INTENSITIES),
    st.sampled_from([None, (0, 10), (-5, 5000)]),
    st.sampled_from([None, window(10, 1), window(-3, 0.2, "LINEAR_EXACT"), window(50, 1e-9, "SIGMOID")]),
)
def test_grey_levels_are_always_within_0_and_1(words, bits, signed, inverted, intensity, padding, voi):
    pixels = grey_levels(StoredImage(words, bits, signed, inverted, padding, None, voi), intensity)

    assert pixels.dtype == np.float32
    assert pixels.shape == words.shape
    assert 0 <= pixels.min() <= pixels.max() <= 1


@given(arrays(np.int16, (6, 6)))
def test_signed_values_keep_their_order(values):
    pixels = grey_levels(StoredImage(values.view(np.uint16), 16, signed=True), "minmax")

    order = np.argsort(values.ravel(), kind="stable")
    assert (np.diff(pixels.ravel()[order]) >= 0).all()


def test_a_linear_window_of_width_one_is_a_threshold():
    assert window(10, 1)(np.array([9.0, 9.5, 10.0])).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("width", "function"), [(0.5, "LINEAR"), (0, "LINEAR_EXACT"), (-1, "SIGMOID"), (float("nan"), "LINEAR"), (10, "CUBIC")]
)
def test_a_window_that_the_standard_does_not_allow_is_refused(width, function):
    with pytest.raises(ValueError, match="width"):
        window(100, width, function)


def test_a_table_holds_its_ends_beyond_them():
    assert lookup(np.array([5, 7, 9], np.uint16), first=-1)(np.array([-9.0, -1, 0, 1, 9])).tolist() == [5, 5, 7, 9, 9]
