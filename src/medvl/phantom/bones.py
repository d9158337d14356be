"""Ribs, clavicles, scapulae, humeri, spine and sternum as tubes of cortex around marrow, in optical depth above soft tissue.

A rib's height follows an S-curve: nearly level at the spine, half of its drop at the lateral wall. A uniform drop gives a barrel of
rings, which no chest has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medvl.phantom.anatomy import SIDES, SIGN, OneSide, Thorax
from medvl.phantom.draws import generator
from medvl.phantom.facts import Patient
from medvl.phantom.primitives import Plate, Points, to_patient
from medvl.phantom.splatting import Cloud, joined, resample, tube_cloud

CORTEX, MARROW = 0.075 - 0.020, 0.032 - 0.020  # attenuation per mm above soft tissue
CORTICAL_THICKNESS = 1.2
RIB_DROP = (38, 62, 80, 92, 102, 106, 106, 100, 96, 90, 60)
RIB_END = (72, 70, 66, 60, 52, 44, 36, 28, 17, -14, -34)  # degrees on the cage wall; 90 is the sternum
RIB_WEIGHT = (0.72, 0.72, 0.7, 0.64, 0.52, 0.38, 0.26)  # from the spine to the front, relative to compact bone
VERTEBRA = 24.0  # mm from one to the next


@dataclass(frozen=True, eq=False)
class Skeleton:
    """One patient's bones in the patient's millimetres; weights are optical depth per millimetre of arc.

    Attributes:
        ribs: (side, number from 1) → centre line (N, 3), reference millimetres, from the spine forwards.
        shoulders: projection → clavicles, scapulae and humeri (the scapulae leave the lungs in PA and lie over them in AP).
        blades: projection → the scapular blades.
    """

    ribs: dict[tuple[OneSide, int], Points]
    rib_cloud: dict[tuple[OneSide, int], Cloud]
    clavicles: dict[OneSide, Points]
    axial: Cloud
    shoulders: dict[str, Cloud]
    blades: dict[str, tuple[Plate, ...]]
    density: float


def build_skeleton(patient: Patient, thorax: Thorax) -> Skeleton:
    """The skeleton of a patient: a pure function of seed, age and size."""
    draw = generator(patient.seed, "bones")
    ribs = {(side, n): _rib(thorax, side, n, generator(patient.seed, "rib", n)) for side in SIDES for n in range(1, 12)}
    clavicles = {side: _clavicle(side, draw) for side in SIDES}
    density = float(np.clip(1.12 - 0.0045 * max(patient.age - 35, 0) + draw.normal(0, 0.08), 0.6, 1.3))
    collars = [_bone(patient, line, 6.0, 0.9) for line in clavicles.values()]
    shoulders = {kind: joined([*collars, *_shoulder(patient, kind)]) for kind in ("PA", "AP")}
    return Skeleton(
        ribs=ribs,
        rib_cloud={key: _rib_cloud(patient, line, key[1]) for key, line in ribs.items()},
        clavicles=clavicles,
        axial=joined([*_spine(patient, thorax), *_sternum(patient, thorax)]),
        shoulders=shoulders,
        blades={kind: tuple(_blade(patient, side, kind) for side in SIDES) for kind in ("PA", "AP")},
        density=density,
    )


def _bone(
    patient: Patient, line: Points, radius: float, weight: float | NDArray[np.float64], *, cortex: float = CORTICAL_THICKNESS
) -> Cloud:
    """A long bone: a cortical tube whose inside is marrow instead."""
    points = to_patient(resample(line, max(0.8, radius / 5)), patient)
    along = np.linspace(0, 1, len(points))
    share = np.interp(along, np.linspace(0, 1, np.size(weight)), np.atleast_1d(weight))
    outer = tube_cloud(points, radius, CORTEX * share)
    inner = tube_cloud(points, radius - cortex, (MARROW - CORTEX) * share)
    return joined([outer, inner])


def _rib(thorax: Thorax, side: OneSide, number: int, draw: np.random.Generator) -> Points:
    """The centre line of one rib, reference millimetres."""
    q = np.linspace(0, 1, 60)
    top = -106 + VERTEBRA * (number - 1) + draw.normal(0, 1.2)
    drop = RIB_DROP[number - 1] * (1 + 0.04 * draw.normal())
    rise = 7 * np.sin(np.pi * np.clip(q / 0.28, 0, 1))
    y = top - rise + drop * (0.55 * (3 * q**2 - 2 * q**3) + 0.45 * q**1.7)
    angle = np.radians(-80 + (RIB_END[number - 1] + 80 + draw.normal(0, 2)) * q)
    a, b, cx, cz = thorax.cage.at(np.maximum(y, -110))
    a, b = np.maximum(a - 1.0, 20), np.maximum(b - 1.0, 18)
    across = np.cos(angle)
    z = np.sign(angle) * b * np.cbrt(np.maximum(1 - across**3, 0))
    neck = np.exp(-q / 0.05)  # the head turns in to the vertebra
    x = SIGN[side] * (a * across * (1 - neck) + 17 * neck) + cx
    return np.stack([x, y, z * (1 - 0.18 * neck) + cz], axis=1)


def _rib_cloud(patient: Patient, line: Points, number: int) -> Cloud:
    density = 1.0 if number < 10 else 0.6
    return _rib_piece(patient, line, 6.2 + 0.5 * float(np.sin(number)), density * np.array(RIB_WEIGHT))


def _rib_piece(patient: Patient, line: Points, radius: float, weight: NDArray[np.float64]) -> Cloud:
    """A rib is flat: a hollow tube, with denser upper and lower borders."""
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    up = np.array([0.0, 1, 0]) - along[:, 1:2] * along
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    share = np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(weight)), weight)
    edges = [line + side * (radius - 0.5) * up for side in (-1, 1)]
    borders = [_border(patient, edge, share) for edge in edges]
    return joined([_bone(patient, line, radius, 0.85 * weight), *borders])


def _border(patient: Patient, edge: Points, share: NDArray[np.float64]) -> Cloud:
    points = to_patient(resample(edge, 1.0), patient)
    fine = np.interp(np.linspace(0, 1, len(points)), np.linspace(0, 1, len(share)), share)
    return tube_cloud(points, 0.8, 1.1 * CORTEX * fine)


def _clavicle(side: OneSide, draw: np.random.Generator) -> Points:
    t = np.linspace(0, 1, 40)
    lift = draw.normal(0, 7)
    x = 16 + 150 * t
    y = -70 - (34 + lift) * t - 6 * np.sin(2 * np.pi * t)
    z = 44 - 58 * t + 10 * np.sin(2 * np.pi * t)
    return np.stack([SIGN[side] * x, y, z], axis=1)


def _shoulder(patient: Patient, projection: str) -> list[Cloud]:
    """Scapular borders and spines, and the humeri."""
    inward = 0.86 if projection == "AP" else 1.0
    parts = []
    for side in SIDES:
        to_side = (SIGN[side] * inward, 1, 1)
        border = _blade_outline() * to_side
        spine = np.array([(120, -96, -84), (146, -112, -74), (172, -124, -50), (180, -124, -22)]) * to_side
        head = np.array([(182, -112, -20), (185, -102, -20), (196, -60, -18), (208, 10, -16)]) * (SIGN[side], 1, 1)
        parts += [_bone(patient, border[1:5], 3.6, 0.4), _bone(patient, border[5:], 2.2, 0.25)]
        parts += [_bone(patient, spine, 4.6, 0.4), _bone(patient, head, 19.0, np.array([0.5, 0.55, 0.6, 0.6]), cortex=2.0)]
    return parts


def _blade_outline() -> Points:
    x = (136, 172, 170, 162, 150, 140, 133, 132)
    y = (-106, -104, -70, -20, 24, 20, -40, -92)
    z = (-84, -62, -76, -88, -96, -100, -100, -92)
    return np.array([x, y, z], float).T


def _blade(patient: Patient, side: OneSide, projection: str) -> Plate:
    inward = 0.86 if projection == "AP" else 1.0
    return Plate(to_patient(_blade_outline() * (SIGN[side] * inward, 1, 1), patient), 1.6 * CORTEX)


def _spine(patient: Patient, thorax: Thorax) -> list[Cloud]:
    """Vertebral bodies with end plates, side walls, pedicles and processes."""
    column = np.stack([thorax.scoliosis, thorax.spine_y, thorax.kyphosis], axis=1)
    parts = [tube_cloud(to_patient(resample(column, 2.0), patient), 15.0, 0.6 * MARROW)]
    for middle in np.arange(-190.0, 230.0, VERTEBRA):
        here = np.array([np.interp(middle, thorax.spine_y, c) for c in (thorax.scoliosis, thorax.spine_y, thorax.kyphosis)])
        half = 13.0 + 4.0 * float(np.clip((middle + 110) / 300, 0, 1))
        parts += _vertebra(patient, here, half)
    return parts


def _vertebra(patient: Patient, here: NDArray[np.float64], half: float) -> Iterator[Cloud]:
    """One vertebra about ``here``, its body ``half`` wide on each side: shell, end plates, pedicles, processes."""

    def line(*points: tuple[float, float, float]) -> Points:
        return np.asarray(points) + here

    for angle in np.linspace(0, 2 * np.pi, 20, endpoint=False):
        x, z = half * np.cos(angle), 13 * np.sin(angle)
        wall = line((x, -9, z), (0.9 * x, 0, 0.9 * z), (x, 9, z))
        yield tube_cloud(to_patient(resample(wall, 1.0), patient), 1.2, CORTEX * 0.22)
    for side in (-1, 1):
        yield tube_cloud(to_patient(_ring(line((side * (half - 4), -3, -18))[0], 4.2), patient), 0.9, CORTEX)
        yield _bone(patient, line((side * (half + 14), -6, -30), (side * 12, -3, -20)), 2.8, 0.35)
        yield _end_plate(patient, line((0, side * 9.5, 0))[0], half)
    yield _bone(patient, line((0, 4, -28), (0, 17, -42)), 3.0, 0.5)


def _end_plate(patient: Patient, center: NDArray[np.float64], half: float) -> Cloud:
    """A thin cortical disk, as points that share out its volume."""
    x, z = (g.ravel() for g in np.meshgrid(np.linspace(-half, half, 24), np.linspace(-12, 12, 16)))
    inside = (x / half) ** 2 + (z / 12) ** 2 <= 1
    points = center + np.stack([x, 1.5 * (x / half) ** 2, z], axis=1)[inside]
    radius, thickness = 1.1, 0.3
    volume = np.pi * half * 12 * thickness / inside.sum()
    weight = np.full(len(points), volume / (np.pi * radius**2) * CORTEX)
    return Cloud(to_patient(points, patient), weight, np.full(len(points), radius))


def _ring(center: NDArray[np.float64], radius: float) -> Points:
    t = np.linspace(0, 2 * np.pi, 28)
    return center + np.stack([radius * np.cos(t), 1.35 * radius * np.sin(t), 0 * t], axis=1)


def _sternum(patient: Patient, thorax: Thorax) -> list[Cloud]:
    y = np.linspace(-84, 84, 40)
    front = np.interp(y, thorax.cage.y, thorax.cage.half_depth + thorax.cage.center_z) + 6
    width = np.interp(y, [-84, -50, -30, 84], [22, 14, 12, 13])
    return [_bone(patient, np.stack([s * width, y, front], axis=1), 5.0, 0.42) for s in (-1.0, -0.3, 0.3, 1.0)]


def fractured_rib(patient: Patient, line: Points, position: float, shift: float) -> Cloud:
    """A rib cut at ``position`` of its length; the front part sags by ``shift`` millimetres at the cut and rejoins its course."""
    cut = round(position * (len(line) - 1))
    sag = shift * np.linspace(1, 0, len(line) - cut) ** 0.7
    front = line[cut:] + sag[:, None] * (0, 1, 0)
    weight = np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(RIB_WEIGHT)), RIB_WEIGHT)
    return joined([_rib_piece(patient, line[:cut], 6.3, weight[:cut]), _rib_piece(patient, front, 6.3, weight[cut:])])
