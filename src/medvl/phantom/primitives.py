"""The few shapes that the phantom's body is made of, and the one map from the reference anatomy to a patient.

Coordinates are millimetres of the *reference anatomy*: origin at the carina in the mid-plane, x to the patient's left (the right of a
frontal film), y down, z towards the front. Every shape has a line integral in closed form or by sampling, so that a radiograph needs no
voxels. ``to_patient`` is the only place where a patient's size enters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medvl.phantom.facts import Patient

Points = NDArray[np.float64]  # (N, 3) millimetres


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """A solid ellipsoid: ``rotation`` (3, 3) turns its own axes into the body's, ``semi_axes`` (3,) are along its own."""

    center: NDArray[np.float64]
    semi_axes: NDArray[np.float64]
    rotation: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))


@dataclass(frozen=True, eq=False)
class Tube:
    """A round tube along a polyline: ``points`` (N, 3), ``radius`` in millimetres, ``attenuation`` added per millimetre of path."""

    points: Points
    radius: float
    attenuation: float


@dataclass(frozen=True, eq=False)
class Plate:
    """A thin flat thing: ``outline`` (N, 3) of a planar polygon; ``optical_depth`` is what a ray through it gains."""

    outline: Points
    optical_depth: float


def to_patient(points: ArrayLike, patient: Patient) -> Points:
    """Points (…, 3) of the reference anatomy in the patient's own millimetres, about the carina."""
    return np.asarray(points, np.float64) * np.asarray(patient.scale, np.float64)


def turn(axis: int, degrees: float) -> NDArray[np.float64]:
    """The rotation matrix (3, 3) about the x (0), y (1) or z (2) axis, right-handed."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix
