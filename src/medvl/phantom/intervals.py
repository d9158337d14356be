"""Where rays run inside solid shapes: each ray meets a convex shape in one interval of depth, so an organ is interval algebra.

A length of "this shape without those" needs the *union* of the others' intervals along each ray: sorted by their starts with a
compare-exchange network, then swept. The hull of the intervals would be wrong wherever two organs do not overlap in depth, and shows
as steps along their borders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medvl.phantom.primitives import Ellipsoid
from medvl.phantom.projection import Rays

Values = NDArray[np.float32]  # (N,), one per ray


class Interval(NamedTuple):
    """Depths between ``low`` and ``high``, (N,) each; empty where high ≤ low."""

    low: Values
    high: Values

    @property
    def length(self) -> Values:
        """Millimetres inside, (N,)."""
        return np.maximum(self.high - self.low, 0)

    def within(self, other: Interval) -> Interval:
        """The intersection."""
        return Interval(np.maximum(self.low, other.low), np.minimum(self.high, other.high))

    def hull(self, other: Interval) -> Interval:
        """The smallest interval over both; right for a union only where they overlap."""
        mine, theirs = self.high > self.low, other.high > other.low
        low = np.where(mine & theirs, np.minimum(self.low, other.low), np.where(theirs, other.low, self.low))
        high = np.where(mine & theirs, np.maximum(self.high, other.high), np.where(theirs, other.high, self.high))
        return Interval(low, high)


@dataclass(frozen=True, eq=False)
class Section:
    """A table cylinder: at each y a superellipse in the x-z plane (exponent 2 or 3); absent outside the table.

    A ray's y is taken at the mid-plane.
    """

    y: NDArray[np.float64]
    half_width: NDArray[np.float64]
    half_depth: NDArray[np.float64]
    center_x: NDArray[np.float64]
    center_z: NDArray[np.float64]
    exponent: int = 2

    def at(self, y: NDArray[np.floating]) -> tuple[Values, Values, Values, Values]:
        """Half-width, half-depth, centre x and centre z at each y; half-width 0 outside the table."""
        tables = (self.half_width, self.half_depth, self.center_x, self.center_z)
        a, b, x, z = (np.interp(y, self.y, table).astype(np.float32) for table in tables)
        a[(y < self.y[0]) | (y > self.y[-1])] = 0
        return a, b, x, z


def through_ellipsoid(rays: Rays, shape: Ellipsoid) -> Interval:
    """Where rays are inside an ellipsoid."""
    inverse = (shape.rotation / shape.semi_axes).T.astype(np.float32)  # (3, 3): body → unit ball
    start = np.einsum("ij,jn->in", inverse, rays.origin - shape.center.astype(np.float32)[:, None])  # BLAS would start threads
    return _through_ball(start, np.einsum("ij,jn->in", inverse, rays.slope))


def through_dome(rays: Rays, shape: Ellipsoid) -> Interval:
    """Where rays are inside an upright ellipsoid's upper half, or below it in the cylinder under its equator."""
    inverse = (1 / shape.semi_axes).astype(np.float32)[:, None]
    start = (rays.origin - shape.center.astype(np.float32)[:, None]) * inverse
    slope = rays.slope * inverse
    below = start[1] > 0
    start[1][below] = 0
    slope[1][below] = 0
    return _through_ball(start, slope)


def through_section(rays: Rays, section: Section, shrink: Values | float = 0.0) -> Interval:
    """Where rays are inside a table cylinder whose walls are moved inwards by ``shrink`` millimetres ((N,) or a number).

    Newton's method from outside on the convex |u|ⁿ + |w|ⁿ − 1 for exponent 3; the quadratic for exponent 2.
    """
    a, b, x, z = section.at(rays.y)
    absent = a <= 0
    a, b = np.maximum(a - shrink, 1e-2), np.maximum(b - shrink, 1e-2)
    start = np.stack([(rays.origin[0] - x) / a, (rays.origin[2] - z) / b])
    slope = np.stack([rays.slope[0] / a, rays.slope[2] / b])
    if section.exponent == 2:
        met = _through_ball(start, slope)
    else:
        sideways = np.abs(rays.slope[0]).sum() > np.abs(rays.slope[2]).sum()
        met = _through_cubic(start, slope, 0 if sideways else 1)
    met.high[absent] = met.low[absent]
    return met


