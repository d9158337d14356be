"""From optical depth to a film: scatter, quanta, logarithm, tone curve, shutter and lead marker.

Order of effects: Beer-Lambert, scatter, quantum noise, −log (the detector's values), then what the console does for display:
normalisation inside the body, local contrast, compression of the dynamic range, a sigmoid. The shutter and the side marker are as a
console delivers them: outside the collimator blades a film is set to the value of direct exposure (black on display), and the marker
is lead on the detector.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from medvl.phantom.draws import generator
from medvl.phantom.facts import Acquisition
from medvl.phantom.projection import Beam, Image
from medvl.phantom.texture import blurred, smoothstep

QUANTA = 60_000 / 0.82**2  # per mm² in air, for a well exposed frontal
LATERAL_DOSE = 12.0
SCATTER = {"PA": (0.20, 30.0), "AP": (0.28, 38.0), "LATERAL": (0.30, 34.0)}  # share, σ in mm
DETECTOR_BLUR = 0.45  # pixels
LEAD = 3.2  # optical depth of the side marker
SLOPE, MIDDLE = 4.3, 0.44  # of the tone curve
COMPRESSION = (np.float32(0.16), np.float32(0.55))  # of the dynamic range: frontal, lateral
LOCAL_CONTRAST = (np.float32(0.4), np.float32(0.7))


def detect(depth: Image, beam: Beam, acquisition: Acquisition, noise: float) -> Image:
    """Optical depth (H, W) → −log of the detector's signal, float32; ``noise`` multiplies the quantum noise's standard deviation."""
    share, reach = SCATTER[acquisition.projection]
    primary = np.exp(-depth)
    veil = blurred(primary, reach / beam.pixel)
    dense = 1 - np.exp(-blurred(depth, 12 / beam.pixel))  # little scatter is made in air
    signal = primary + np.float32(share) * veil * dense
    quanta = QUANTA * beam.pixel**2 * acquisition.exposure * (LATERAL_DOSE if acquisition.projection == "LATERAL" else 1.0)
    grain = generator(acquisition.seed, "quanta").standard_normal(signal.shape, dtype=np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), DETECTOR_BLUR)
    signal += grain * np.sqrt(signal * np.float32(noise**2 / quanta))
    return -np.log(np.maximum(signal, np.float32(1e-5)))


def display_range(attenuation: Image, body: NDArray[np.bool_], *, lateral: bool) -> tuple[float, float]:
    """Black and white of the console's picture, as percentiles inside the body (a lateral's belly is let burn out)."""
    inside = attenuation[::3, ::3][body[::3, ::3]]
    share = (4, 90) if lateral else (2, 99)
    low, high = np.percentile(inside if inside.size > 100 else attenuation, share)
    return float(low), float(max(high, low + 1e-3))


def tone(attenuation: Image, beam: Beam, limits: tuple[float, float]) -> Image:
    """Detector values (H, W) → display values in [0, 1], bone bright."""
    low, high = limits
    z = np.clip((attenuation - low) / (high - low), -0.35, 1.3)
    soft = blurred(z, 14 / beam.pixel)
    lateral = beam.is_lateral
    z = z + LOCAL_CONTRAST[lateral] * (z - soft) - COMPRESSION[lateral] * np.maximum(soft - np.float32(MIDDLE), np.float32(-0.15))
    ends = expit(SLOPE * (np.array([-0.12, 1.08]) - MIDDLE))
    curve = expit(np.float32(SLOPE) * (z - np.float32(MIDDLE)))
    return np.clip((curve - np.float32(ends[0])) / np.float32(ends[1] - ends[0]), 0, 1)


def shutter(beam: Beam, acquisition: Acquisition) -> Image:
    """1 inside the collimator blades, 0 outside, (H, W), with a penumbra of about a millimetre."""
    top, right, bottom, left = acquisition.collimation
    y, x = np.arange(beam.height, dtype=np.float32) + 0.5, np.arange(beam.width, dtype=np.float32) + 0.5
    penumbra = np.float32(max(1.2 / beam.pixel, 0.8))

    def open_between(position: NDArray[np.float32], low: float, high: float, extent: int) -> NDArray[np.float32]:
        rising = 1.0 if low <= 0 else smoothstep((position - low * extent) / penumbra + 0.5)
        falling = 1.0 if high <= 0 else smoothstep(((1 - high) * extent - position) / penumbra + 0.5)
        return np.asarray(rising * falling, np.float32) * np.ones_like(position)

    return open_between(y, top, bottom, beam.height)[:, None] * open_between(x, left, right, beam.width)[None]


def lead_marker(beam: Beam, acquisition: Acquisition) -> Image | None:
    """The optical depth of the side letter (and ``AP``, where it is one), (H, W); ``None`` without a marker."""
    if acquisition.marker is None:
        return None
    draw = generator(acquisition.seed, "marker")
    top, right, _, left = acquisition.collimation
    on_right = acquisition.marker == "L" and acquisition.projection != "LATERAL"
    margin = 0.035 + 0.05 * draw.random()
    x = (1 - right - margin - 0.06 if on_right else left + margin) * beam.width
    y = (top + 0.05 + 0.10 * draw.random() + 0.05) * beam.height
    canvas = np.zeros((beam.height, beam.width), np.uint8)
    tall = 13 / beam.pixel  # a letter of 13 mm
    _letters(canvas, acquisition.marker, x, y, tall)
    if acquisition.projection == "AP":
        _letters(canvas, "AP", x - 0.25 * tall, y + 0.9 * tall, 0.45 * tall)
    return canvas.astype(np.float32) * np.float32(LEAD / 255)


def _letters(canvas: NDArray[np.uint8], text: str, x: float, y: float, tall: float) -> None:
    """Write text with its base line's left end at (x, y), ``tall`` pixels high."""
    font, weight = cv2.FONT_HERSHEY_DUPLEX, max(1, round(tall / 9))
    scale = tall / cv2.getTextSize("L", font, 1.0, 1)[0][1]
    cv2.putText(canvas, text, (round(x), round(y)), font, scale, (255,), weight, cv2.LINE_AA)
