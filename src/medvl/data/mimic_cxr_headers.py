"""What a MIMIC-CXR DICOM header says of its view and study, for when the JPG release's metadata table is not at hand.

The values are those of the metadata table (strings, ``None`` when empty), with the header's further facts beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from pydicom.config import disable_value_validation

from medvl.data.ages import parse_age
from medvl.data.dicom_file import read_elements
from medvl.data.quiet_parsing import quiet_parsing
from medvl.data.times import parse_time
from medvl.records import Sex, View

TAGS = [
    "ViewPosition", "Rows", "Columns", "BitsStored", "PixelSpacing", "ImagerPixelSpacing", "Manufacturer", "ManufacturerModelName",
    "StudyDate", "StudyTime", "PatientSex", "PatientAge", "PatientOrientationCodeSequence", "SpecificCharacterSet",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Header:
    """One file's header: its view, and what it says of the study."""

    view: View
    time: datetime | None = None
    sex: Sex | None = None
    age: float | None = None


def read_header(path: str, view_id: str) -> Header:
    """The header of one file; of a missing or damaged one nothing is known but its id and path (reading its pixels will say why)."""
    try:
        with open(path, "rb") as file, quiet_parsing(), disable_value_validation():
            return _header(read_elements(file, TAGS), path, view_id)
    except Exception:  # whatever pydicom's parser stumbles over, from struct.error to its own BytesLengthException
        return Header(View(view_id, path))


def _header(tags: Any, path: str, view_id: str) -> Header:
    spacing = tags.get("PixelSpacing") or tags.get("ImagerPixelSpacing")
    orientation = tags.get("PatientOrientationCodeSequence")
    view = View(
        view_id,
        path,
        projection=_text(tags.get("ViewPosition")),
        height=_positive(tags.get("Rows")),
        width=_positive(tags.get("Columns")),
        pixel_spacing=(float(spacing[0]), float(spacing[1])) if spacing and len(spacing) == 2 else None,
        bits=_positive(tags.get("BitsStored")),
        orientation=_text(orientation[0].get("CodeMeaning")) if orientation else None,
        device=_text(tags.get("ManufacturerModelName")) or _text(tags.get("Manufacturer")),
    )
    return Header(view, _time(tags), _sex(_text(tags.get("PatientSex"))), parse_age(_text(tags.get("PatientAge"))))


def _text(value: Any) -> str | None:
    return str(value).strip() or None if value is not None else None


def _positive(value: Any) -> int | None:
    return int(value) if value else None


def _time(tags: Any) -> datetime | None:
    """Unlike the table's floats, a header's time keeps its leading zeros and may lack its last digits."""
    whole, _, fraction = (_text(tags.get("StudyTime")) or "").partition(".")
    return parse_time(_text(tags.get("StudyDate")), f"{whole.ljust(6, '0')}.{fraction}")


def _sex(value: str | None) -> Sex | None:
    return next((sex for sex in get_args(Sex) if sex == value), None)
