"""The organs of one patient in reference coordinates: cage, body outline, heart, mediastinum, diaphragm, airway, stomach.

The tables were tuned by eye beside an adult PA film. Patients differ by smooth random curves on every table and by random shifts of
every ellipsoid, not only by their size. ``posed`` moves what breathes and beats: the diaphragm with inspiration, the heart with
cardiomegaly, the mediastinum's width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import pchip_interpolate
from scipy.special import expit

from medvl.phantom.draws import generator
from medvl.phantom.facts import Patient
from medvl.phantom.intervals import Section
from medvl.phantom.primitives import Ellipsoid, turn
from medvl.phantom.texture import wander

OneSide = Literal["left", "right"]
SIDES: tuple[OneSide, OneSide] = ("right", "left")
SIGN: dict[str, float] = {"right": -1.0, "left": 1.0}  # of x

Table = tuple[tuple[float, ...], tuple[float, ...]]  # y, value

CAGE_HALF_WIDTH: Table = (
    (-116, -114, -111, -105, -95, -80, -60, -35, 0, 40, 80, 115, 150, 185, 215),
    (2, 22, 42, 61, 79, 96, 110, 120, 129, 135, 139, 141, 140, 134, 122),
)
CAGE_HALF_DEPTH: Table = ((-116, -106, -95, -75, -45, -10, 40, 90, 150, 190, 215), (8, 26, 40, 56, 72, 84, 94, 99, 98, 90, 78))
CAGE_CENTER_Z: Table = ((-116, -80, -40, 10, 215), (-26, -15, -6, 0, 0))
APEX_CUT = ([-114, -112, -108, -102, -92, -80, -60, -35], [43, 37, 31, 26, 20, 14, 6, 0])  # y, medial border of the lung
CORE = ([-130, -100, -75, -45, -15, 40, 90, 215], [32, 27, 21, 20, 21, 22, 23, 24], [60, 60, 60, 61, 63, 70, 84, 90])
BODY_HALF_WIDTH: Table = ((-300, -172, -152, -135, -112, -80, -40, 0, 150, 300), (60, 70, 112, 154, 184, 192, 186, 178, 174, 174))
BODY_HALF_DEPTH: Table = ((-300, -180, -150, -120, -60, 0, 80, 260, 300), (66, 68, 80, 95, 107, 112, 116, 110, 110))
BODY_CENTER_Z: Table = ((-300, -200, -130, -50, 40, 300), (-24, -24, -16, -7, -4, -4))


@dataclass(frozen=True, eq=False)
class Thorax:
    """The organs of one patient, reference millimetres.

    Attributes:
        heart: left ventricle, right ventricle, right atrium, left atrium.
        vessels: aortic knob, descending aorta, pulmonary trunk, superior vena cava.
        domes: side → the diaphragm; only the upper half counts, with the cylinder below it.
        midline_dome: closes the diaphragm under the heart.
        stomach: the gas under the left dome.
        bowel: bubbles of gas in the left flexure of the colon.
        kyphosis: z of the vertebral bodies at ``spine_y``; ``scoliosis``: their x.
    """

    cage: Section
    body: Section
    core: Section
    heart: tuple[Ellipsoid, ...]
    vessels: tuple[Ellipsoid, ...]
    domes: dict[OneSide, Ellipsoid]
    midline_dome: Ellipsoid
    stomach: Ellipsoid
    bowel: tuple[Ellipsoid, ...]
    breasts: tuple[Ellipsoid, ...]
    arms: tuple[Ellipsoid, ...]
    trachea: NDArray[np.float64]
    bronchi: tuple[NDArray[np.float64], ...]
    spine_y: NDArray[np.float64]
    kyphosis: NDArray[np.float64]
    scoliosis: NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """What differs between two films of one patient.

    Attributes:
        descent: of the diaphragm, millimetres.
        raised: side → further elevation of that dome.
        heart: linear scale of the heart.
        widening: added to the half-width of the upper mediastinum.
    """

    descent: float = 0.0
    raised: tuple[float, float] = (0.0, 0.0)  # right, left
    heart: float = 1.0
    widening: float = 0.0


def build_thorax(patient: Patient) -> Thorax:
    """The organs of a patient at rest: a pure function of the patient's seed, sex, age and fat."""
    draw = generator(patient.seed, "thorax")
    y = np.concatenate([np.arange(-116.0, -100), np.arange(-100.0, 216, 5)])
    cage = Section(
        y,
        _smooth(CAGE_HALF_WIDTH, y) * (1 + wander(draw, y, 0.018, 70)),
        _smooth(CAGE_HALF_DEPTH, y) * (1 + wander(draw, y, 0.025, 70)),
        wander(draw, y, 1.2, 90),
        _smooth(CAGE_CENTER_Z, y),
        exponent=3,
    )
    spine_y = np.linspace(-200, 240, 45)
    scoliosis = wander(draw, spine_y, 2.2, 110)
    kyphosis = -58 - 13 * np.exp(-(((spine_y - 20) / 110) ** 2)) + wander(draw, spine_y, 1.5, 100)
    return Thorax(
        cage=cage,
        body=_body(patient, draw),
        core=_core(draw, scoliosis, spine_y),
        heart=_heart(draw, patient.age),
        vessels=_great_vessels(draw, patient.age),
        domes=_domes(draw),
        midline_dome=Ellipsoid(np.array([2.0, 190.0, 4.0]), np.array([72.0, 84.0, 104.0])),
        stomach=_stomach(draw),
        bowel=_bowel(generator(patient.seed, "bowel")),
        breasts=_breasts(patient, draw),
        arms=_arms(patient, draw),
        trachea=_trachea(draw),
        bronchi=(np.array([[4, -4, -16], [-14, 12, -18], [-34, 30, -18.0]]), np.array([[4, -4, -16], [20, 10, -18], [44, 27, -20.0]])),
        spine_y=spine_y,
        kyphosis=kyphosis,
        scoliosis=scoliosis,
    )