def beyond_plane(rays: Rays, side: float, offset: Values) -> Interval:
    """Where side · x > offset ((N,)): a half-line of depth."""
    position, slope = side * rays.x - offset, side * rays.slope[0]
    slope = np.where(np.abs(slope) < 1e-6, np.float32(1e-6), slope)
    crossing = -position / slope
    return Interval(np.where(slope > 0, crossing, np.float32(-1e4)), np.where(slope > 0, np.float32(1e4), crossing))


def length_outside(base: Interval, parts: Sequence[Interval]) -> Values:
    """The length of ``base`` that lies in none of ``parts``, (N,)."""
    starts, ends = [], []
    for part in parts:
        low, high = part.within(base)
        empty = high <= low
        starts.append(np.where(empty, base.high, low))
        ends.append(np.where(empty, base.high, high))
    for last in range(len(parts) - 1, 0, -1):
        for i in range(last):
            swap = starts[i] > starts[i + 1]
            ends[i], ends[i + 1] = np.where(swap, ends[i + 1], ends[i]), np.where(swap, ends[i], ends[i + 1])
            starts[i], starts[i + 1] = np.minimum(starts[i], starts[i + 1]), np.maximum(starts[i], starts[i + 1])
    free, reach = np.zeros_like(base.low), base.low
    for start, end in zip(starts, ends, strict=True):
        free += np.maximum(start - reach, 0)
        reach = np.maximum(reach, end)
    return np.where(base.high > base.low, free + np.maximum(base.high - reach, 0), 0)


def _through_ball(start: NDArray[np.float32], slope: NDArray[np.float32]) -> Interval:
    """|start + d · slope| < 1 for start, slope (k, N)."""
    a = np.einsum("kn,kn->n", slope, slope)
    b = np.einsum("kn,kn->n", slope, start)
    c = np.einsum("kn,kn->n", start, start) - 1
    root = np.sqrt(np.maximum(b * b - a * c, 0))
    return Interval((-b - root) / a, (-b + root) / a)


def _through_cubic(start: NDArray[np.float32], slope: NDArray[np.float32], main: int) -> Interval:
    """|start + d · slope|³ summed < 1, for start, slope (2, N).

    Rays run nearly along the axis ``main``: two rounds of solving for that axis alone, then Newton's steps on the whole. Rays that graze
    the border, where this is unsure, are solved again from outside.
    """
    a = np.einsum("kn,kn->n", slope, slope)
    nearest = -np.einsum("kn,kn->n", slope, start) / a
    reach = 1.2 / np.sqrt(a)  # the superellipse lies within radius 2^(1/2 − 1/3) ≈ 1.12
    aside = np.abs(start[1 - main] + nearest * slope[1 - main])
    grazing = np.flatnonzero((aside > 0.85) & (aside < 1.2))
    unsure = np.ascontiguousarray(start[:, grazing]), np.ascontiguousarray(slope[:, grazing])
    forward = np.sign(slope[main])
    ends = []
    for sign in (np.float32(-1), np.float32(1)):
        depth = nearest
        for _ in range(2):
            across = np.abs(start[1 - main] + depth * slope[1 - main])
            depth = (sign * forward * np.cbrt(np.maximum(1 - across**3, 0)) - start[main]) / slope[main]
        depth = _newton(start, slope, depth + sign * reach * np.float32(0.04), sign, steps=2)
        outside = (nearest + sign * reach)[grazing]
        depth[grazing] = _newton(*unsure, outside, sign, steps=12)
        ends.append(depth)
    middle = start + (ends[0] + ends[1]) / 2 * slope
    inside = ((np.abs(middle) ** 3).sum(0) < 1) & (ends[1] > ends[0])
    return Interval(np.where(inside, ends[0], 0), np.where(inside, ends[1], 0))


def _newton(start: NDArray[np.float32], slope: NDArray[np.float32], depth: Values, sign: np.float32, steps: int) -> Values:
    """Newton's steps from outside (``sign`` says on which end) towards |start + d · slope|³ summed = 1; stays without a way down."""
    for _ in range(steps):
        p = start + depth * slope
        square = p * np.abs(p)
        rate = np.einsum("kn,kn->n", square, slope) * (3 * sign)
        downhill = rate > 1e-6
        step = (np.einsum("kn,kn->n", square, p) - 1) / np.where(downhill, rate, np.float32(1))
        depth = np.where(downhill, depth - sign * step, depth).astype(np.float32, copy=False)
    return depth
