"""The air of the lungs along each ray, and the layers of the pleural space that take their place.

Lung = cage ∩ its side − (heart, mediastinal core, great vessels, diaphragm). A pleural layer (fluid, free air, scar) is a ring between
the cage and a cage shrunk by the layer's thickness, so its meniscus, blunted angles or visceral line appear by themselves and its
length leaves the lung exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medvl.phantom.anatomy import APEX_CUT, SIGN, OneSide, Thorax
from medvl.phantom.intervals import (
    Interval,
    Values,
    beyond_plane,
    length_outside,
    through_dome,
    through_ellipsoid,
    through_section,
)
from medvl.phantom.projection import Rays
from medvl.phantom.texture import smoothstep

FADE_BELOW_EQUATOR = 26.0  # mm


class LungTracer:
    """Lengths of ray inside the lungs of one posed thorax; organs are met once and shared by every question.

    Attributes:
        heart: hull of the four chambers (they overlap in depth).
        core: mediastinal core.
        vessels: aortic knob, descending aorta, pulmonary trunk, superior vena cava.
        domes: side → diaphragm.
    """

    def __init__(self, rays: Rays, thorax: Thorax) -> None:
        self.rays = rays
        self.thorax = thorax
        first, *others = (through_ellipsoid(rays, part) for part in thorax.heart)
        for other in others:
            first = first.hull(other)
        self.heart = first
        self.core = through_section(rays, thorax.core)
        self.vessels = [through_ellipsoid(rays, vessel) for vessel in thorax.vessels]
        self.domes = {side: through_dome(rays, dome) for side, dome in thorax.domes.items()}
        self.midline_dome = through_dome(rays, thorax.midline_dome)
        self._cage = through_section(rays, thorax.cage)

    def hemithorax(self, side: OneSide, shrink: Values | float = 0.0) -> Interval:
        """The cage of one side, its walls moved inwards by ``shrink`` millimetres."""
        cage = self._cage if isinstance(shrink, float) and shrink == 0 else through_section(self.rays, self.thorax.cage, shrink)
        offset = np.interp(self.rays.y, APEX_CUT[0], APEX_CUT[1]).astype(np.float32)
        return cage.within(beyond_plane(self.rays, SIGN[side], offset))

    def length(self, side: OneSide, shrink: Values | float = 0.0, inside: Interval | None = None) -> Values:
        """Millimetres of lung along each ray, (N,); with ``inside``, only the part within that interval."""
        base = self.hemithorax(side, shrink)
        if inside is not None:
            base = base.within(inside)
        return length_outside(base, self._obstacles(side)) * self._fade(side)

    def _obstacles(self, side: OneSide) -> Sequence[Interval]:
        knob, descending, trunk, cava = self.vessels
        beside = [cava] if side == "right" else [knob, descending, trunk]
        return [self.heart, self.core, self.domes[side], self.midline_dome, *beside]

    def _fade(self, side: OneSide) -> Values:
        below = self.rays.y - np.float32(self.thorax.domes[side].center[1])
        return 1 - smoothstep(below / np.float32(FADE_BELOW_EQUATOR))
