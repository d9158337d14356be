import base64
from io import BytesIO

import numpy as np
from PIL import Image

from medvl.viewer.overlay import film, heat_layer, jpeg_uri, png_uri


def opened(uri: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(uri.split(",", 1)[1])))


def test_heat_is_transparent_at_the_low_end_and_strongest_at_the_high_end():
    layer = heat_layer(np.array([[-0.5, 0.0, 0.25, 0.5, 0.9]]), 0.0, 0.5)

    opacity = layer[0, :, 3].tolist()
    assert opacity[:2] == [0, 0]
    assert 0 < opacity[2] < opacity[3] == opacity[4]


def test_places_outside_the_crop_are_darkened():
    layer = heat_layer(np.array([[np.nan, 0.0]]), 0.0, 0.5)

    assert layer[0, 0, :3].tolist() == [0, 0, 0]
    assert layer[0, 0, 3] > layer[0, 1, 3] == 0


def test_large_maps_and_films_are_made_small():
    assert heat_layer(np.zeros((1000, 500)), 0, 1).shape == (192, 96, 4)
    assert opened(jpeg_uri(np.zeros((1000, 2000), np.uint8))).size == (640, 320)


def test_small_films_are_not_enlarged():
    assert opened(jpeg_uri(np.zeros((20, 10), np.uint8))).size == (10, 20)


def test_a_png_keeps_its_pixels():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)

    assert (np.asarray(opened(png_uri(image))) == image).all()


def test_a_film_keeps_the_shape_of_its_image():
    assert "aspect-ratio:30/40" in film(np.zeros((40, 30), np.uint8), alt="")
