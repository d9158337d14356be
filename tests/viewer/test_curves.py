import math
import re

import pytest

from medvl.viewer.curves import MAX_POINTS, Curve, Series, curve_svg, ticks


def points(svg: str) -> list[list[tuple[float, float]]]:
    return [[tuple(map(float, p.split(","))) for p in line.split()] for line in re.findall(r'points="([^"]*)"', svg)]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.13, 0.92, [0.2, 0.4, 0.6, 0.8]),
        (0, 1200, [0, 500, 1000]),
        (-0.0004, 0.0011, [0, 0.0005, 0.001]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round_numbers_within_the_range(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_a_falling_series_falls_on_the_page():
    (line,) = points(curve_svg(Curve("Loss", "step", (Series("train", [0, 1, 2], [3.0, 2.0, 1.0]),))))

    assert [x for x, _ in line] == sorted(x for x, _ in line)
    assert [y for _, y in line] == sorted(y for _, y in line)


def test_long_series_are_condensed_to_their_means():
    (line,) = points(curve_svg(Curve("Loss", "step", (Series("train", range(5000), [1.0] * 4999 + [2.0]),))))

    assert len(line) == MAX_POINTS


def test_values_that_are_not_finite_are_left_out():
    (line,) = points(curve_svg(Curve("Loss", "step", (Series("train", [0, 1, 2], [1.0, math.nan, math.inf]),))))

    assert len(line) == 1


def test_an_empty_chart_says_so():
    assert "Nothing was logged" in curve_svg(Curve("Loss", "step", (Series("train", [], []),)))
    assert "Nothing was logged" in curve_svg(Curve("Loss", "step", ()))
