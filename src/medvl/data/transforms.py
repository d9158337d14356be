"""From a cached image to the square that a model sees, with the frame that maps it back to the original.

Evaluation resizes the short side and crops the centre, or pads the whole image. Training may draw a window, brightness and contrast;
what it draws is a pure function of (seed, epoch, sample id). There is no horizontal flip: the side of a finding matters.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medvl.geometry import Frame, Size

Fit = Literal["crop", "pad"]
Image = NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, slots=True)
class Augmentation:
    """What training draws anew for each sample and epoch.

    Attributes:
        area: share of the largest centred square that the window covers, lowest and highest.
        aspect: width over height of the window, lowest and highest.
        brightness: largest shift of grey levels, as a share of white.
        contrast: largest relative change of the distance to the mean grey level.
    """

    area: tuple[float, float] = (0.6, 1.0)
    aspect: tuple[float, float] = (0.9, 1.1)
    brightness: float = 0.1
    contrast: float = 0.2


def center_crop(image: Image, frame: Frame, size: int, *, short_side: int | None = None) -> tuple[Image, Frame]:
    """The centre of an image (h, w) as (size, size): the short side resized to ``short_side`` (default ``size``), then cropped."""
    side = short_side or size
    resized = frame if min(frame.target) == side else frame.short_side(side)
    cropped = resized.center_cropped((size, size))
    return _window(_resize(image, resized.target), cropped, resized), cropped


def pad_to_square(image: Image, frame: Frame, size: int) -> tuple[Image, Frame]:
    """The whole of an image (h, w) in a black square (size, size): the long side resized to ``size``, centred."""
    height, width = frame.target
    ratio = size / max(height, width)
    resized = frame.resized((max(1, round(height * ratio)), max(1, round(width * ratio))))
    padded = resized.center_cropped((size, size))
    return _window(_resize(image, resized.target), padded, resized), padded


def random_crop(image: Image, frame: Frame, size: int, augmentation: Augmentation, draw: np.random.Generator) -> tuple[Image, Frame]:
    """A drawn window of an image (h, w), resized to (size, size)."""
    side = min(image.shape) * np.sqrt(draw.uniform(*augmentation.area))
    stretch = np.sqrt(np.exp(draw.uniform(*np.log(augmentation.aspect))))
    height = min(image.shape[0], max(1, round(side / stretch)))
    width = min(image.shape[1], max(1, round(side * stretch)))
    top, left = (int(draw.integers(0, whole - part + 1)) for whole, part in zip(image.shape, (height, width), strict=True))
    window = frame.cropped(top, left, (height, width))
    return _resize(image[top : top + height, left : left + width], (size, size)), window.resized((size, size))


def jitter(image: Image, augmentation: Augmentation, draw: np.random.Generator) -> NDArray[np.float32]:
    """An image of grey levels 0…255 → float32 in [0, 1] with drawn brightness and contrast."""
    shift = draw.uniform(-augmentation.brightness, augmentation.brightness)
    gain = 1 + draw.uniform(-augmentation.contrast, augmentation.contrast)
    mean = cv2.mean(image)[0] / 255
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    table = np.clip((levels - mean) * gain + mean + shift, 0, 1).astype(np.float32)
    return np.asarray(cv2.LUT(image, table), np.float32)


def to_tensor(image: Image | NDArray[np.float32]) -> Tensor:
    """An image (H, W), uint8 or float32 in [0, 1] → a tensor (1, H, W), float32 in [0, 1]."""
    tensor = torch.from_numpy((image if image.flags.writeable else image.copy())[None])
    return tensor.float().mul_(1 / 255) if image.dtype == np.uint8 else tensor  # twice as fast as a division; 255 gives 1


def generator(seed: int, epoch: int, sample_id: str) -> np.random.Generator:
    """The random numbers of one sample in one epoch."""
    key = hashlib.blake2b(f"{seed}/{epoch}/{sample_id}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(key, np.uint64)))


def _resize(image: Image, size: Size) -> Image:
    if image.shape == size:
        return image
    shrinking = size[0] < image.shape[0] or size[1] < image.shape[1]
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR), np.uint8)


def _window(image: Image, wanted: Frame, frame: Frame) -> Image:
    """The part of ``image`` (in ``frame``) that ``wanted`` shows, black where it leaves the image."""
    top, left = round(frame.offset[0] - wanted.offset[0]), round(frame.offset[1] - wanted.offset[1])
    height, width = wanted.target
    inside = image[max(top, 0) : top + height, max(left, 0) : left + width]
    if inside.shape == wanted.target:
        return inside
    whole = np.zeros(wanted.target, np.uint8)
    y, x = max(-top, 0), max(-left, 0)
    whole[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return whole
