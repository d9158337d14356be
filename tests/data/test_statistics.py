"""Grey levels of a training set: exact, and an error where the images show nothing."""

import numpy as np
import pytest

from medvl.data.statistics import ConstantImages, grey_levels


class Images:
    folder = "cache"

    def __init__(self, *images):
        self.images = {str(i): np.asarray(image, np.uint8) for i, image in enumerate(images)}

    def image(self, view_id):
        return self.images[view_id]


def test_mean_and_deviation_are_those_of_all_pixels():
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (5, 7)), draw.integers(0, 100, (40, 30))]

    found = grey_levels([(Images(*images), ["0", "1"])], source="train")

    pixels = np.concatenate([image.ravel() for image in images]) / 255
    assert (found.mean, found.std) == pytest.approx((pixels.mean(), pixels.std()), rel=1e-12)
    assert (found.images, found.pixels, found.source) == (2, 1235, "train")


def test_images_that_show_nothing_are_an_error():
    with pytest.raises(ConstantImages, match="cache: all pixels of 2 images"):
        grey_levels([(Images(np.full((4, 4), 9), np.full((2, 2), 9)), ["0", "1"])], source="train")


def test_pixels_of_several_datasets_count_alike():
    first, second = np.full((2, 3), 10), np.arange(20).reshape(4, 5)

    apart = grey_levels([(Images(first), ["0"]), (Images(second), ["0"])], source="both")

    assert apart == grey_levels([(Images(first, second), ["0", "1"])], source="both")
