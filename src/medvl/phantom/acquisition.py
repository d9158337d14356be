"""How the films of one visit are taken: projection, position, breath, exposure, and what the header will say.

Shares follow MIMIC-CXR where it publishes them (4 % of views without ViewPosition); the rest is ours. Maker names are invented. Disease
reaches a film in two ways, both as strong as the world's confounding: through the setting (``timeline.py``), and because the sick are
filmed where they lie (more AP) and breathe less deeply.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import numpy as np

from medvl.phantom.draws import generator, integer
from medvl.phantom.facts import Acquisition, Projection, Setting
from medvl.phantom.identifiers import view_id

T = TypeVar("T")

AP_SHARE: dict[Setting, float] = {"outpatient": 0.22, "emergency": 0.22, "icu": 0.75}
SICK_SHARE = 0.58  # of all visits; centres the two shifts below, so that they leave the totals as they are
AP_WHEN_SICK, BREATH_WHEN_SICK = 0.20, -0.40  # added in a fully confounded world
SECOND_FRONTAL = 0.07
LATERAL_AFTER_PA = 0.45
ERECT_AP: dict[Setting, float] = {"outpatient": 0.9, "emergency": 0.6, "icu": 0.25}
POSITION: dict[Projection, tuple[float, float, float, float]] = {  # sd of rotation and tilt, degrees; mean and sd of inspiration
    "PA": (2.0, 0.8, 0.25, 0.35),
    "AP": (3.2, 1.4, -0.25, 0.42),
    "LATERAL": (2.2, 0.9, 0.25, 0.35),
}
EXPOSURE_SD = 0.3  # of its logarithm
ASPECTS: dict[Projection, dict[float, float]] = {  # height ÷ width → share
    "PA": {1.2: 0.55, 1.0: 0.30, 0.83: 0.15},
    "AP": {0.83: 0.60, 1.0: 0.20, 1.2: 0.20},
    "LATERAL": {1.2: 0.70, 1.0: 0.30},
}
BITS_STORED = {12: 0.55, 14: 0.30, 15: 0.15}
TRANSFER_SYNTAXES = {"ExplicitVRLittleEndian": 0.70, "ImplicitVRLittleEndian": 0.12, "RLELossless": 0.08, "JPEG2000Lossless": 0.10}
MANUFACTURERS = {"Halden Imaging": 0.45, "Orsay Radiography": 0.35, "Kestrel Medical": 0.20}
MONOCHROME1, MARKED, VIEW_POSITION_MISSING = 0.25, 0.88, 0.04


def sample_acquisitions(
    seed: int, patient: int, visit: int, setting: Setting, *, sick: bool, confounding: float, lateral_only: bool
) -> tuple[Acquisition, ...]:
    """The films of one visit, frontal first: a pure function of its arguments."""
    draw = generator(seed, "films", patient, visit)
    tie = confounding * (sick - SICK_SHARE)
    frontal: Projection = "AP" if draw.random() < AP_SHARE[setting] + tie * AP_WHEN_SICK else "PA"
    projections: list[Projection] = ["LATERAL"] if lateral_only else [frontal]
    if not lateral_only and draw.random() < SECOND_FRONTAL:
        projections.append(frontal)
    if not lateral_only and frontal == "PA" and draw.random() < LATERAL_AFTER_PA:
        projections.append("LATERAL")
    erect = frontal == "PA" or lateral_only or bool(draw.random() < ERECT_AP[setting])
    maker = _choice(draw, MANUFACTURERS)
    return tuple(
        _film(
            draw,
            projection,
            tie * BREATH_WHEN_SICK,
            erect=erect,
            maker=maker,
            view=view_id(seed, patient, visit, film),
            seed=integer(seed, "film", patient, visit, film),
        )
        for film, projection in enumerate(projections)
    )


def _film(
    draw: np.random.Generator, projection: Projection, shallower: float, *, erect: bool, maker: str, view: str, seed: int
) -> Acquisition:
    rotation, tilt, breath, spread = POSITION[projection]
    markers: tuple[Literal["L", "R"], Literal["L", "R"]] = ("L", "R")
    return Acquisition(
        view_id=view,
        projection=projection,
        rotation=float(draw.normal(0, rotation)),
        tilt=float(draw.normal(0, tilt)),
        inspiration=float(np.clip(draw.normal(breath + shallower, spread), -1, 1)),
        exposure=float(np.exp(draw.normal(0, EXPOSURE_SD))),
        collimation=_collimation(draw),
        aspect=_choice(draw, ASPECTS[projection]),
        erect=erect,
        marker=markers[int(draw.integers(2))] if draw.random() < MARKED else None,
        photometric="MONOCHROME1" if draw.random() < MONOCHROME1 else "MONOCHROME2",
        bits_stored=_choice(draw, BITS_STORED),
        transfer_syntax=_choice(draw, TRANSFER_SYNTAXES),
        manufacturer=maker,
        view_position_missing=bool(draw.random() < VIEW_POSITION_MISSING),
        seed=seed,
    )


def _collimation(draw: np.random.Generator) -> tuple[float, float, float, float]:
    """Half of the borders are closed a little: up to 4 %."""
    top, right, bottom, left = (float(share) for share in draw.uniform(0, 0.04, 4) * (draw.random(4) < 0.5))
    return top, right, bottom, left


def _choice(draw: np.random.Generator, shares: dict[T, float]) -> T:
    return list(shares)[int(draw.choice(len(shares), p=list(shares.values())))]
