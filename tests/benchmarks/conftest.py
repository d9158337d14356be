from types import SimpleNamespace

import numpy as np
import pytest
import torch
from images_in_memory import Images
from torch.nn.functional import avg_pool2d, normalize

from medvl.geometry import Frame

CELL = 8


class BrightnessModel:
    """A model that knows one thing: a text with ``dense`` in it points to bright patches, any other to dark ones.

    A film before is taken from the current one, so that what was there already does not count.
    """

    def __init__(self, *, reversed_texts: bool = False) -> None:
        self.sign = -1.0 if reversed_texts else 1.0
        self.images_seen = 0
        self.texts_seen: list[str] = []
        self.priors_seen: list[bool] = []

    def embed_images(self, pixels, previous=None, has_previous=None):
        self.images_seen += len(pixels)
        if previous is not None:
            self.priors_seen += has_previous.tolist()
            pixels = (pixels - previous * has_previous[:, None, None, None]).clamp(min=0)
        light = 2 * avg_pool2d(pixels, CELL) - 1  # (B, 1, h, w)
        patches = normalize(torch.cat([light, torch.full_like(light, 0.5)], dim=1), dim=1)
        return SimpleNamespace(projected_global_embedding=normalize(patches.mean(dim=(2, 3)), dim=1), projected_patch_embeddings=patches)

    def embed_texts(self, texts, *, truncate=False, unit_length=True):
        self.texts_seen += texts
        return torch.tensor([[self.sign if "dense" in text else -self.sign, 0.0] for text in texts])


class HalfSizeImages(Images):
    """Images of half their original's size."""

    def frame(self, view_id):
        height, width = self[view_id].shape
        return Frame.identity((2 * height, 2 * width)).resized((height, width))


@pytest.fixture
def images():
    """Ten views of 64 × 80: dark, with a bright square at the top left of the centre crop in even ones."""
    found = HalfSizeImages()
    for i in range(10):
        image = np.full((64, 80), 20, np.uint8)
        if i % 2 == 0:
            image[8:32, 16:40] = 240
        found[f"v{i}"] = image
    return found


@pytest.fixture
def brightness_model():
    """The class, to make or to extend."""
    return BrightnessModel