def posed(thorax: Thorax, pose: Pose) -> Thorax:
    """The same organs with the diaphragm, heart and mediastinum of one film."""
    domes = {side: _moved(dome, dy=pose.descent - raised) for (side, dome), raised in zip(thorax.domes.items(), pose.raised, strict=True)}
    upper = np.exp(-(((thorax.core.y + 55) / 45) ** 2))
    core = replace(thorax.core, half_width=thorax.core.half_width + pose.widening * upper)
    grow = pose.heart - 1
    heart = tuple(
        Ellipsoid(part.center + np.array([46 * grow, 14 * grow + 0.4 * pose.descent, 0]), part.semi_axes * (1 + w * grow), part.rotation)
        for part, w in zip(thorax.heart, (1.1, 1.0, 0.8, 0.9), strict=True)
    )
    knob, *rest = thorax.vessels
    knob = Ellipsoid(knob.center + np.array([0.5 * pose.widening, 0, 0]), knob.semi_axes * (1 + pose.widening / 60), knob.rotation)
    return replace(
        thorax,
        domes=domes,
        core=core,
        heart=heart,
        vessels=(knob, *rest),
        midline_dome=_moved(thorax.midline_dome, dy=0.7 * pose.descent),
        stomach=_moved(thorax.stomach, dy=pose.descent - pose.raised[1]),
        bowel=tuple(_moved(bubble, dy=pose.descent) for bubble in thorax.bowel),
    )


def _smooth(table: Table, y: NDArray[np.float64]) -> NDArray[np.float64]:
    """A table's value at each y (N,), without corners or overshoot."""
    return np.asarray(pchip_interpolate(*table, y), np.float64)


def _moved(shape: Ellipsoid, *, dx: float = 0.0, dy: float = 0.0) -> Ellipsoid:
    return Ellipsoid(shape.center + np.array([dx, dy, 0.0]), shape.semi_axes, shape.rotation)


def _ellipsoid(
    draw: np.random.Generator,
    center: tuple[float, float, float],
    axes: tuple[float, float, float],
    rotation: NDArray[np.float64] | None = None,
) -> Ellipsoid:
    """An ellipsoid with a patient's own shift (sd 2 mm) and size (sd 5 %)."""
    shape = np.array(axes) * (1 + 0.05 * draw.normal(size=3))
    return Ellipsoid(np.array(center) + draw.normal(0, 2.0, 3), shape, np.eye(3) if rotation is None else rotation)


def _body(patient: Patient, draw: np.random.Generator) -> Section:
    y = np.arange(-300.0, 301, 6)
    trunk = expit((y + 140) / 12)
    width = _smooth(BODY_HALF_WIDTH, y) * (1 + wander(draw, y, 0.012, 90)) + 0.6 * patient.fat * trunk
    depth = _smooth(BODY_HALF_DEPTH, y) * (1 + wander(draw, y, 0.012, 90)) + 0.5 * patient.fat * trunk
    return Section(y, width, depth, np.zeros_like(y), _smooth(BODY_CENTER_Z, y), exponent=3)


def _core(draw: np.random.Generator, scoliosis: NDArray[np.float64], spine_y: NDArray[np.float64]) -> Section:
    y = np.arange(-130.0, 216, 5)
    half_width = np.interp(y, CORE[0], CORE[1]) * (1 + 0.08 * draw.normal()) + wander(draw, y, 2.2, 32)
    center = np.interp(y, spine_y, scoliosis) * 0.7 + wander(draw, y, 2.0, 40)
    return Section(y, half_width, np.interp(y, CORE[0], CORE[2]), center, np.full_like(y, -12.0))


