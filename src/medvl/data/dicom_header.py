"""What a DICOM header says of how its stored values are to be seen: modality and VOI transforms, inversion, padding, spacing.

DICOM PS3.3: C.11.1 (modality), C.11.2 (VOI), C.7.5.1.1.2 (padding), C.8.11.3 (digital X-ray image: PresentationLUTShape says once more
what PhotometricInterpretation says, so the latter alone is followed). Only ``TAGS`` are ever read. A value that cannot be a number is
taken as absent.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import pydicom

from medvl.data.intensity import NotARadiograph, Transform, lookup, window

TAGS = [
    "Modality", "ViewPosition", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames",
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData",
    "PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence",
    "PresentationLUTShape", "PresentationIntentType",
]  # fmt: skip

_log = logging.getLogger(__name__)


def modality_transform(ds: pydicom.Dataset) -> tuple[Transform | None, str]:
    """Stored value → modality value, by table or rescale, and which; ``None`` for the identity."""
    if ds.get("ModalityLUTSequence"):
        return _table(ds.ModalityLUTSequence[0], ds)[0], "table"
    slope, intercept = _number(ds.get("RescaleSlope")), _number(ds.get("RescaleIntercept"))
    if slope is None or intercept is None or (slope, intercept) == (1, 0):
        return None, "identity"
    return lambda x: x * slope + intercept, "rescale"


def voi_transform(ds: pydicom.Dataset) -> tuple[Transform | None, str]:
    """Modality value → [0, 1], by the first VOI table, else the first window, and which; ``None`` without a valid one."""
    if ds.get("VOILUTSequence"):
        table, full = _table(ds.VOILUTSequence[0], ds)
        return lambda x: table(x) / full, "table"
    center, width = _number(ds.get("WindowCenter")), _number(ds.get("WindowWidth"))
    function = (text(ds.get("VOILUTFunction")) or "LINEAR").upper()
    if center is None or width is None:
        return None, "absent"
    try:
        return window(center, width, function), f"window {function}"
    except ValueError:
        return None, "invalid"


def _table(item: pydicom.Dataset, ds: pydicom.Dataset) -> tuple[Transform, float]:
    """A lookup table and its highest possible entry; entries come as words, or as bytes of 8 or 16 bits each."""
    count, first, bits = (int(v) for v in item.LUTDescriptor)
    count = count & 0xFFFF or 1 << 16  # zero stands for 65536; a signed table may have read it as negative
    data = item.LUTData
    if isinstance(data, bytes):
        order = "<" if ds.original_encoding[1] else ">"
        entries = np.frombuffer(data, np.uint8 if len(data) < 2 * count else f"{order}u2")
    else:
        entries = np.atleast_1d(np.asarray(data)).astype(np.uint16)
    if len(entries) < count or not 1 <= bits <= 16:
        raise NotARadiograph("a lookup table in its header is cut short or malformed")
    return lookup(entries[:count], first), float((1 << bits) - 1)


def is_inverted(ds: pydicom.Dataset) -> bool:
    """Whether low values are white; a digital X-ray image (DX) says it twice, other images may turn it round with the shape."""
    low_is_white = ds.PhotometricInterpretation == "MONOCHROME1"
    shape_inverts = text(ds.get("PresentationLUTShape")) == "INVERSE"
    if ds.get("Modality") != "DX" and "PresentationIntentType" not in ds:
        return low_is_white != shape_inverts
    if "PresentationLUTShape" in ds and low_is_white != shape_inverts:
        _log.warning("a digital X-ray image's PresentationLUTShape disagrees with its PhotometricInterpretation; the latter is followed")
    return low_is_white


def padding_range(ds: pydicom.Dataset) -> tuple[int, int] | None:
    """The lowest and highest stored value that stand for "no image here"; ``None`` if none do."""
    value, limit = _number(ds.get("PixelPaddingValue")), _number(ds.get("PixelPaddingRangeLimit"))
    if value is None:
        return None
    limit = value if limit is None else limit
    return int(min(value, limit)), int(max(value, limit))


def spacing_of(ds: pydicom.Dataset) -> tuple[float, float] | None:
    """(row, column) distance in millimetres: PixelSpacing, else ImagerPixelSpacing at the detector."""
    return _pair(ds.get("PixelSpacing")) or _pair(ds.get("ImagerPixelSpacing"))


def aspect_of(ds: pydicom.Dataset) -> tuple[float, float]:
    """Height and width of a pixel, in any one unit."""
    return spacing_of(ds) or _pair(ds.get("PixelAspectRatio")) or (1.0, 1.0)


def _pair(value: Any) -> tuple[float, float] | None:
    """Two positive numbers, or nothing."""
    if value is None or isinstance(value, (str, float, int)) or len(value) != 2:
        return None
    first, second = _number(value[0]), _number(value[1])
    return (first, second) if first and second and first > 0 and second > 0 else None


def _number(value: Any) -> float | None:
    """A finite number, the first of several; ``None`` for anything else."""
    if isinstance(value, (list, pydicom.multival.MultiValue)):
        value = value[0] if len(value) else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def text(value: Any) -> str | None:
    """A header's value as text; ``None`` if absent or empty."""
    return str(value).strip() or None if value is not None else None
