"""Findings as geometry: what each lesion does to the organs, the pleural space, the lung's density and the ribs.

A lesion's place and shape follow from its own seed, so that they are the same on every film of the patient; its severity (0 barely
visible, 1 gross) sets extent and density, always growing with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medvl.phantom.anatomy import SIDES, SIGN, OneSide, Pose, Thorax
from medvl.phantom.draws import generator
from medvl.phantom.facts import Acquisition, Finding, Visit, Zone
from medvl.phantom.intervals import Values
from medvl.phantom.primitives import Ellipsoid, Points, turn
from medvl.phantom.projection import Rays
from medvl.phantom.texture import smoothstep
from medvl.phantom.vessels import HILUM

ZONE_HEIGHT: dict[Zone | None, tuple[float, float]] = {  # y of a lesion's centre, from … to
    "apical": (-98, -76), "upper": (-72, -34), "mid": (-14, 34), "lower": (46, 92), "basal": (74, 118),
    "perihilar": (-12, 36), None: (-60, 90),
}  # fmt: skip
ZONE_RIBS: dict[Zone | None, tuple[int, int]] = {
    "apical": (2, 3), "upper": (3, 4), "mid": (5, 7), "perihilar": (5, 7), "lower": (7, 9), "basal": (8, 9), None: (4, 8),
}  # fmt: skip


@dataclass(frozen=True)
class PleuralLayer:
    """Fluid, free air or scar between the chest wall and one lung."""

    lesion_id: str
    side: OneSide
    kind: Literal["fluid", "air", "scar"]
    severity: float
    seed: int
    zone: Zone | None
    erect: bool

    def thickness(self, rays: Rays, *, lateral: bool) -> Values:
        """Millimetres along each ray's height, (N,); none near the midline of a frontal, where a hard edge would appear."""
        values = self.thickness_at(rays.y)
        if lateral:
            return values.astype(np.float32)
        ramp = smoothstep((SIGN[self.side] * rays.x - 10) / np.float32(32))
        return (values * ramp).astype(np.float32)

    def thickness_at(self, y: NDArray[np.floating]) -> NDArray[np.floating]:
        """Millimetres at each height y (N,), away from the midline."""
        if self.kind == "air":
            return (7 + 48 * self.severity) * np.exp(-(np.maximum((y + 112) / (62 + 170 * self.severity), 0) ** 1.6))
        if self.kind == "scar":
            return (2.5 + 8.5 * self.severity) * np.exp(-(((y - self._height()) / (26 + 26 * self.severity)) ** 2))
        level = 150 - 180 * self.severity
        if self.erect:
            return 26 * np.exp(np.minimum(y - level, 0) / 20) + 1.5 * np.maximum(y - level, 0)
        # half lying, fluid has no level: a veil around the lung that thickens towards the base
        return 3 + 9 * self.severity + 24 * np.exp(np.minimum(y - level, 0) / 46) + 0.8 * np.maximum(y - level, 0)

    @property
    def compression(self) -> float:
        """Share of the lung's air that the layer presses out."""
        return {"air": 0.5 * self.severity**1.5, "fluid": 0.2 * self.severity, "scar": 0.0}[self.kind]

    def _height(self) -> float:
        low, high = ZONE_HEIGHT[self.zone]
        return low + (high - low) * float(generator(self.seed, "height").random())


@dataclass(frozen=True, eq=False)
class Opacity:
    """A body of denser lung: ``fill`` is its density from lung (0) to soft tissue (1) and above; ``ragged`` breaks its border."""

    lesion_id: str
    side: OneSide
    shape: Ellipsoid
    fill: float
    ragged: bool


@dataclass(frozen=True)
class Fracture:
    """A rib cut at ``position`` of its length, the front part displaced by ``shift`` millimetres."""

    lesion_id: str
    side: OneSide
    rib: int
    position: float
    shift: float


def sides_of(finding: Finding) -> tuple[OneSide, ...]:
    """The sides that a finding is on; none for a midline finding."""
    if finding.side is None:
        return ()
    return SIDES if finding.side == "bilateral" else (finding.side,)


def pose_for(visit: Visit, acquisition: Acquisition) -> Pose:
    """The diaphragm, heart and mediastinum of one film."""
    heart, mediastinum = (
        max((f.severity for f in visit.findings if f.name == name), default=None) for name in ("cardiomegaly", "enlarged_mediastinum")
    )
    raised = [
        max((4 + 24 * f.severity for f in visit.findings if f.name == "atelectasis" and side in sides_of(f)), default=0.0) for side in SIDES
    ]
    return Pose(
        descent=6 * acquisition.inspiration - (10 if acquisition.projection == "AP" else 0),
        raised=(raised[0], raised[1]),
        heart=(1.0 if heart is None else 1.04 + 0.37 * heart) * (1.0 if acquisition.erect else 1.03),
        widening=0.0 if mediastinum is None else 6 + 24 * mediastinum,
    )


def pleural_layers(visit: Visit, acquisition: Acquisition) -> list[PleuralLayer]:
    """The layers of both pleural spaces from outside inwards."""
    kinds: dict[str, Literal["fluid", "air", "scar"]] = {"pleural_thickening": "scar", "pleural_effusion": "fluid", "pneumothorax": "air"}
    return [
        PleuralLayer(f.lesion_id, side, kinds[name], f.severity, f.seed, f.zone, acquisition.erect)
        for name in kinds
        for f in visit.findings
        if f.name == name
        for side in sides_of(f)
    ]


