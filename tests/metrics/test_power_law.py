"""A power law of data size: found again where it holds, with an interval that knows the noise."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

from medvl.metrics.power_law import fit_power_law

SIZES = np.array([200, 400, 800, 1600, 3200, 6400], np.float64)


def law(n, a, b, c):
    return a + b * n**-c


@pytest.mark.parametrize("truth", [(0.9, -1.5, 0.4), (0.8, -0.9, 0.15), (0.2, 3.0, 0.7)])
def test_an_exact_law_is_found_again(truth):
    fitted = fit_power_law(SIZES, law(SIZES, *truth), replicates=20)

    assert (fitted.a, fitted.b, fitted.c) == pytest.approx(truth, rel=1e-3)
    assert fitted.r_squared == pytest.approx(1.0)
    low, high = fitted.interval([1000.0])
    assert high[0] - low[0] < 1e-3


def test_the_fit_is_the_least_squares_of_scipy():
    noisy = law(SIZES, 0.9, -1.5, 0.4) + np.random.default_rng(3).normal(0, 0.005, len(SIZES))

    fitted = fit_power_law(SIZES, noisy, replicates=0)

    reference, _ = curve_fit(law, SIZES, noisy, p0=(0.9, -1.5, 0.4), maxfev=20_000)
    assert (fitted.a, fitted.b, fitted.c) == pytest.approx(tuple(reference), rel=1e-3)


def test_the_interval_of_the_curve_covers_the_truth_about_as_often_as_it_says():
    draw, covered = np.random.default_rng(0), 0
    sizes = np.repeat(SIZES, 3)
    for seed in range(60):
        noisy = law(sizes, 0.9, -1.5, 0.4) + draw.normal(0, 0.01, len(sizes))
        low, high = fit_power_law(sizes, noisy, replicates=200, seed=seed).interval([1000.0])
        covered += low[0] <= law(1000.0, 0.9, -1.5, 0.4) <= high[0]

    assert 0.85 <= covered / 60 <= 1.0


def test_more_noise_widens_the_interval_of_every_parameter():
    widths = []
    for noise in (0.001, 0.01):
        noisy = law(SIZES, 0.9, -1.5, 0.4) + noise * np.array([1, -1, 1, -1, 1, -1])
        found = fit_power_law(SIZES, noisy).parameters()
        widths.append([found[name].ci_high - found[name].ci_low for name in "abc"])

    assert all(wide > narrow for narrow, wide in zip(*widths, strict=True))


def test_three_points_have_a_law_and_no_interval_and_two_sizes_have_none():
    three = fit_power_law(SIZES[:3], [0.6, 0.7, 0.75])

    assert three.interval([500.0]) is None
    assert three.parameters()["c"].ci_low is None
    assert fit_power_law([100, 100, 200, 200], [0.6, 0.61, 0.7, 0.71]) is None


@pytest.mark.parametrize(("sizes", "scores"), [([0, 1, 2], [1, 2, 3]), ([1, 2, 3], [1, 2]), ([1, 2, 3], [1, 2, np.nan])])
def test_what_cannot_be_fitted_is_refused(sizes, scores):
    with pytest.raises(ValueError, match="finite scores"):
        fit_power_law(sizes, scores)