def _heart(draw: np.random.Generator, age: int) -> tuple[Ellipsoid, ...]:
    axis = turn(2, 38 + draw.normal(0, 5)) @ turn(1, -20)
    shift = draw.normal(0, 1, 3) * (4, 3, 3)
    size = 1 + 0.035 * draw.normal() + 0.0006 * (age - 50)
    parts = (
        _ellipsoid(draw, (25, 72, 26), (68, 47, 60), axis),
        _ellipsoid(draw, (8, 82, 34), (54, 42, 50)),
        _ellipsoid(draw, (-10, 60, 14), (35, 56, 52)),
        _ellipsoid(draw, (12, 44, -8), (40, 28, 34)),
    )
    return tuple(Ellipsoid(p.center + shift, p.semi_axes * size, p.rotation) for p in parts)


def _great_vessels(draw: np.random.Generator, age: int) -> tuple[Ellipsoid, ...]:
    knob = 15 + 4 * np.clip((age - 25) / 55, 0, 1.2) + draw.normal(0, 0.8)
    out = 0.05 * (age - 50)
    return (
        _ellipsoid(draw, (19 + out, -32, -6), (knob, knob * 1.15, knob * 2.5), turn(1, 20)),
        _ellipsoid(draw, (20 + out, 40, -52), (13, 110, 13), turn(2, -2 + draw.normal(0, 2))),
        _ellipsoid(draw, (26, 4, 10), (21, 29, 40), turn(2, -18)),
        _ellipsoid(draw, (-15, -40, 10), (12, 75, 14), turn(2, draw.normal(0, 3))),
    )


def _domes(draw: np.random.Generator) -> dict[OneSide, Ellipsoid]:
    both = draw.normal(0, 5)
    right, left = 98 + both + draw.normal(0, 3), 110 + both + draw.normal(0, 4)
    return {
        "right": Ellipsoid(np.array([-66 + draw.normal(0, 4), right + 82, -2]), np.array([86 + draw.normal(0, 3), 82, 104.0])),
        "left": Ellipsoid(np.array([70 + draw.normal(0, 4), left + 82, -2]), np.array([83 + draw.normal(0, 3), 82, 104.0])),
    }


def _stomach(draw: np.random.Generator) -> Ellipsoid:
    size = np.array([30.0, 18.0, 22.0]) * np.exp(np.clip(draw.normal(0, 0.25), -0.6, 0.3))
    return Ellipsoid(np.array([66 + draw.normal(0, 6), 122 + size[1] + draw.normal(0, 5), 0.0]), size)


def _bowel(draw: np.random.Generator) -> tuple[Ellipsoid, ...]:
    flexure = np.array([draw.uniform(88, 112), draw.uniform(172, 204), 20.0])
    bubbles = []
    for _ in range(int(draw.integers(0, 6))):
        axes = draw.uniform(5, 15, 3) * (1.2, 1.0, 0.6)
        bubbles.append(Ellipsoid(flexure + draw.normal(0, 11, 3), axes, turn(2, draw.uniform(-60, 60))))
    return tuple(bubbles)


def _breasts(patient: Patient, draw: np.random.Generator) -> tuple[Ellipsoid, ...]:
    if patient.sex != "F":
        return ()
    size = float(np.clip(30 + 0.9 * (patient.fat - 16) + draw.normal(0, 9), 14, 62))
    sag = 78 + 0.35 * size + draw.normal(0, 6)
    shape = np.array([62 + 0.2 * size, 50 + 0.3 * size, size])
    return tuple(Ellipsoid(np.array([side * (82 + draw.normal(0, 3)), sag + draw.normal(0, 3), 96.0]), shape) for side in (-1, 1))


def _arms(patient: Patient, draw: np.random.Generator) -> tuple[Ellipsoid, ...]:
    thick = 40 + 0.5 * patient.fat
    away = 218 + 0.6 * patient.fat + draw.normal(0, 5, 2)
    return tuple(
        Ellipsoid(np.array([side * x, 60.0, -14.0]), np.array([thick, 230.0, thick]), turn(2, -side * 5))
        for side, x in zip((-1, 1), away, strict=True)
    )


def _trachea(draw: np.random.Generator) -> NDArray[np.float64]:
    y = np.linspace(-200, -4, 40)
    low = np.clip((y + 60) / 56, 0, 1)
    return np.stack([4 * low + wander(draw, y, 1.5, 60) * (1 - low), y, -16 + 14 * np.clip(-y / 200, 0, 1)], axis=1)
