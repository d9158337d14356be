"""A prior radiograph laid over the current one: rigid or affine registration by mutual information (for BioViL "with registration").

Bannur et al. (CVPR 2023) register the prior to the current film for their static baseline, with several random restarts; the details are
not published. Here: Mattes' mutual information (16 bins) of the two films made small, climbed in regular steps by SimpleITK (the extra
``registration``). Every start (centres aligned; then turned, moved and, for ``affine``, scaled at random) is followed at about 32 pixels,
and the best refined at 128. Mutual information asks for no equal contrast, but is that of the overlap alone: an end with less than half
an overlap does not count, nor one that says less than the aligned centres. One thread and fixed draws: the same films give the same map.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Literal, NamedTuple, Protocol, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from medvl.data.transforms import Image, warp
from medvl.geometry import Size
from medvl.runtime.errors import UserError

RegistrationModel = Literal["rigid", "affine"]
Matrix = NDArray[np.float64]

SIDE = 128
COARSE = 32  # short side at which the starts are followed, pixels
BINS = 16  # more of them read noise as information in the few pixels of a start
STEP, LEAST_STEP, STEPS = 1.0, 1e-3, 100  # of a climb: first and last length, in pixels of the working size, and how many at most
MIN_OVERLAP = 0.5
TURN, SHIFT, SCALE = 10.0, 0.1, 0.1  # standard deviations of the starts: degrees, share of the short side, log of the scale


class MissingSimpleITK(UserError):
    """SimpleITK is not installed."""


class Registration(NamedTuple):
    """How a moving image lies over a fixed one.

    Attributes:
        image: (H, W) the moving image on the grid of the fixed one, black where it does not reach.
        matrix: (2, 3), from points x, y of the fixed image to points of the moving one, in pixels with edges at whole numbers.
        score: their mutual information where they overlap, in nats, at the working size; 0 of a blank image.
    """

    image: Image
    matrix: Matrix
    score: float


def register(
    moving: Image, fixed: Image, *, model: RegistrationModel = "rigid", restarts: int = 4, seed: int = 0, side: int = SIDE
) -> Registration:
    """Lay one film over another, as the head of this file has it.

    Args:
        moving, fixed: (h, w) grey levels 0…255, of any shapes; their short sides are taken to show the same length.
        model: ``rigid`` (turn and shift) or ``affine``.
        restarts: random starts beside the aligned one.
        seed: of the random starts.
        side: the working size, pixels of the short side.

    Returns:
        What was found; the aligned centres if an image is blank, with a score of 0, or if no end says more.

    Raises:
        MissingSimpleITK: naming what to install.
        ValueError: for another model, a negative number of restarts or no side.
    """
    _check(model, restarts, side)
    matrix, score = _search(moving, fixed, model, restarts, seed, side)
    return Registration(warp(moving, matrix, _size(fixed)), matrix, score)


class ImageSource(Protocol):
    """Images by view, as ``medvl.data.prepared.PreparedDataset`` gives them."""

    def image(self, view_id: str) -> Image:
        """The image (h, w); ``KeyError`` for a view that is not there."""


class RegisteredPriors:
    """Prior films, each registered once to the current film that asks for it.

    The first request costs about 0.1 s (rigid) or 0.15 s (affine) of one core, half of it at a side of 64. The maps stay in memory
    (48 bytes each), in every loading process for itself: keep the workers of a loader (``persistent_workers``), or register before.

    Args:
        images: where the films are.
        model, restarts, seed, side: see ``register``, whose errors it raises.
    """

    def __init__(
        self, images: ImageSource, *, model: RegistrationModel = "rigid", restarts: int = 4, seed: int = 0, side: int = SIDE
    ) -> None:
        simple_itk()
        _check(model, restarts, side)
        self.images, self.options = images, (model, restarts, seed, side)
        self._found: dict[tuple[str, str], Matrix] = {}

    def image(self, view_id: str, current_view_id: str) -> Image:
        """The image of ``view_id`` on the grid (H, W) of the current view's image.

        Raises:
            KeyError: if there is no image of one of the views.
        """
        moving, fixed = self.images.image(view_id), self.images.image(current_view_id)
        pair = (view_id, current_view_id)
        if pair not in self._found:
            self._found[pair], _ = _search(moving, fixed, *self.options)
        return warp(moving, self._found[pair], _size(fixed))


@cache
def simple_itk() -> Any:
    """The module SimpleITK, told to work on one thread: its sums depend on their order.

    Raises:
        MissingSimpleITK: naming what to install.
    """
    try:
        import SimpleITK
    except ImportError as error:
        raise MissingSimpleITK("registration needs SimpleITK: pip install 'medvl[registration]'") from error
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return SimpleITK


def _check(model: str, restarts: int, side: int) -> None:
    if model not in get_args(RegistrationModel) or restarts < 0 or side < 1:
        raise ValueError(f"registration is rigid or affine, with 0 or more restarts at a side of pixels: got {model!r}, {restarts}, {side}")


def _search(moving: Image, fixed: Image, model: RegistrationModel, restarts: int, seed: int, side: int) -> tuple[Matrix, float]:
    """The best map, in pixels of the images as given, and its score."""
    itk, draw = simple_itk(), np.random.default_rng(seed)
    if moving.min() == moving.max() or fixed.min() == fixed.max():
        return _matrix(_start(itk, moving, fixed, model, side), moving, fixed, side), 0.0
    films = _working(itk, fixed, side), _working(itk, moving, side)
    aligned, *turned = (_start(itk, moving, fixed, model, side, draw if number else None) for number in range(restarts + 1))
    best, score = type(aligned)(aligned), _climb(itk, *films, aligned, steps=0)
    ends = [(_climb(itk, *films, start, shrink=max(1, side // COARSE)), start) for start in (aligned, *turned)]
    reached = [end for end in ends if end[0] and _overlap(end[1], moving, fixed, side) >= MIN_OVERLAP]
    if reached:
        _, end = max(reached, key=lambda scored: scored[0])
        refined = _climb(itk, *films, end)
        if refined > score and _overlap(end, moving, fixed, side) >= MIN_OVERLAP:
            best, score = end, refined
    return _matrix(best, moving, fixed, side), score


def _climb(itk: Any, fixed: Any, moving: Any, transform: Any, *, shrink: int = 1, steps: int = STEPS) -> float:
    """Move a transform to a maximum of mutual information, which is returned; 0 if the films came apart."""
    method = itk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.NONE)  # every pixel
    method.SetInterpolator(itk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(STEP, LEAST_STEP, steps)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([shrink])
    method.SetSmoothingSigmasPerLevel([shrink if shrink > 1 else 0])
    method.SetInitialTransform(transform, inPlace=True)
    try:
        if steps == 0:
            return -float(method.MetricEvaluate(fixed, moving))
        method.Execute(fixed, moving)
    except RuntimeError:  # "all samples map outside moving image buffer"
        return 0.0
    return -float(method.GetMetricValue())


def _start(itk: Any, moving: Image, fixed: Image, model: RegistrationModel, side: int, draw: np.random.Generator | None = None) -> Any:
    """The centres aligned, then turned, moved and (``affine``) scaled at random if there is a ``draw``: fixed to moving, working pixels."""
    centre, target = (np.array(image.shape[::-1]) * side / min(image.shape) / 2 for image in (fixed, moving))
    turn, grow, shift = 0.0, 1.0, np.zeros(2)
    if draw is not None:
        turn, grow, shift = math.radians(draw.normal(0, TURN)), math.exp(draw.normal(0, SCALE)), draw.normal(0, SHIFT * side, 2)
    move = (target - centre + shift).tolist()
    if model == "rigid":
        return itk.Euler2DTransform(centre.tolist(), turn, move)
    cos, sin = grow * math.cos(turn), grow * math.sin(turn)
    return itk.AffineTransform([cos, -sin, sin, cos], move, centre.tolist())


def _working(itk: Any, image: Image, side: int) -> Any:
    """A film with a short side of ``side``, placed so that its physical points are working pixels with edges at whole numbers."""
    ratio = side / min(image.shape)
    rows, columns = (max(1, round(length * ratio)) for length in image.shape)
    shrinking = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    film = itk.GetImageFromArray(cv2.resize(image, (columns, rows), interpolation=shrinking).astype(np.float32))
    spacing = [image.shape[1] * ratio / columns, image.shape[0] * ratio / rows]
    film.SetSpacing(spacing)
    film.SetOrigin([length / 2 for length in spacing])
    return film


def _matrix(transform: Any, moving: Image, fixed: Image, side: int) -> Matrix:
    """A transform of working pixels as a map (2, 3) from the fixed image's pixels to the moving one's."""
    corner, right, down = (np.array(transform.TransformPoint(point)) for point in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
    size = min(moving.shape) / side
    step = side / min(fixed.shape)
    return np.column_stack([(right - corner) * step * size, (down - corner) * step * size, corner * size])


def _overlap(transform: Any, moving: Image, fixed: Image, side: int) -> float:
    """Share of the fixed image that the moving one covers, by a grid of points."""
    matrix, shares = _matrix(transform, moving, fixed, side), (np.arange(16) + 0.5) / 16
    x, y = (axis.ravel() for axis in np.meshgrid(shares * fixed.shape[1], shares * fixed.shape[0]))
    there = matrix @ np.stack([x, y, np.ones_like(x)])  # (2, points)
    return float(np.mean((there >= 0).all(axis=0) & (there[0] < moving.shape[1]) & (there[1] < moving.shape[0])))


def _size(image: Image) -> Size:
    return image.shape[0], image.shape[1]
