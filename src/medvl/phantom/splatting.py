"""Tubes and plates on film: path lengths by splatting points, without tracing a ray.

The chord through a round tube at distance d from its axis is 2·√(r² − d²): the convolution of the projected axis, weighted by its true
arc length, with a disk of the tube's radius. So a curve is sampled, its arc lengths are added to a grid bilinearly, and the grid is
convolved with a disk. Tubes that run along the beam thicken by themselves, as the lateral edges of ribs do. Radii are rounded to a
ladder (weights corrected by the square of the ratio); thick ones are drawn on coarser grids.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from medvl.phantom.primitives import Plate, Points, Tube
from medvl.phantom.projection import Beam, Image

LADDER = 1.3  # ratio of neighbouring radii
COARSE_RADIUS = 3.0  # pixels: thicker tubes go to a grid of half the size


@dataclass(frozen=True, eq=False)
class Cloud:
    """Sampled tubes in the patient's millimetres: points (N, 3), arc length × weight (N,), radius (N,)."""

    points: Points
    weight: NDArray[np.float64]
    radius: NDArray[np.float64]

    def weighted(self, factor: NDArray[np.float64] | float) -> Cloud:
        """The same tubes, each point's weight multiplied."""
        return Cloud(self.points, self.weight * factor, self.radius)


def resample(points: Points, spacing: float) -> Points:
    """A polyline (N, 3) resampled at even steps of at most ``spacing``."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    even = np.linspace(0, along[-1], max(2, int(np.ceil(along[-1] / spacing)) + 1))
    return np.stack([np.interp(even, along, points[:, k]) for k in range(3)], axis=1)


def tube_cloud(points: Points, radius: float | NDArray[np.float64], weight: float | NDArray[np.float64] = 1.0) -> Cloud:
    """A polyline (N, 3) as a cloud; radius and weight are numbers or one per point."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    arc = np.concatenate([[steps[0] / 2], (steps[1:] + steps[:-1]) / 2, [steps[-1] / 2]])
    return Cloud(points, arc * weight, np.broadcast_to(np.asarray(radius, np.float64), arc.shape))


def joined(clouds: Iterable[Cloud]) -> Cloud:
    """Several clouds as one."""
    parts = list(clouds)
    return Cloud(
        np.concatenate([c.points for c in parts]),
        np.concatenate([c.weight for c in parts]),
        np.concatenate([c.radius for c in parts]),
    )


def splat(beam: Beam, cloud: Cloud, *, ladder: float = LADDER, coarse_radius: float = COARSE_RADIUS) -> Image:
    """The path length × weight through a cloud's tubes on the film (H, W), in millimetres.

    Hollow tubes need a finer ``ladder`` and a larger ``coarse_radius``, or their walls vanish.
    """
    rows, columns, magnification = beam.project(cloud.points)
    radius = cloud.radius * magnification / beam.pixel
    rung = np.round(np.log(radius) / np.log(ladder)).astype(int)
    drawn = np.power(ladder, rung)
    weight = cloud.weight * (radius / drawn) ** 2
    coarseness = np.maximum(0, np.ceil(np.log2(drawn / coarse_radius))).astype(int)
    image: Image | None = None
    for level in range(int(coarseness.max(initial=0)), -1, -1):
        factor = 2**level
        shape = (-(-beam.height // factor), -(-beam.width // factor))
        here = np.zeros(shape, np.float32) if image is None else _doubled(image)[: shape[0], : shape[1]]
        for step in np.unique(rung[coarseness == level]):
            pick = rung == step
            grid = _accumulate(rows[pick] / factor, columns[pick] / factor, weight[pick], shape)
            here = here + cv2.filter2D(grid, -1, _disk(float(ladder**step / factor)), borderType=cv2.BORDER_CONSTANT)
        image = here
    assert image is not None
    return image


def tubes_depth(beam: Beam, tubes: Iterable[Tube]) -> Image:
    """The optical depth (H, W) that tubes in the patient's millimetres add."""
    depth = np.zeros((beam.height, beam.width), np.float32)
    for tube in tubes:
        spacing = max(0.3, min(tube.radius / 2, 0.7 * beam.pixel))
        depth += splat(beam, tube_cloud(resample(tube.points, spacing), tube.radius, tube.attenuation), ladder=1.06)
    return depth


def plate_depth(beam: Beam, plate: Plate, soften: float = 0.6) -> Image:
    """The optical depth (H, W) of a plate in the patient's millimetres, its edge softened by ``soften`` millimetres."""
    rows, columns, _ = beam.project(plate.outline)
    corners = np.round(np.stack([columns - 0.5, rows - 0.5], axis=1) * 16).astype(np.int32)
    canvas = np.zeros((beam.height, beam.width), np.uint8)
    cv2.fillPoly(canvas, [corners], 255, lineType=cv2.LINE_AA, shift=4)
    filled = canvas.astype(np.float32) * np.float32(plate.optical_depth / 255)
    return np.asarray(cv2.GaussianBlur(filled, (0, 0), max(soften / beam.pixel, 0.3)), np.float32)


def _accumulate(rows: NDArray[np.float64], columns: NDArray[np.float64], weight: NDArray[np.float64], shape: tuple[int, int]) -> Image:
    """Weights added bilinearly at fractional positions; what falls off the grid is lost."""
    height, width = shape
    r, c = rows + 0.5, columns + 0.5  # on a grid padded by one pixel
    inside = (r >= 0) & (r < height + 1) & (c >= 0) & (c < width + 1)
    r, c, weight = r[inside], c[inside], weight[inside]
    r0, c0 = r.astype(int), c.astype(int)
    fr, fc = r - r0, c - c0
    stride = width + 2
    corner = r0 * stride + c0
    index = np.concatenate([corner, corner + 1, corner + stride, corner + stride + 1])
    share = np.concatenate([(1 - fr) * (1 - fc), (1 - fr) * fc, fr * (1 - fc), fr * fc]) * np.tile(weight, 4)
    grid = np.bincount(index, share, minlength=(height + 2) * stride).astype(np.float32)
    return np.ascontiguousarray(grid.reshape(height + 2, stride)[1:-1, 1:-1])


@cache
def _disk(radius: float) -> Image:
    """A disk's pixel coverage, summing to π·radius²."""
    reach, fine = int(np.ceil(radius)), 8
    offset = (np.arange((2 * reach + 1) * fine) + 0.5) / fine - reach - 0.5
    inside = (offset[:, None] ** 2 + offset[None] ** 2 < radius**2).astype(np.float32)
    n = 2 * reach + 1
    kernel = inside.reshape(n, fine, n, fine).mean((1, 3))
    total = kernel.sum()
    if total == 0:
        kernel[reach, reach] = total = 1
    return (kernel * (np.pi * radius**2 / total)).astype(np.float32)


def _doubled(image: Image) -> Image:
    return np.asarray(cv2.resize(image, (2 * image.shape[1], 2 * image.shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)
