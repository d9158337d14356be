"""The soft parts of a film: optical depth of body, lungs and what fills them, on a coarse grid of rays.

Borders of organs are one or two millimetres soft in life, so this part is computed on a grid of at most about 1.5 mm and enlarged;
vessels, bones and devices are drawn at full size by ``splatting``. Attenuations are for an effective 65 keV.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import expit

from medvl.phantom import findings
from medvl.phantom.anatomy import SIDES, SIGN, OneSide, Thorax
from medvl.phantom.facts import Acquisition, Patient, Visit
from medvl.phantom.intervals import Interval, Values, through_ellipsoid, through_section
from medvl.phantom.lungs import LungTracer
from medvl.phantom.primitives import Points
from medvl.phantom.projection import Image, Rays
from medvl.phantom.texture import stretched

SOFT, FAT, LUNG = 0.0200, 0.0178, 0.0048  # attenuation per mm
AERATED = SOFT - LUNG


@dataclass(eq=False)
class Tissue:
    """What the coarse rays know, images (h, w).

    Attributes:
        depth: optical depth of the soft parts.
        lung: side → millimetres of lung.
        aeration: side → share of that lung that is still air, 0 to 1.
        lesions: lesion → how strongly it changes the film: millimetres of its material along each ray.
        organs: organ → millimetres along each ray.
    """

    depth: Image
    lung: dict[OneSide, Image]
    aeration: dict[OneSide, Image]
    lesions: dict[str, Image] = field(default_factory=dict)
    organs: dict[str, Image] = field(default_factory=dict)


class TissueTracer:
    """Traces one film's rays through a posed thorax with its findings; ``trace`` is the only question."""

    def __init__(
        self, rays: Rays, patient: Patient, visit: Visit, acquisition: Acquisition, thorax: Thorax, textures: dict[str, Image]
    ) -> None:
        self.rays, self.patient, self.visit, self.acquisition, self.thorax = rays, patient, visit, acquisition, thorax
        self.lateral = acquisition.projection == "LATERAL"
        self.noise = {name: stretched(textures[name], rays.shape).ravel() for name in ("body", "lung", "patchy")}
        self.lungs = LungTracer(rays, thorax)
        self.lesions: dict[str, Values] = {}

    def trace(self, candidates: dict[OneSide, Points]) -> Tissue:
        """The tissue of this film; ``candidates`` are points in each lung for the lesions' centres."""
        depth = self._body()
        opacities = list(findings.opacities(self.visit, self.thorax, candidates))
        lung: dict[OneSide, Values] = {}
        aeration: dict[OneSide, Values] = {}
        for side in SIDES:
            lung[side], shrink, freed = self._pleura(side)
            filled = self._fill(side, lung[side], shrink, opacities)
            density = 1 + np.float32(0.025) * self.noise["lung"]
            depth -= (AERATED * lung[side] - AERATED * filled) * density + SOFT * freed
            aeration[side] = (1 - filled / np.maximum(lung[side], 1)).astype(np.float32, copy=False)
        depth -= SOFT * self._belly_gas()
        image = self.rays.image
        return Tissue(
            depth=image(np.maximum(depth, 0)),
            lung={side: image(values) for side, values in lung.items()},
            aeration={side: image(values) for side, values in aeration.items()},
            lesions={name: image(values) for name, values in self.lesions.items()},
            organs=self._organs(),
        )

    def _body(self) -> Values:
        """Soft tissue under a layer of fat, with its texture; breasts included."""
        outline, fat = self.thorax.body, self.patient.fat
        if self.lateral:  # the arms are raised
            shoulders = expit(-(outline.y + 75) / 12)
            outline = replace(outline, half_width=outline.half_width * (1 - 0.36 * shoulders))
        body = through_section(self.rays, outline)
        lean = replace(outline, half_width=outline.half_width - fat, half_depth=outline.half_depth - 0.8 * fat)
        inner = through_section(self.rays, lean)
        depth = SOFT * inner.length + FAT * (body.length - inner.length)
        depth *= 1 + np.float32(0.012) * self.noise["body"]
        for part in (*self.thorax.breasts, *(() if self.lateral else self.thorax.arms)):
            chord = through_ellipsoid(self.rays, part)
            depth += np.float32((SOFT + FAT) / 2) * (chord.length - chord.within(body).length)
        return depth

    def _pleura(self, side: OneSide) -> tuple[Values, Values | float, Values]:
        """The lung left by the pleural layers, what the cage is shrunk by, and the free air."""
        lung = self.lungs.length(side)
        free = np.zeros_like(lung)
        total: Values | float = 0.0
        for layer in findings.pleural_layers(self.visit, self.acquisition):
            if layer.side != side:
                continue
            total = total + layer.thickness(self.rays, lateral=self.lateral)
            left = self.lungs.length(side, total)
            ring = np.maximum(lung - left, 0)
            if layer.kind == "air":
                free += ring
            # fluid shows where it outweighs the lung before and behind it; air and scar only outside the visceral line
            alone = ring / np.maximum(ring + left, 1) if layer.kind == "fluid" else np.clip(1 - left / np.float32(30), 0, 1)
            self._record(layer.lesion_id, ring * alone)
            lung = left
        return lung, total, free

    def _fill(self, side: OneSide, lung: Values, shrink: Values | float, opacities: list[findings.Opacity]) -> Values:
        """Millimetres of this lung that are filled with soft tissue or fluid."""
        filled = np.zeros_like(lung)
        for opacity in opacities:
            if opacity.side != side:
                continue
            inside = through_ellipsoid(self.rays, opacity.shape)
            length = self.lungs.length(side, shrink, inside) * np.float32(opacity.fill)
            if opacity.ragged:
                length = length * self._ragged(inside)
            self._record(opacity.lesion_id, length)
            filled += length
        for layer in findings.pleural_layers(self.visit, self.acquisition):
            if layer.side == side:
                filled += np.float32(layer.compression) * lung
        edema = findings.edema_of(self.visit)
        if edema is not None:
            weight = findings.edema_weight(self.rays, self.noise["patchy"], side, lateral=self.lateral)
            wet = lung * weight * np.float32(0.07 + 0.5 * edema.severity)
            self._record(edema.lesion_id, lung * findings.edema_weight(self.rays, np.float32(0), side, lateral=self.lateral))
            filled += wet
        return np.minimum(filled, np.float32(0.95) * lung)

    def _ragged(self, inside: Interval) -> Values:
        """A border broken by noise: deep in the shape 1, at its rim patchy."""
        length = inside.length
        profile = length / max(float(length.max()), 1.0)
        return expit(7 * (profile - np.float32(0.42)) + np.float32(1.6) * self.noise["patchy"])

    def _record(self, lesion_id: str, values: Values) -> None:
        self.lesions[lesion_id] = self.lesions.get(lesion_id, np.zeros_like(values)) + values

    def _belly_gas(self) -> Values:
        """Gas under the left dome, flat on its fluid when the patient stands, and in the colon."""
        gas = through_ellipsoid(self.rays, self.thorax.stomach).length
        if self.acquisition.erect:
            level = float(self.thorax.stomach.center[1] + 0.3 * self.thorax.stomach.semi_axes[1])
            gas = gas * expit((np.float32(level) - self.rays.y) / np.float32(1.2))
        for bubble in self.thorax.bowel:
            gas = np.maximum(gas, through_ellipsoid(self.rays, bubble).length)
        return gas

    def _organs(self) -> dict[str, Image]:
        """Millimetres of the organs that have masks."""
        lungs, rays = self.lungs, self.rays
        knob, _, trunk, cava = lungs.vessels
        above = (rays.y > -108) & (rays.y < 120)
        middle = lungs.core.length
        for part in (lungs.heart, knob, trunk, cava):
            middle = np.maximum(middle, part.length)
        floor = max(float(dome.center[1] - dome.semi_axes[1]) for dome in self.thorax.domes.values())
        fields = {"heart": lungs.heart.length * (rays.y < floor + 22), "aortic_arch": knob.length, "mediastinum": middle * above}
        for side in SIDES:
            dome = self.thorax.domes[side]
            top = dome.center[1] - dome.semi_axes[1]
            lateral_enough = np.ones_like(rays.x, bool) if self.lateral else SIGN[side] * rays.x > 16
            band = (rays.y < top + 42) & lateral_enough
            fields[f"hemidiaphragm_{side}"] = lungs.domes[side].within(lungs.hemithorax(side)).length * band
        return {name: rays.image(values) for name, values in fields.items()}
