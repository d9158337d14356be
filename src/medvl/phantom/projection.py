"""The X-ray beam: where a point of the body falls on the film, and which ray reaches a pixel.

A point source, a flat detector behind the patient (AP), before the patient (PA) or at the patient's left (lateral). A ray is
parametrised by its depth d in the patient's millimetres along the beam axis, with d = 0 at the body's mid-plane, so that an interval
of d is a path length (the obliquity of the ray, below 1 %, is left out). Rays are given in *reference* coordinates: the patient's
size is divided out of them, and every shape stays as the reference anatomy describes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medvl.phantom.draws import generator
from medvl.phantom.facts import Acquisition, Patient
from medvl.phantom.primitives import Points

Image = NDArray[np.float32]

FIELD = {"PA": 342.0, "AP": 342.0, "LATERAL": 316.0}  # mm of the reference patient across a square film, at the mid-plane
CENTRE_BELOW_CARINA = 24.0
SOURCE_TO_DETECTOR = {"PA": 1830.0, "AP": 1100.0, "LATERAL": 1830.0}
BODY_TO_DETECTOR = {"PA": 150.0, "AP": 130.0, "LATERAL": 200.0}
AWAY_FROM_SOURCE = {"PA": 1.0, "AP": -1.0, "LATERAL": 1.0}  # sign of the depth towards the detector


@dataclass(frozen=True, eq=False)
class Rays:
    """Rays of a grid of (height, width): position at the mid-plane and its change per millimetre of depth, both (3, height·width)."""

    origin: NDArray[np.float32]
    slope: NDArray[np.float32]
    shape: tuple[int, int]

    @property
    def x(self) -> NDArray[np.float32]:
        """x at the mid-plane, flat."""
        return self.origin[0]

    @property
    def y(self) -> NDArray[np.float32]:
        """y at the mid-plane, flat."""
        return self.origin[1]

    def image(self, values: NDArray[np.float32]) -> Image:
        """Flat values per ray as an image."""
        return values.reshape(self.shape)


@dataclass(frozen=True, eq=False)
class Beam:
    """One exposure's geometry.

    Attributes:
        height, width: of the film, pixels.
        pixel: millimetres per pixel at the mid-plane.
        distance: from the source to the mid-plane.
        toward: +1 if greater depth is nearer the detector, else −1.
        angle: of the body about its long axis, degrees; −90 is the left lateral.
        tilt: of the film in its plane, degrees.
        centre: (horizontal, vertical) of the central ray at the mid-plane, patient's millimetres.
        scale: the patient's size, (x, y, z).
    """

    height: int
    width: int
    pixel: float
    distance: float
    toward: float
    angle: float
    tilt: float
    centre: tuple[float, float]
    scale: tuple[float, float, float]

    @property
    def is_lateral(self) -> bool:
        """Whether the beam goes from side to side."""
        return abs(self.angle) > 45

    @cached_property
    def _turn(self) -> NDArray[np.float64]:
        """(3, 3): body axes → (horizontal, vertical, depth)."""
        c, s = np.cos(np.radians(self.angle)), np.sin(np.radians(self.angle))
        return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])

    def project(self, points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Patient points (N, 3) → rows, columns (pixel edges at whole numbers) and magnification relative to the mid-plane."""
        horizontal, vertical, depth = self._turn @ points.T
        magnification = self.distance / (self.distance + self.toward * depth)
        u = (horizontal - self.centre[0]) * magnification
        v = (vertical - self.centre[1]) * magnification
        c, s = np.cos(np.radians(self.tilt)), np.sin(np.radians(self.tilt))
        columns = (u * c - v * s) / self.pixel + self.width / 2
        rows = (u * s + v * c) / self.pixel + self.height / 2
        return rows, columns, magnification

    def rays(self, shape: tuple[int, int]) -> Rays:
        """The rays through the pixel centres of a grid (height, width) stretched over the film."""
        v = ((np.arange(shape[0]) + 0.5) / shape[0] - 0.5) * self.height * self.pixel
        u = ((np.arange(shape[1]) + 0.5) / shape[1] - 0.5) * self.width * self.pixel
        c, s = np.cos(np.radians(self.tilt)), np.sin(np.radians(self.tilt))
        along_u = (u[None] * c + v[:, None] * s).ravel()
        along_v = (-u[None] * s + v[:, None] * c).ravel()
        back = (self._turn.T / np.asarray(self.scale)[:, None]).astype(np.float32)  # (horizontal, vertical, depth) → reference
        offset = (back[:, :2] @ np.asarray(self.centre, np.float32))[:, None]
        aside = np.einsum("ij,jn->in", back[:, :2], np.stack([along_u, along_v]).astype(np.float32))
        return Rays(aside + offset, aside * np.float32(self.toward / self.distance) + back[:, 2:], shape)


def beam_for(patient: Patient, acquisition: Acquisition, size: int) -> Beam:
    """The beam of one film whose short side is ``size`` pixels; the field follows the patient's size, as a technologist's does."""
    kind = acquisition.projection
    lateral = kind == "LATERAL"
    width = size if acquisition.aspect >= 1 else round(size / acquisition.aspect)
    height = round(size * acquisition.aspect) if acquisition.aspect >= 1 else size
    breadth = patient.scale[2] if lateral else patient.scale[0]
    field = FIELD[kind] * min(acquisition.aspect, 1 / acquisition.aspect) ** 0.35  # an oblong film loses on one side, wins on the other
    draw = generator(acquisition.seed, "position")
    return Beam(
        height=height,
        width=width,
        pixel=field * (0.4 + 0.3 * breadth + 0.3 * patient.scale[1]) / size,
        distance=SOURCE_TO_DETECTOR[kind] - BODY_TO_DETECTOR[kind],
        toward=AWAY_FROM_SOURCE[kind],
        angle=acquisition.rotation - (90.0 if lateral else 0.0),
        tilt=acquisition.tilt,
        centre=(float(draw.normal(0, 4)), CENTRE_BELOW_CARINA * patient.scale[1] + float(draw.normal(0, 6))),
        scale=patient.scale,
    )


def detector_spacing(beam: Beam, acquisition: Acquisition) -> float:
    """Millimetres per pixel at the detector."""
    return beam.pixel * SOURCE_TO_DETECTOR[acquisition.projection] / beam.distance
