"""Registration of a prior film to the current one: known poses come back, blank films do no harm."""

import math
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from medvl.data import registration
from medvl.data.registration import MissingSimpleITK, RegisteredPriors, register
from medvl.data.transforms import warp

needs_itk = pytest.mark.skipif(find_spec("SimpleITK") is None, reason="the extra `registration` is not installed")


def film(height: int = 96, width: int = 80, *, nodule: bool = False) -> np.ndarray:
    """Something like a chest: two dark lungs of unequal size, a bright heart and spine, ribs, a marker; perhaps a nodule."""
    y, x = np.mgrid[0:height, 0:width] / min(height, width)
    level = 0.55 + 0.1 * np.sin(y * 40) * (abs(x - 0.5) < 0.4)
    for left, top, wide, high, depth in ((0.3, 0.5, 0.17, 0.35, -0.4), (0.72, 0.5, 0.14, 0.3, -0.35), (0.56, 0.7, 0.16, 0.14, 0.35)):
        level += depth / (1 + np.exp(12 * (((x - left) / wide) ** 2 + ((y - top) / high) ** 2 - 1)))
    level += 0.25 * np.exp(-(((x - 0.5) / 0.05) ** 2)) + 0.4 * ((abs(x - 0.9) < 0.03) & (abs(y - 0.1) < 0.05))
    level += 0.3 * nodule * (((x - 0.3) ** 2 + (y - 0.4) ** 2) < 0.06**2)
    noise = np.random.default_rng(nodule).normal(0, 0.01, level.shape)
    return (np.clip(level + noise, 0, 1) * 255).astype(np.uint8)


def turned(shape: tuple[int, int], degrees: float, shift: tuple[float, float], scale: float = 1.0) -> np.ndarray:
    """The map (2, 3) that turns about the centre, scales and shifts by pixels x, y."""
    cos, sin = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    linear, centre = np.array([[cos, -sin], [sin, cos]]), np.array(shape[::-1]) / 2
    return np.column_stack([linear, centre + shift - linear @ centre])


def displacement(found: np.ndarray, known: np.ndarray, shape: tuple[int, int]) -> float:
    """Largest distance in pixels between where two maps send the film's points."""
    x, y = np.meshgrid(np.linspace(0, shape[1], 9), np.linspace(0, shape[0], 9))
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    return float(np.linalg.norm((found - known) @ points, axis=0).max())


@needs_itk
@pytest.mark.parametrize(("degrees", "shift"), [(0, (0, 0)), (6, (4, -5)), (-12, (-8, 6))])
def test_a_known_turn_and_shift_come_back_whatever_the_contrast(degrees, shift):
    prior = film()
    known = turned(prior.shape, degrees, shift)
    current = (255 * (warp(prior, known, prior.shape) / 255) ** 0.6).astype(np.uint8)

    found = register(prior, current, restarts=2, side=64)

    assert displacement(found.matrix, known, prior.shape) < 1
    assert found.score > 1


@needs_itk
def test_an_affine_map_brings_a_scale_back_and_a_rigid_one_cannot():
    prior = film()
    known = turned(prior.shape, 4, (3, -2), scale=1.12)
    current = warp(prior, known, prior.shape)

    affine, rigid = (register(prior, current, model=model, restarts=2, side=64) for model in ("affine", "rigid"))

    assert displacement(affine.matrix, known, prior.shape) < 1
    assert displacement(rigid.matrix, known, prior.shape) > 2
    assert affine.score > rigid.score


@needs_itk
def test_random_starts_find_what_the_aligned_one_misses():
    prior = film()
    known = turned(prior.shape, 25, (24, 10))
    current = warp(prior, known, prior.shape)

    alone, restarted = (register(prior, current, restarts=restarts, side=64) for restarts in (0, 4))

    assert displacement(alone.matrix, known, prior.shape) > 10
    assert displacement(restarted.matrix, known, prior.shape) < 1
    assert restarted.score > alone.score


@needs_itk
def test_a_film_of_another_shape_and_size_lies_on_the_current_grid():
    prior, current = film(192, 160, nodule=True), film(80, 80)

    found = register(prior, current, restarts=1, side=64)

    assert found.image.shape == current.shape
    assert np.corrcoef(found.image[8:-8, 8:-8].ravel(), current[8:-8, 8:-8].ravel())[0, 1] > 0.9


@needs_itk
@pytest.mark.parametrize("blank", [np.zeros((90, 70), np.uint8), np.full((90, 70), 200, np.uint8)], ids=["black", "grey"])
@pytest.mark.parametrize("model", ["rigid", "affine"])
def test_a_blank_film_is_laid_centre_on_centre(blank, model):
    for moving, fixed in ((blank, film(70, 70)), (film(70, 70), blank)):
        found = register(moving, fixed, model=model)

        assert found.score == 0
        assert found.matrix == pytest.approx(np.array([[1, 0, 0], [0, 1, (moving.shape[0] - fixed.shape[0]) / 2]]))
        assert found.image.shape == fixed.shape


@needs_itk
def test_the_same_films_and_seed_give_the_same_map():
    films = film(nodule=True), warp(film(), turned((96, 80), 9, (3, 3)), (96, 80))

    first, again = (register(*films, model="affine", restarts=2, seed=5, side=64) for _ in range(2))

    assert np.array_equal(first.matrix, again.matrix)
    assert first.score == again.score


class Films:
    """Two views, counted."""

    def __init__(self):
        self.views = {"now": film(), "before": warp(film(), turned((96, 80), -5, (2, 4)), (96, 80))}

    def image(self, view_id):
        return self.views[view_id]


@needs_itk
def test_a_prior_is_registered_once(monkeypatch):
    searches = []
    search = registration._search
    monkeypatch.setattr(registration, "_search", lambda *given: searches.append(given) or search(*given))
    priors = RegisteredPriors(Films(), restarts=1, side=64)

    first, again = priors.image("before", "now"), priors.image("before", "now")

    assert len(searches) == 1
    assert np.array_equal(first, again)
    assert np.abs(first[20:-20, 20:-20].astype(int) - film()[20:-20, 20:-20]).mean() < 5


@needs_itk
@pytest.mark.parametrize("wrong", [{"model": "elastic"}, {"restarts": -1}, {"side": 0}])
def test_what_registration_cannot_do_is_refused(wrong):
    with pytest.raises(ValueError, match="rigid or affine"):
        register(film(), film(), **wrong)
    with pytest.raises(ValueError, match="rigid or affine"):
        RegisteredPriors(Films(), **wrong)


def test_without_simple_itk_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    registration.simple_itk.cache_clear()

    with pytest.raises(MissingSimpleITK, match=r"pip install 'medvl\[registration\]'"):
        register(film(), film())
