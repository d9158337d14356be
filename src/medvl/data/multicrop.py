"""Multi-crop views for self-distillation: a few large and many small crops of one radiograph, and masks for the large ones.

The recipe is DINOv2's (Oquab et al. 2023; ``DataAugmentationDINO`` of the official code) on one grey channel: random resized crops,
horizontal flip, brightness and contrast, Gaussian blur. Hue, saturation, random greyscale and solarisation are left out: a radiograph has
no colour, and inverting its bright parts makes another modality of it. Everything works on uint8 from the cache, as the official pipeline
does on decoded images; what is drawn is a pure function of (seed, epoch, sample id), masks included.

Departures from the official code: one interpolation by OpenCV (area when shrinking, cubic when enlarging) stands for PIL's antialiased
bicubic; each image has the share of its large crops masked that the official code gives the batch, and its mask ratio is drawn for itself,
not stratified over the batch, so that a sample does not depend on its neighbours.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medvl.data.prepared import PreparedDataset
from medvl.data.samples import Crop, ImageSamples, Sample, Views
from medvl.data.transforms import generator

Image = NDArray[np.uint8]
Masks = Callable[..., NDArray[np.bool_]]
Blur = Literal["as_trained", "as_published"]

# Probability of blur for the first large crop, the others, and the small ones. The official code hands 1 - p to a function that takes p:
# the released weights were trained with the first row, the papers state the second.
BLUR = {"as_trained": (0.0, 0.9, 0.5), "as_published": (1.0, 0.1, 0.5)}
KERNEL = 9  # of the blur, pixels
TRIES = 10  # for a window that fits; then the centre


@dataclasses.dataclass(frozen=True, slots=True)
class MultiCrop:
    """What is drawn for each sample and epoch.

    Attributes:
        global_crops, local_crops: number of large and small crops.
        local_size: side of the small crops, in pixels.
        global_scale, local_scale: share of the image's area that a window covers, lowest and highest.
        aspect: width over height of a window, lowest and highest.
        flip: probability of a horizontal flip; it exchanges left and right, heart and all.
        jitter: probability of brightness and contrast.
        brightness, contrast: factors are drawn from 1 ± this.
        blur: the probabilities the released weights were trained with, or those of the papers.
        blur_sigma: lowest and highest standard deviation of the blur, in pixels of the crop.
    """

    global_crops: int = 2
    local_crops: int = 8
    local_size: int = 98
    global_scale: tuple[float, float] = (0.32, 1.0)
    local_scale: tuple[float, float] = (0.05, 0.32)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    blur: Blur = "as_trained"
    blur_sigma: tuple[float, float] = (0.1, 2.0)


class MultiCropSamples(ImageSamples):
    """Crops of each image, as uint8.

    A sample has ``global_crops`` (G, 1, S, S), ``local_crops`` (L, 1, s, s) and ``masks`` (G, N), true where a patch of a large crop is
    hidden from the student, beside the identifiers of every sample; no ``image`` and no ``frame``.

    Args:
        prepared, split, views, seed: see ``ImageSamples``.
        crop: its ``size`` is S.
        crops: what is drawn.
        patch_size: side of a patch, for the masks' grid.
        masks: draws block masks, ``masks(images, grid, draw=generator)`` → (images, N); none are drawn if not given.
        augmentation: not used; all splits are cropped alike, so that the loss on held-out patients is the training loss.
    """

    def __init__(
        self,
        prepared: PreparedDataset,
        *,
        crop: Crop,
        crops: MultiCrop,
        patch_size: int,
        masks: Masks | None = None,
        split: str | None = None,
        views: Views = "all",
        seed: int = 0,
        augmentation: None = None,
    ) -> None:
        super().__init__(prepared, crop=crop, split=split, views=views, seed=seed)
        self.crops, self.masks = crops, masks
        self.grid = (crop.size // patch_size, crop.size // patch_size)

    def _sample(self, row: int, view_id: str, epoch: int) -> Sample:
        image = self.prepared.image(view_id, writeable=True)
        large, small = multi_crops(image, self.crop.size, self.crops, generator(self.seed, epoch, view_id))
        masks = np.zeros((len(large), self.grid[0] * self.grid[1]), bool)
        if self.masks is not None:
            masks = self.masks(len(large), self.grid, draw=generator(self.seed, epoch, f"{view_id}/masks"))
        sample: dict[str, Any] = {"sample_id": view_id, "study_id": self._study_ids[row], "patient_id": self._patient_ids[row]}
        sample |= {"epoch": epoch, "global_crops": _stack(large), "local_crops": _stack(small, self.crops.local_size)}
        return sample | {"masks": torch.from_numpy(masks)}


def multi_crops(image: Image, size: int, crops: MultiCrop, draw: np.random.Generator) -> tuple[list[Image], list[Image]]:
    """The large (size, size) and small crops of an image (h, w)."""
    first, others, small = BLUR[crops.blur]
    blurs = [first, *[others] * (crops.global_crops - 1)]
    large = [_crop(image, size, crops.global_scale, blur, crops, draw) for blur in blurs]
    return large, [_crop(image, crops.local_size, crops.local_scale, small, crops, draw) for _ in range(crops.local_crops)]


def draw_window(
    shape: Sequence[int], scale: tuple[float, float], aspect: tuple[float, float], draw: np.random.Generator
) -> tuple[int, int, int, int]:
    """The window of a random resized crop, as torchvision draws it.

    Args:
        shape: (h, w) of the image.
        scale: share of the area, lowest and highest.
        aspect: width over height, lowest and highest; drawn log-uniformly.

    Returns:
        top, left, height, width in pixels; the largest centred window of an allowed aspect if ten draws did not fit.
    """
    rows, columns = shape[0], shape[1]
    low, high = math.log(aspect[0]), math.log(aspect[1])
    for _ in range(TRIES):
        area = rows * columns * draw.uniform(*scale)
        ratio = math.exp(draw.uniform(low, high))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= columns and 0 < height <= rows:
            return int(draw.integers(0, rows - height + 1)), int(draw.integers(0, columns - width + 1)), height, width
    width = min(columns, round(rows * aspect[1]))
    height = min(rows, round(columns / aspect[0]))
    return (rows - height) // 2, (columns - width) // 2, height, width


def _crop(image: Image, size: int, scale: tuple[float, float], blur: float, crops: MultiCrop, draw: np.random.Generator) -> Image:
    """One crop (size, size): window, flip, brightness and contrast, blur."""
    top, left, height, width = draw_window(image.shape, scale, crops.aspect, draw)
    window = image[top : top + height, left : left + width]
    if (height, width) != (size, size):
        shrinking = height > size or width > size
        interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
        window = np.asarray(cv2.resize(window, (size, size), interpolation=interpolation), np.uint8)
    if draw.random() < crops.flip:
        window = np.asarray(cv2.flip(window, 1), np.uint8)
    if draw.random() < crops.jitter:
        window = np.asarray(cv2.LUT(window, _levels(window, crops, draw)), np.uint8)
    if draw.random() < blur:
        window = np.asarray(cv2.GaussianBlur(window, (KERNEL, KERNEL), draw.uniform(*crops.blur_sigma)), np.uint8)
    return window


def _levels(image: Image, crops: MultiCrop, draw: np.random.Generator) -> Image:
    """Brightness and contrast in drawn order as one table (256,): factors on the level, and on its distance to the image's mean level."""
    brightness = draw.uniform(1 - crops.brightness, 1 + crops.brightness)
    contrast = draw.uniform(1 - crops.contrast, 1 + crops.contrast)
    levels = np.arange(256, dtype=np.float32)
    if draw.random() < 0.5:
        levels = np.clip(levels * brightness, 0, 255)
        mean = cv2.mean(cv2.LUT(image, levels))[0] if brightness > 1 else cv2.mean(image)[0] * brightness
        return np.clip((levels - mean) * contrast + mean, 0, 255).astype(np.uint8)
    mean = cv2.mean(image)[0]
    levels = np.clip((levels - mean) * contrast + mean, 0, 255)
    return np.clip(levels * brightness, 0, 255).astype(np.uint8)


def _stack(crops: Sequence[Image], size: int = 0) -> Tensor:
    """Crops (S, S) as one tensor (n, 1, S, S), uint8; (0, 1, size, size) of none."""
    return torch.from_numpy(np.stack(crops)[:, None]) if crops else torch.zeros((0, 1, size, size), dtype=torch.uint8)
