"""Curves of a training run as inline SVG: no script, colours from the page, readable in light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 12, 36
MAX_POINTS = 160


@dataclass(frozen=True, slots=True)
class Series:
    """One line: x rising, y finite or NaN (left out)."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, slots=True)
class Curve:
    """One chart: lines over a common x."""

    title: str
    x_label: str
    series: tuple[Series, ...]


def curve_svg(curve: Curve) -> Markup:
    """The chart; long series are shown as means over equal runs of points."""
    lines = [(series.name, *_condensed(series)) for series in curve.series]
    x, y = (np.concatenate([np.empty(0), *(line[axis] for line in lines)]) for axis in (1, 2))
    if not len(x):
        return Markup('<p class="quiet">Nothing was logged.</p>')
    x_ticks, y_ticks = ticks(float(x.min()), float(x.max())), ticks(float(y.min()), float(y.max()))
    x_range, y_range = _range(x, x_ticks), _range(y, y_ticks)
    parts = [_grid(x_ticks, y_ticks, x_range, y_range)]
    for index, (_, xs, ys) in enumerate(lines):
        points = " ".join(f"{_across(a, x_range):.1f},{_up(b, y_range):.1f}" for a, b in zip(xs, ys, strict=True))
        parts.append(Markup('<polyline class="line line-{}" points="{}"/>').format(index, points))
    label = Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>')
    parts.append(label.format((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, curve.x_label))
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, curve.title, Markup("").join(parts)
    )


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About ``count`` round numbers (1, 2 or 5 times a power of ten) apart from each other that lie within the range.

    Example: 0.13 to 0.92 gives 0.2, 0.4, 0.6, 0.8.
    """
    if high <= low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _condensed(series: Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(series.x, np.float64), np.asarray(series.y, np.float64)
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) <= MAX_POINTS:
        return x, y
    runs = np.array_split(np.arange(len(x)), MAX_POINTS)
    return _means(x, runs), _means(y, runs)


def _means(values: NDArray[np.float64], runs: Sequence[NDArray[np.intp]]) -> NDArray[np.float64]:
    return np.array([values[run].mean() for run in runs])


def _grid(x_ticks: Sequence[float], y_ticks: Sequence[float], x_range: tuple[float, float], y_range: tuple[float, float]) -> Markup:
    rule = Markup('<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>')
    name = Markup('<text class="axis" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    parts = []
    for value in y_ticks:
        height = _up(value, y_range)
        parts += [rule.format(LEFT, WIDTH - RIGHT, height), name.format(LEFT - 6, height + 3.5, "end", f"{value:g}")]
    for value in x_ticks:
        parts.append(name.format(_across(value, x_range), HEIGHT - BOTTOM + 15, "middle", _short(value)))
    return Markup("").join(parts)


def _range(values: NDArray[np.float64], marks: Sequence[float]) -> tuple[float, float]:
    low, high = min(float(values.min()), *marks), max(float(values.max()), *marks)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _across(value: float, span: tuple[float, float]) -> float:
    return LEFT + (value - span[0]) / (span[1] - span[0]) * (WIDTH - LEFT - RIGHT)


def _up(value: float, span: tuple[float, float]) -> float:
    return HEIGHT - BOTTOM - (value - span[0]) / (span[1] - span[0]) * (HEIGHT - TOP - BOTTOM)


def _short(value: float) -> str:
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}"