def opacities(visit: Visit, thorax: Thorax, candidates: dict[OneSide, Points]) -> Iterator[Opacity]:
    """Consolidations, nodules and plates of atelectasis; ``candidates`` are points in each lung for their centres."""
    for finding in visit.findings:
        for side in sides_of(finding):
            draw = generator(finding.seed, "shape", side)
            place = _above_dome(_place(finding.zone, candidates[side], draw, SIGN[side]), thorax.domes[side])
            if finding.name == "consolidation":
                yield from _consolidation(finding, side, place, draw)
            elif finding.name == "nodule":
                radius = 5 + 12 * finding.severity
                shape = Ellipsoid(place, radius * (1 + 0.1 * draw.normal(size=3)))
                yield Opacity(finding.lesion_id, side, shape, 1.15 + 0.5 * finding.severity, False)
            elif finding.name == "atelectasis":
                yield from _plates(finding, side, thorax, draw)


def edema_of(visit: Visit) -> Finding | None:
    """The edema of a visit, if any."""
    return next((f for f in visit.findings if f.name == "edema"), None)


def edema_weight(rays: Rays, noise: Values | np.float32, side: OneSide, *, lateral: bool) -> Values:
    """The bat wing: how much of the lung along each ray fills, (N,), up to about 1; more towards the base."""
    along = np.abs(rays.origin[2]) if lateral else np.abs(SIGN[side] * rays.x - 44)
    wing = np.exp(-((along / np.float32(42)) ** 2) / 2 - (((rays.y - 22) / np.float32(60)) ** 2) / 2)
    gravity = 0.22 * smoothstep((rays.y + 40) / np.float32(150))
    return ((wing + gravity) * np.clip(1 + 0.3 * noise, 0.2, 2)).astype(np.float32)


def fractures(visit: Visit) -> Iterator[Fracture]:
    """The broken ribs of a visit."""
    for finding in visit.findings:
        if finding.name == "fracture":
            for side in sides_of(finding):
                draw = generator(finding.seed, "rib", side)
                low, high = ZONE_RIBS[finding.zone]
                rib = int(draw.integers(low, high + 1))
                yield Fracture(finding.lesion_id, side, rib, float(draw.uniform(0.3, 0.58)), 3 + 7 * finding.severity)


def collapsed(points: Points, layer: PleuralLayer, scale: tuple[float, float, float]) -> Points:
    """Vessel points (N, 3) drawn towards the hilum with a lung that free air or fluid pushes in."""
    hilum = np.array(HILUM[layer.side]) * scale
    give = {"air": 0.08 + 0.5 * layer.severity, "fluid": 0.15 * layer.severity, "scar": 0.0}[layer.kind]
    return hilum + (points - hilum) * (1 - give * np.array([1.0, 0.6, 1.0]))


def _place(zone: Zone | None, candidates: Points, draw: np.random.Generator, sign: float) -> Points:
    """A point of the lung in a zone, away from its surface where there is a choice."""
    low, high = ZONE_HEIGHT[zone]
    inner = zone == "perihilar"
    wanted = np.array([sign * (draw.uniform(34, 56) if inner else draw.uniform(58, 102)), draw.uniform(low, high), draw.uniform(-50, 50)])
    in_zone = candidates[(candidates[:, 1] > low - 6) & (candidates[:, 1] < high + 6)]
    pool = in_zone if len(in_zone) else candidates
    return pool[((pool - wanted) ** 2).sum(1).argmin()]


def _above_dome(place: Points, dome: Ellipsoid) -> Points:
    """The place, lifted to 10 mm above the diaphragm if the diaphragm of this film has risen over it."""
    x, y, z = (place - dome.center) / dome.semi_axes
    if x**2 + z**2 >= 1 or y > 0.5:
        return place
    surface = dome.center[1] - dome.semi_axes[1] * np.sqrt(1 - x**2 - z**2)
    return np.array([place[0], min(place[1], surface - 10.0), place[2]])


def _consolidation(finding: Finding, side: OneSide, place: Points, draw: np.random.Generator) -> Iterator[Opacity]:
    """Three overlapping ragged bodies, the first the largest."""
    reach = 19 + 42 * finding.severity
    for share in (1.0, 0.7, 0.55):
        offset = np.zeros(3) if share == 1 else draw.normal(0, 0.5, 3)
        size = share * np.exp(draw.normal(0, 0.16, 3)) * (1.1, 1.0, 1.1)
        rotation = turn(2, draw.uniform(-40, 40)) @ turn(1, draw.uniform(-40, 40))
        shape = Ellipsoid(place + reach * offset, reach * size, rotation)
        yield Opacity(finding.lesion_id, side, shape, share * (0.34 + 0.56 * finding.severity), True)


def _plates(finding: Finding, side: OneSide, thorax: Thorax, draw: np.random.Generator) -> Iterator[Opacity]:
    """Bands of collapsed lung above the raised dome (or at their zone's height), nearly level."""
    dome = thorax.domes[side]
    top = float(dome.center[1] - dome.semi_axes[1])
    height = min(top - 7, float(np.mean(ZONE_HEIGHT[finding.zone])))
    places = [(draw.uniform(56, 84), draw.uniform(-20, 20), draw.normal(0, 12), draw.uniform(0.8, 1.25)) for _ in range(3)]
    for level in range(1 + int(2.9 * finding.severity)):
        x, z, lean, reach = places[level]
        center = np.array([SIGN[side] * x, height - 13.0 * level, z])
        half = np.array([(26 + 22 * finding.severity) * reach, 2.2 + 5.5 * finding.severity, 34.0])
        yield Opacity(finding.lesion_id, side, Ellipsoid(center, half, turn(2, lean)), 0.5 + 0.4 * finding.severity, True)
