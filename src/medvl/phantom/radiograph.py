"""A radiograph of the simulated patient: organs, vessels, bones and devices along each ray, then the physics of a film.

No voxels: every organ is a shape with a line integral, so any size and any view is drawn from the same body. The soft parts are traced
on a coarse grid (``tissue``), tubes are splatted at full size, and what belongs to the patient alone (trees, bones, textures) is kept
between that patient's films.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from medvl.phantom import findings, physics
from medvl.phantom.anatomy import SIDES, SIGN, OneSide, Thorax, build_thorax, posed
from medvl.phantom.bones import Skeleton, build_skeleton, fractured_rib
from medvl.phantom.devices import device_parts
from medvl.phantom.draws import generator
from medvl.phantom.facts import Acquisition, Patient, Visit
from medvl.phantom.primitives import Plate, Points, Tube, to_patient
from medvl.phantom.projection import Beam, Image, beam_for, detector_spacing
from medvl.phantom.regions import lesion_masks, organ_masks
from medvl.phantom.splatting import Cloud, joined, plate_depth, resample, splat, tube_cloud, tubes_depth
from medvl.phantom.texture import cloudy, stretched
from medvl.phantom.tissue import AERATED, SOFT, Tissue, TissueTracer
from medvl.phantom.vessels import points_in_lung, vessel_cloud

COARSE = 256  # rays along the short side, up to which the soft parts are traced at full size
PATIENTS_KEPT = 6
VESSEL_CONTRAST = 1.6  # vessels stand out more on film than soft tissue in air alone would
PLEURAL_LINE = 0.07  # optical depth per mm: pleura seen edge on


@dataclass(frozen=True, eq=False)
class Film:
    """One radiograph.

    Attributes:
        attenuation: (H, W) −log of the detector's signal, bone bright; outside the collimator the value of direct exposure.
        display: (H, W) in [0, 1], bone bright, after the tone curve, shutter and marker.
        window: (center, width) in units of ``attenuation`` that shows it best.
        pixel_spacing: (row, column) millimetres at the detector.
        masks: structure → (H, W). Organs: ``lung_left lung_right heart aortic_arch mediastinum trachea carina spine clavicle_left
            clavicle_right hemidiaphragm_left hemidiaphragm_right``; each finding's ``lesion_id``; each device's ``device_id``.
    """

    attenuation: Image
    display: Image
    window: tuple[float, float]
    pixel_spacing: tuple[float, float]
    masks: dict[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class _Body:
    """What a patient's films share."""

    thorax: Thorax
    skeleton: Skeleton
    vessels: dict[OneSide, Cloud]
    candidates: dict[OneSide, Points]
    textures: dict[str, Image]


def render(patient: Patient, visit: Visit, acquisition: Acquisition, size: int, *, noise: float = 1.0) -> Film:
    """Draw one film of a visit.

    Args:
        size: pixels of the short side; the long side follows ``acquisition.aspect``.
        noise: multiplies the quantum noise's standard deviation.

    Returns:
        A ``Film``; a pure function of the arguments.

    Raises:
        ValueError: if ``size`` is below 32.
    """
    if size < 32:
        raise ValueError(f"a film needs at least 32 pixels along its short side, got {size}")
    body = _body(patient, 0.6 if size <= 640 else 0.25)
    beam = beam_for(patient, acquisition, size)
    thorax = posed(body.thorax, findings.pose_for(visit, acquisition))
    tissue = _tissue(body, beam, patient, visit, acquisition, thorax)
    soft = stretched(tissue.depth, (beam.height, beam.width))
    devices = dict(_devices(beam, patient, visit))

    depth = soft + _vessels(body, beam, patient, visit, acquisition, tissue) - _airway(beam, patient, thorax)
    depth += _bones(body, beam, patient, visit, acquisition)
    for device in devices.values():
        depth += device
    marker = physics.lead_marker(beam, acquisition)
    if marker is not None:
        depth += marker

    attenuation = physics.detect(np.maximum(depth, 0), beam, acquisition, noise)
    opened = physics.shutter(beam, acquisition)
    inside_body = (soft > 0.25) & (opened > 0.5)
    low, high = physics.display_range(attenuation, inside_body, lateral=beam.is_lateral)
    display = physics.tone(attenuation, beam, (low, high)) * opened
    direct = np.float32(min(float(attenuation.min()), low))
    attenuation = direct + (attenuation - direct) * opened
    spacing = detector_spacing(beam, acquisition)
    masks = organ_masks(beam, patient, thorax, body.skeleton, tissue)
    masks |= lesion_masks(beam, patient, visit, body.skeleton, tissue, masks)
    masks |= {device_id: values > 0.02 for device_id, values in devices.items()}
    return Film(attenuation, display, ((low + high) / 2, high - low), (spacing, spacing), masks)


