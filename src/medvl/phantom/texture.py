"""Random fields and random curves: what keeps one patient's tissue and contours from being another's."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from medvl.phantom.projection import Image


def cloudy(draw: np.random.Generator, size: int, power: float, *, skip: int = 0) -> Image:
    """A field (size, size) of unit variance whose spectrum falls as frequency^(−power/2); the lowest ``skip`` frequencies left out."""
    spectrum = fft.rfft2(draw.standard_normal((size, size), dtype=np.float32))
    frequency = np.hypot(fft.fftfreq(size)[:, None], fft.rfftfreq(size)[None]).astype(np.float32) * size
    gain = np.where(frequency > max(skip, 0.5), np.maximum(frequency, 1) ** np.float32(-power / 2), 0).astype(np.float32)
    field = fft.irfft2(spectrum * gain, s=(size, size)).astype(np.float32)
    return (field - field.mean()) / field.std()


def stretched(field: Image, shape: tuple[int, int]) -> Image:
    """A field enlarged or reduced to (height, width), bilinear, half-pixel centres."""
    if field.shape == shape:
        return field
    shrink = shape[0] < field.shape[0] and shape[1] < field.shape[1]
    return np.asarray(cv2.resize(field, shape[::-1], interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR), np.float32)


def blurred(image: Image, sigma: float) -> Image:
    """A Gaussian blur of ``sigma`` pixels; wide ones are made on a reduced grid."""
    factor = int(sigma // 4)
    if factor < 2:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
    height, width = image.shape
    small = cv2.resize(image, (max(1, width // factor), max(1, height // factor)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma * small.shape[1] / width, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.blur(cv2.resize(small, (width, height)), (factor, factor), borderType=cv2.BORDER_REPLICATE), np.float32)


def wander(draw: np.random.Generator, y: NDArray[np.float64], amplitude: float, shortest: float = 60.0) -> NDArray[np.float64]:
    """A smooth random curve over y (N,) with standard deviation ``amplitude``; no wave shorter than ``shortest``."""
    curve = np.zeros_like(y)
    for harmonic in range(4):
        wave = shortest * (4 - harmonic)
        curve += draw.normal() * np.cos(2 * np.pi * (y / wave + draw.random())) * wave
    return curve * amplitude / (shortest * 3.87)  # √(½ Σ k²) = 3.87


def smoothstep(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """0 below 0, 1 above 1, 3t² − 2t³ between."""
    t = np.clip(values, 0, 1)
    return t * t * (3 - 2 * t)
