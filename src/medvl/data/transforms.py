"""From a cached image to the square that a model sees, with the frame that maps it back to the original.

Evaluation resizes the short side and crops the centre, or pads or stretches the whole image. Training may draw a window, rotation, shear,
brightness and contrast; what it draws is a pure function of (seed, epoch, sample id). A ``Window`` is drawn in shares of an image, so that
the two films of a pair can have the same one whatever their shapes. There is no horizontal flip: the side of a finding matters.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from typing import Literal, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medvl.geometry import Frame, Size

Fit = Literal["crop", "pad", "stretch"]
Image = NDArray[np.uint8]
SMOOTH = 1.5  # a turned window this many times larger than its crop is shrunk by areas first: the warp does not smooth


@dataclasses.dataclass(frozen=True, slots=True)
class Augmentation:
    """What training draws anew for each sample and epoch.

    Attributes:
        area: share of the largest centred square that the window covers, lowest and highest.
        aspect: width over height of the window, lowest and highest.
        brightness: largest shift of grey levels, as a share of white.
        contrast: largest relative change of the distance to the mean grey level.
        rotation: largest turn about the window's centre, either way, in degrees up to 180.
        shear: largest slant of the vertical, either way, in degrees below 90.

    Raises:
        ValueError: naming a rotation or shear out of range.
    """

    area: tuple[float, float] = (0.6, 1.0)
    aspect: tuple[float, float] = (0.9, 1.1)
    brightness: float = 0.1
    contrast: float = 0.2
    rotation: float = 0.0
    shear: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.rotation <= 180 and 0 <= self.shear < 90):
            raise ValueError(f"rotation is 0 to 180 degrees and shear 0 to below 90, got {self.rotation} and {self.shear}")


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """What is cut from an image, in shares of it.

    Attributes:
        side: side of the square whose area the window has, as a share of the image's short side.
        stretch: the window is this many times wider than that square, and as many times less high.
        place: (vertical, horizontal), 0 at the top and left of the image, 1 at the bottom and right.
        rotation: degrees by which the picture turns, clockwise.
        shear: degrees by which the picture's vertical slants, before it turns.
    """

    side: float
    stretch: float
    place: tuple[float, float]
    rotation: float = 0.0
    shear: float = 0.0

    @property
    def is_upright(self) -> bool:
        """Whether a ``Frame`` can say where the window lies: neither turned nor slanted."""
        return self.rotation == self.shear == 0

    def pixels(self, shape: Size) -> tuple[int, int, int, int]:
        """top, left, height and width of the window in an image of ``shape`` (height, width), cut off at its edges."""
        side = min(shape) * self.side
        height = min(shape[0], max(1, round(side / self.stretch)))
        width = min(shape[1], max(1, round(side * self.stretch)))
        return round(self.place[0] * (shape[0] - height)), round(self.place[1] * (shape[1] - width)), height, width


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


def stretch_to_square(image: Image, frame: Frame, size: int) -> tuple[Image, Frame]:
    """The whole of an image (h, w) as (size, size), each side resized for itself: its aspect is lost."""
    stretched = frame.resized((size, size))
    return _resize(image, (size, size)), stretched


def fit_square(image: Image, frame: Frame, size: int, *, fit: Fit = "crop", short_side: int | None = None) -> tuple[Image, Frame]:
    """An image (h, w) as (size, size) in one of the named ways; ``short_side`` is that of ``center_crop``.

    Raises:
        ValueError: for another ``fit``.
    """
    if fit not in get_args(Fit):
        raise ValueError(f"there is no fit {fit!r} (one of: {', '.join(get_args(Fit))})")
    if fit == "crop":
        return center_crop(image, frame, size, short_side=short_side)
    return pad_to_square(image, frame, size) if fit == "pad" else stretch_to_square(image, frame, size)


def random_crop(image: Image, frame: Frame, size: int, augmentation: Augmentation, draw: np.random.Generator) -> tuple[Image, Frame | None]:
    """A drawn window of an image (h, w), resized to (size, size). See ``cut_window``."""
    return cut_window(image, frame, size, draw_window(image.shape, augmentation, draw))


def draw_window(shape: Size, augmentation: Augmentation, draw: np.random.Generator) -> Window:
    """A window for an image of ``shape`` (height, width): area, aspect, place, and turn and slant where the augmentation has them."""
    side = float(np.sqrt(draw.uniform(*augmentation.area)))
    stretch = float(np.sqrt(np.exp(draw.uniform(*np.log(augmentation.aspect)))))
    _, _, height, width = Window(side, stretch, (0, 0)).pixels(shape)
    top, left = (draw.integers(0, room + 1) / room if room else 0.5 for room in (shape[0] - height, shape[1] - width))
    rotation, shear = (draw.uniform(-most, most) if most else 0.0 for most in (augmentation.rotation, augmentation.shear))
    return Window(side, stretch, (float(top), float(left)), rotation, shear)


def cut_window(image: Image, frame: Frame, size: int, window: Window) -> tuple[Image, Frame | None]:
    """A window of an image (h, w), resized to (size, size); black where a turned one leaves the image.

    Returns:
        The square, and its frame: ``None`` if the window is turned or slanted, which a frame cannot say.
    """
    top, left, height, width = window.pixels(image.shape)
    if not window.is_upright:
        return _turned(image, size, window), None
    cropped = frame.cropped(top, left, (height, width))
    return _resize(image[top : top + height, left : left + width], (size, size)), cropped.resized((size, size))


def warp(image: Image, matrix: NDArray[np.float64], size: Size) -> Image:
    """An image (h, w) seen through an affine map as ``size`` (height, width): bilinear, black outside.

    Args:
        matrix: (2, 3), from points x, y of the result to points of the image, in pixels with edges at whole numbers.
    """
    centres = matrix.copy()
    centres[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5  # OpenCV's whole numbers are pixel centres
    return np.asarray(cv2.warpAffine(image, centres, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP), np.uint8)


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


def _turned(image: Image, size: int, window: Window) -> Image:
    """A turned or slanted window as (size, size), bilinear."""
    top, left, height, width = window.pixels(image.shape)
    small = image
    if max(height, width) > SMOOTH * size:
        rows, columns = (max(1, round(whole * size / part)) for whole, part in zip(image.shape, (height, width), strict=True))
        small = _resize(image, (rows, columns))
    angle, slope = math.radians(window.rotation), math.tan(math.radians(window.shear))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    back = np.linalg.inv(turn @ [[1, slope], [0, 1]]) @ np.diag([width / size, height / size])
    centre = np.array([left + width / 2, top + height / 2])
    to_window = np.column_stack([back, centre - back @ [size / 2, size / 2]])
    return warp(small, np.diag(np.divide(small.shape, image.shape)[::-1]) @ to_window, (size, size))


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