@lru_cache(maxsize=PATIENTS_KEPT)
def _body(patient: Patient, spacing: float) -> _Body:
    thorax = build_thorax(patient)
    draw = generator(patient.seed, "texture")
    return _Body(
        thorax=thorax,
        skeleton=build_skeleton(patient, thorax),
        vessels=vessel_cloud(patient, thorax, spacing),
        candidates={side: points_in_lung(thorax, side, generator(patient.seed, "candidates", side)) for side in SIDES},
        textures={
            "body": cloudy(draw, 256, 2.6),
            "lung": cloudy(draw, 256, 2.0, skip=6),
            "patchy": cloudy(draw, 256, 3.0, skip=4),
            "bone": cloudy(draw, 256, 1.6, skip=3),
        },
    )


def _tissue(body: _Body, beam: Beam, patient: Patient, visit: Visit, acquisition: Acquisition, thorax: Thorax) -> Tissue:
    short = min(beam.height, beam.width)
    share = min(1.0, max(COARSE, short // 4) / short)
    rays = beam.rays((round(beam.height * share), round(beam.width * share)))
    return TissueTracer(rays, patient, visit, acquisition, thorax, body.textures).trace(body.candidates)


def _vessels(body: _Body, beam: Beam, patient: Patient, visit: Visit, acquisition: Acquisition, tissue: Tissue) -> Image:
    """The optical depth of the vessels, which fade where the lung thins out or fills."""
    edema = findings.edema_of(visit)
    swollen = 1.0 if edema is None else 1 + 0.3 * edema.severity
    layers = findings.pleural_layers(visit, acquisition)
    depth = np.zeros((beam.height, beam.width), np.float32)
    for side, cloud in body.vessels.items():
        points = cloud.points
        for layer in layers:
            if layer.side == side:
                points = findings.collapsed(points, layer, patient.scale)
        path = splat(beam, Cloud(points, cloud.weight, cloud.radius * swollen))
        air = tissue.lung[side] * tissue.aeration[side] ** 1.5
        depth += _visceral_lines(beam, patient, body.thorax, layers, side) / np.float32(VESSEL_CONTRAST * AERATED)
        depth += path * stretched(np.clip((air - 30) / np.float32(80), 0, 1), depth.shape)
    return depth * np.float32((1.0 if beam.is_lateral else VESSEL_CONTRAST) * AERATED)


def _visceral_lines(beam: Beam, patient: Patient, thorax: Thorax, layers: list[findings.PleuralLayer], side: OneSide) -> Image:
    """The thin bright edge of a lung that free air has drawn off the chest wall, on frontal films."""
    tubes = []
    for layer in layers:
        if layer.kind == "air" and layer.side == side and not beam.is_lateral:
            y = np.linspace(-112, 150, 160)
            half_width, _, center, _ = thorax.cage.at(y)
            gap = layer.thickness_at(y)
            across = half_width - gap
            line = np.stack([center + SIGN[side] * across, y, 0 * y], axis=1)[(across > 22) & (gap > 2.5)]
            if len(line) > 2:
                tubes.append(Tube(to_patient(line, patient), 0.6, PLEURAL_LINE))
    return tubes_depth(beam, tubes)


def _airway(beam: Beam, patient: Patient, thorax: Thorax) -> Image:
    """The optical depth that the air of the trachea and main bronchi takes away."""
    air = SOFT * (0.8 if beam.is_lateral else 1.5)  # deepened on a frontal, whose tone curve hides the trachea otherwise
    parts = [(thorax.trachea, 9.0, air), *((line, 6.2, 0.55 * air) for line in thorax.bronchi)]
    clouds = [tube_cloud(to_patient(resample(line, 1.0), patient), radius, weight) for line, radius, weight in parts]
    return splat(beam, joined(clouds))


def _bones(body: _Body, beam: Beam, patient: Patient, visit: Visit, acquisition: Acquisition) -> Image:
    skeleton = body.skeleton
    broken = {(f.side, f.rib): f for f in findings.fractures(visit)}
    clouds = [
        fractured_rib(patient, skeleton.ribs[key], broken[key].position, broken[key].shift) if key in broken else cloud
        for key, cloud in skeleton.rib_cloud.items()
    ]
    clouds.append(skeleton.axial.weighted(1.5 if beam.is_lateral else 1.0))  # seen through less of the body
    plates: tuple[Plate, ...] = ()
    if acquisition.projection != "LATERAL":
        clouds.append(skeleton.shoulders[acquisition.projection])
        plates = skeleton.blades[acquisition.projection]
    depth = splat(beam, joined(clouds), ladder=1.08, coarse_radius=5.0)
    for plate in plates:
        depth += plate_depth(beam, plate, 1.2)
    grain = 1 + np.float32(0.10) * stretched(body.textures["bone"], depth.shape)
    return depth * grain * np.float32(skeleton.density)


def _devices(beam: Beam, patient: Patient, visit: Visit) -> Iterator[tuple[str, Image]]:
    """The optical depth of each device on its own."""
    for device in visit.devices:
        tubes, plates = [], []
        for part in device_parts(device, patient):
            if isinstance(part, Tube):
                tubes.append(Tube(to_patient(part.points, patient), part.radius, part.attenuation))
            else:
                plates.append(Plate(to_patient(part.outline, patient), part.optical_depth))
        depth = tubes_depth(beam, tubes)
        for plate in plates:
            depth += plate_depth(beam, plate)
        yield device.device_id, depth
