import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvl.phantom.intervals import Interval, Section, beyond_plane, length_outside, through_dome, through_ellipsoid, through_section
from medvl.phantom.primitives import Ellipsoid, turn
from medvl.phantom.projection import Rays

ends = st.floats(-50, 50, width=32)
pairs = st.tuples(ends, ends)


def along_z(x, y=0.0) -> Rays:
    x, y = np.broadcast_arrays(np.asarray(x, np.float32), np.asarray(y, np.float32))
    return Rays(np.stack([x, y, np.zeros_like(x)]), np.stack([np.zeros_like(x), np.zeros_like(x), np.ones_like(x)]), (1, x.size))


def interval(low, high) -> Interval:
    return Interval(np.array([low], np.float32), np.array([high], np.float32))


def cylinder(half_width, half_depth, exponent) -> Section:
    table = np.ones(2)
    return Section(np.array([-10.0, 10.0]), half_width * table, half_depth * table, 0 * table, 0 * table, exponent)


@given(pairs, st.lists(pairs, max_size=5))
def test_length_outside_is_the_measure_of_what_no_part_covers(base, parts):
    edges = np.unique(np.array([*base, *(end for part in parts for end in part)], np.float64))
    middles = (edges[1:] + edges[:-1]) / 2
    free = (middles > base[0]) & (middles < base[1])
    for low, high in parts:
        free &= ~((middles > low) & (middles < high))

    measured = length_outside(interval(*base), [interval(*part) for part in parts])

    assert measured[0] == pytest.approx(float((np.diff(edges) * free).sum()), abs=1e-3)


def test_a_sphere_is_crossed_along_its_chord():
    met = through_ellipsoid(along_z([0.0, 6.0, 11.0]), Ellipsoid(np.zeros(3), np.full(3, 10.0)))

    np.testing.assert_allclose(met.length, [20, 16, 0], atol=1e-4)


def test_a_turned_ellipsoid_is_crossed_along_its_turned_axis():
    lying = Ellipsoid(np.zeros(3), np.array([30.0, 10.0, 10.0]), turn(1, 90))

    np.testing.assert_allclose(through_ellipsoid(along_z([0.0]), lying).length, [60], atol=1e-3)


def test_below_its_equator_a_dome_is_a_cylinder():
    dome = Ellipsoid(np.zeros(3), np.full(3, 10.0))

    np.testing.assert_allclose(through_dome(along_z([0.0, 0.0], [-6.0, 40.0]), dome).length, [16, 20], atol=1e-4)


@pytest.mark.parametrize("exponent", [2, 3])
@pytest.mark.parametrize("turned", [0.0, 8.0, -90.0])
def test_a_section_is_crossed_where_the_superellipse_says(exponent, turned):
    c, s = np.cos(np.radians(turned)), np.sin(np.radians(turned))
    across = np.linspace(-200, 200, 801)
    origin = np.stack([across * c, 0 * across, across * s]).astype(np.float32)
    slope = np.stack([0 * across - s, 0 * across, 0 * across + c]).astype(np.float32)
    depth = np.linspace(-160, 160, 6401)
    u = (origin[0][:, None] + depth * slope[0][:, None]) / 140
    w = (origin[2][:, None] + depth * slope[2][:, None]) / 98
    expected = (np.abs(u) ** exponent + np.abs(w) ** exponent < 1).mean(1) * 320

    met = through_section(Rays(origin, slope, (1, 801)), cylinder(140, 98, exponent))

    np.testing.assert_allclose(met.length, expected, atol=0.5)


def test_a_section_ends_with_its_table():
    assert through_section(along_z([0.0], [11.0]), cylinder(50, 50, 3)).length[0] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(("x", "inside"), [(12.0, True), (8.0, False)])
def test_a_ray_parallel_to_a_plane_is_beyond_it_all_along_or_never(x, inside):
    beyond = beyond_plane(along_z([x]), 1.0, np.array([10.0], np.float32))

    assert (beyond.within(interval(-100, 100)).length[0] == 200) == inside
