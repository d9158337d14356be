"""Boxes, crops, masks and overlaps: the only place with coordinate arithmetic.

A ``Frame`` says where an image lies in the original it was made from: ``target = source · scale + offset`` along each axis, in pixels,
with pixel *edges* at whole numbers (a box over the whole image is 0…1 in every frame). Frames compose with ``then`` and map points,
boxes and masks both ways; no other function guesses a frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medvl.records import Box

Size = tuple[int, int]  # (height, width)


@dataclass(frozen=True, slots=True)
class Frame:
    """An axis-aligned map from a source image to a target image.

    Attributes:
        source: (height, width) of the original, in pixels.
        target: (height, width) of the derived image, in pixels.
        scale: target pixels per source pixel, (vertical, horizontal).
        offset: position of the source's top-left corner in the target, (vertical, horizontal), in target pixels.
    """

    source: Size
    target: Size
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def identity(cls, size: Size) -> Frame:
        """The frame of an image as it is."""
        return cls(size, size)

    def resized(self, size: Size) -> Frame:
        """This frame, its target resized to ``size`` (height, width)."""
        ratio = (size[0] / self.target[0], size[1] / self.target[1])
        return Frame(
            self.source,
            size,
            (self.scale[0] * ratio[0], self.scale[1] * ratio[1]),
            (self.offset[0] * ratio[0], self.offset[1] * ratio[1]),
        )

    def short_side(self, length: int) -> Frame:
        """This frame, its target resized so that the short side is ``length``; the long side is rounded, at least ``length``."""
        height, width = self.target
        ratio = length / min(height, width)
        return self.resized((max(length, round(height * ratio)), max(length, round(width * ratio))))

    def cropped(self, top: int, left: int, size: Size) -> Frame:
        """This frame, its target cropped; a crop that leaves the target pads it."""
        return Frame(self.source, size, self.scale, (self.offset[0] - top, self.offset[1] - left))

    def center_cropped(self, size: Size) -> Frame:
        """This frame, its target cropped about the centre (margins rounded down at the top and left)."""
        return self.cropped((self.target[0] - size[0]) // 2, (self.target[1] - size[1]) // 2, size)

    def inverse(self) -> Frame:
        """The inverse map: from the target to the source."""
        return Frame(
            self.target,
            self.source,
            (1 / self.scale[0], 1 / self.scale[1]),
            (-self.offset[0] / self.scale[0], -self.offset[1] / self.scale[1]),
        )

    def then(self, other: Frame) -> Frame:
        """This map, then ``other``, whose source is this target.

        Raises:
            ValueError: naming both sizes, if they differ.
        """
        if other.source != self.target:
            raise ValueError(f"cannot compose: the first frame ends at {self.target}, the second starts at {other.source}")
        return Frame(
            self.source,
            other.target,
            (self.scale[0] * other.scale[0], self.scale[1] * other.scale[1]),
            (self.offset[0] * other.scale[0] + other.offset[0], self.offset[1] * other.scale[1] + other.offset[1]),
        )

    def points_to_target(self, xy: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (…, 2) as x, y in source pixels → target pixels."""
        return np.asarray(xy, np.float64) * self.scale[::-1] + self.offset[::-1]

    def points_to_source(self, xy: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (…, 2) as x, y in target pixels → source pixels."""
        return (np.asarray(xy, np.float64) - self.offset[::-1]) / self.scale[::-1]

    def box_to_target(self, box: Box) -> Box | None:
        """A box normalised to the source → normalised to the target, clipped; ``None`` if nothing of it is left."""
        (sh, sw), (th, tw) = self.source, self.target
        corners = self.points_to_target(np.array([[box.x_min * sw, box.y_min * sh], [box.x_max * sw, box.y_max * sh]]))
        return _clipped(corners / (tw, th))

    def box_to_source(self, box: Box) -> Box | None:
        """A box normalised to the target → normalised to the source, clipped; ``None`` if nothing of it is left."""
        return self.inverse().box_to_target(box)

    def map_to_source(self, values: NDArray[np.floating], *, nearest: bool = False, outside: float = np.nan) -> NDArray[np.float32]:
        """Maps (…, h, w) over the target → (…, H, W) over the source; ``outside`` where the target does not reach.

        The maps' grid may be any (a patch grid, say): they are stretched over the target. Bilinear with half-pixel centres, as
        ``torch.nn.functional.interpolate(align_corners=False)``, or nearest.
        """
        rows, inside_y = self._grid(values.shape[-2], 0)
        columns, inside_x = self._grid(values.shape[-1], 1)
        picked = _nearest(values, rows, columns) if nearest else _bilinear(values, rows, columns)
        picked[..., ~inside_y, :] = outside
        picked[..., ~inside_x] = outside
        return picked

    def mask_to_target(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask (H, W) over the source → (h, w) over the target, nearest neighbour, false outside."""
        back = self.inverse().map_to_source(mask.astype(np.float32), nearest=True, outside=0.0)
        return back > 0.5

    def _grid(self, cells: int, axis: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """For each source pixel centre: its position on the target's grid of ``cells``, and whether it lies in the target."""
        centre = (np.arange(self.source[axis]) + 0.5) * self.scale[axis] + self.offset[axis]
        inside = (centre >= 0) & (centre < self.target[axis])
        return centre / self.target[axis] * cells, inside


def center_square_to_source(values: NDArray[np.floating], source: Size, side: int, *, nearest: bool = False) -> NDArray[np.float32]:
    """Maps (…, h, w) over the centre square of an image → (…, H, W) over the image, NaN around it: the geometry of BioViL's engine.

    The square covers whole pixels, its margins rounded down at the top and left; ``Frame.map_to_source`` keeps fractions. Values are those
    of ``torch.nn.functional.interpolate``, bilinear with ``align_corners=False`` or, without its half-pixel centres, nearest.

    Args:
        values: the maps, on any grid.
        source: (height, width) of the image.
        side: of the square, in pixels.
        nearest: in place of bilinear.

    Raises:
        ValueError: naming both, if the square does not lie within the image.
    """
    if not 0 < side <= min(source):
        raise ValueError(f"a square of {side} pixels does not lie in an image of {source[1]}×{source[0]} pixels")
    margins = ((source[0] - side) // 2, (source[1] - side) // 2)
    rows, columns = (
        _square_positions(cells, side, length, margin, nearest)
        for cells, length, margin in zip(values.shape[-2:], source, margins, strict=True)
    )
    whole = _nearest(values, rows, columns) if nearest else _bilinear(values, rows, columns)
    for axis, margin in zip((-2, -1), margins, strict=True):
        along = np.moveaxis(whole, axis, 0)
        along[:margin], along[margin + side :] = np.nan, np.nan
    return whole


def _square_positions(cells: int, side: int, length: int, margin: int, nearest: bool) -> NDArray[np.float64]:
    """Where each of ``length`` pixels, of which ``side`` see the grid of ``cells``, lies on it; torch finds the nearest cell in float32."""
    pixels = np.arange(length) - margin
    if nearest:
        return (pixels.astype(np.float32) * np.float32(cells / side)).astype(np.float64)
    return (pixels + 0.5) * cells / side


def _nearest(values: NDArray[np.floating], rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float32]:
    y = np.clip(np.floor(rows).astype(int), 0, values.shape[-2] - 1)
    x = np.clip(np.floor(columns).astype(int), 0, values.shape[-1] - 1)
    return values[..., y[:, None], x].astype(np.float32)


def _bilinear(values: NDArray[np.floating], rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float32]:
    """Separable: one small matrix product along each axis."""
    return _weights(rows, values.shape[-2]) @ values.astype(np.float32) @ _weights(columns, values.shape[-1]).T


def _weights(positions: NDArray[np.float64], cells: int) -> NDArray[np.float32]:
    """(positions, cells): the two neighbours' shares of each position, clamped at the edges."""
    centre = np.clip(positions - 0.5, 0, cells - 1)
    low = np.floor(centre).astype(int)
    share = (centre - low).astype(np.float32)
    weights = np.zeros((len(positions), cells), np.float32)
    index = np.arange(len(positions))
    weights[index, low] = 1 - share
    weights[index, np.minimum(low + 1, cells - 1)] += share
    return weights


def _clipped(corners: NDArray[np.float64]) -> Box | None:
    (x0, y0), (x1, y1) = np.clip(corners, 0, 1).tolist()
    return Box(x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def box_from_pixels(x: float, y: float, width: float, height: float, size: Size, *, tolerance: float = 1.0) -> Box:
    """A pixel box ``x, y, width, height`` in an image of ``size`` (height, width) → a normalised ``Box``.

    Raises:
        ValueError: naming the box and the image, if it leaves the image by more than ``tolerance`` pixels or is turned inside out.
    """
    overhang = max(-x, -y, x + width - size[1], y + height - size[0])
    if overhang > tolerance or width < 0 or height < 0:
        raise ValueError(f"box x={x} y={y} w={width} h={height} leaves its image of {size[1]}×{size[0]} pixels")
    scale = np.array([size[1], size[0]], np.float64)
    low, high = np.clip(np.array([[x, y], [x + width, y + height]]) / scale, 0, 1).tolist()
    return Box(low[0], low[1], high[0], high[1])


def box_to_pixels(box: Box, size: Size) -> tuple[float, float, float, float]:
    """A normalised box → pixel ``x, y, width, height`` in an image of ``size`` (height, width)."""
    height, width = size
    return box.x_min * width, box.y_min * height, (box.x_max - box.x_min) * width, (box.y_max - box.y_min) * height


def box_from_mask(mask: NDArray[np.bool_]) -> Box | None:
    """The tightest box around a mask (H, W); ``None`` for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    height, width = mask.shape
    return Box(
        float(columns[0] / width),
        float(rows[0] / height),
        float((columns[-1] + 1) / width),
        float((rows[-1] + 1) / height),
    )


def boxes_to_mask(boxes: Iterable[Box], size: Size) -> NDArray[np.bool_]:
    """The union of boxes as a mask (height, width): a pixel is in when its centre is."""
    height, width = size
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    mask = np.zeros(size, bool)
    for box in boxes:
        mask |= ((y >= box.y_min) & (y < box.y_max))[:, None] & ((x >= box.x_min) & (x < box.x_max))[None]
    return mask


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes; 0 when both are empty."""
    overlap = max(0.0, min(a.x_max, b.x_max) - max(a.x_min, b.x_min)) * max(0.0, min(a.y_max, b.y_max) - max(a.y_min, b.y_min))
    union = _area(a) + _area(b) - overlap
    return overlap / union if union > 0 else 0.0


def mask_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks of one shape; 0 when both are empty."""
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 0.0


@dataclass(frozen=True, slots=True)
class Overlap:
    """How two regions overlap: areas of each and of what they share, as shares of the image or as pixels.

    Example: areas 4 and 2, of which 1 shared: IoU 1/5, precision 1/4, recall 1/2.
    """

    first: float
    second: float
    shared: float

    @property
    def iou(self) -> float:
        """Intersection over union; NaN when both are empty."""
        return _share(self.shared, self.first + self.second - self.shared)

    @property
    def precision(self) -> float:
        """The share of the first region that lies in the second; NaN for an empty first."""
        return _share(self.shared, self.first)

    @property
    def recall(self) -> float:
        """The share of the second region that lies in the first; NaN for an empty second."""
        return _share(self.shared, self.second)


def union_overlap(first: Sequence[Box], second: Sequence[Box]) -> Overlap:
    """How the unions of two lists of boxes overlap, exactly: the plane is cut at every edge and whole cells are summed."""
    edges = np.array([box.xyxy for box in (*first, *second)], np.float64).reshape(-1, 4)
    x, y = np.unique(edges[:, (0, 2)]), np.unique(edges[:, (1, 3)])
    areas = np.diff(y)[:, None] * np.diff(x)[None]
    inside = np.zeros((2, *areas.shape), bool)
    for number, (x_min, y_min, x_max, y_max) in enumerate(edges):
        inside[int(number >= len(first)), (y[:-1] >= y_min) & (y[:-1] < y_max)] |= (x[:-1] >= x_min) & (x[:-1] < x_max)
    a, b = inside
    return Overlap(float(areas[a].sum()), float(areas[b].sum()), float(areas[a & b].sum()))


def raster_overlap(first: Sequence[Box], second: Sequence[Box], side: int = 224) -> Overlap:
    """How two unions overlap in pixels of a square raster, edges truncated to whole pixels, half open (as in RadFact).

    A box thinner than a pixel may vanish; ``union_overlap`` has no such limit.
    """
    masks = np.zeros((2, side, side), bool)
    for mask, boxes in zip(masks, (first, second), strict=True):
        for box in boxes:
            x_min, y_min, x_max, y_max = (np.array(box.xyxy) * side).astype(int)
            mask[y_min:y_max, x_min:x_max] = True
    return Overlap(*(float(np.count_nonzero(mask)) for mask in (*masks, masks[0] & masks[1])))


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def _area(box: Box) -> float:
    return (box.x_max - box.x_min) * (box.y_max - box.y_min)
