"""The one door for pixels: a DICOM, JPG or PNG file in, a radiograph out, float32 in [0, 1], bone bright.

Image pixels follow DICOM PS3.3 C.7.6.3; how they are to be seen, ``dicom_header``. Departures: a file without Modality is taken for a
radiograph, and pixels that are not square are resampled to the finer of the two spacings. Files come from anywhere, so sizes are checked
before anything is allocated, and whatever a parser or decoder raises becomes ``UnreadableRadiograph``. What leaves this file about a
header is free of identifiers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray

from medvl.data.dicom_file import MAX_BYTES, read_elements
from medvl.data.dicom_header import TAGS, aspect_of, is_inverted, modality_transform, padding_range, spacing_of, text, voi_transform
from medvl.data.dicom_pixels import stored_words
from medvl.data.intensity import Intensity, NotARadiograph, StoredImage, grey_levels
from medvl.data.quiet_parsing import quiet_parsing
from medvl.data.raster import is_raster, read_raster
from medvl.data.zip_parts import is_member_key, read_member
from medvl.geometry import Frame
from medvl.runtime.errors import UserError, did_you_mean

MAX_PIXELS = MAX_BYTES // 4  # 16 bits a pixel, twice over
MODALITIES = ("CR", "DX", "DR", "RG")


class UnreadableRadiograph(UserError):
    """A file that does not hold a radiograph that can be read: names the file and the cause."""

    def __init__(self, path: Path | str, cause: str) -> None:
        super().__init__(f"{path}: {cause}")
        self.path, self.cause = path, cause

    def __reduce__(self) -> tuple[type[UnreadableRadiograph], tuple[Path | str, str]]:
        return type(self), (self.path, self.cause)


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One film.

    Attributes:
        pixels: (H, W) in [0, 1], bone bright, padding black.
        frame: from the stored pixels to ``pixels``: the identity, or a stretch to square pixels.
        pixel_spacing: (row, column) distance in millimetres; at the detector where the header has no other.
        projection: the header's ViewPosition.
        bits: bits stored per pixel.
        photometric: ``MONOCHROME1`` or ``MONOCHROME2``, as stored.
        provenance: what was done to the stored values; nothing that identifies anyone.
    """

    pixels: NDArray[np.float32]
    frame: Frame
    pixel_spacing: tuple[float, float] | None
    projection: str | None
    bits: int
    photometric: str
    provenance: Mapping[str, str | bool]


def read_radiograph(path: Path | str, intensity: Intensity = "minmax") -> Radiograph:
    """Read a DICOM, JPG or PNG file, or an archive member's key (``zip_parts``).

    Args:
        path: the file; its content says which format it is, not its name.
        intensity: ``minmax`` maps the image's lowest and highest value to 0 and 1; ``percentile`` its 0.5th and 99.5th percentile;
            ``window`` applies the file's own VOI table or first window (``minmax`` where there is none); ``mimic_jpg`` makes the
            histogram-equalised 8-bit picture of the MIMIC-CXR-JPG release (a JPG is taken as one already).

    Raises:
        UserError: for another ``intensity``.
        UnreadableRadiograph: naming the file and the cause: absent, damaged, not a radiograph, in colour, several frames, more than
            ``MAX_PIXELS``, or compressed in a way that no installed decoder reads.
    """
    if intensity not in get_args(Intensity):
        raise UserError(f"there is no intensity {intensity!r}{did_you_mean(intensity, get_args(Intensity))}")
    try:
        with quiet_parsing():
            content = _content(path)
            return _from_raster(content, intensity) if is_raster(content) else _from_dicom(content, intensity)
    except NotARadiograph as refusal:
        raise UnreadableRadiograph(path, str(refusal)) from refusal
    except UserError as error:
        raise UnreadableRadiograph(path, str(error)) from error
    except Exception as error:  # parsers and decoders of hostile files raise anything; their messages may quote the header
        raise UnreadableRadiograph(path, f"the file is damaged or not a radiograph ({type(error).__name__})") from error


def _content(path: Path | str) -> bytes:
    if is_member_key(str(path)):
        return read_member(str(path), max_bytes=MAX_BYTES)
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise NotARadiograph(f"the file is larger than {MAX_BYTES >> 20} MiB")
            return file.read()
    except OSError as error:
        raise NotARadiograph(f"cannot be opened ({error.strerror})") from error


def _from_raster(content: bytes, intensity: Intensity) -> Radiograph:
    stored, name = read_raster(content, MAX_PIXELS)
    pixels = grey_levels(stored, intensity)
    frame = Frame.identity((pixels.shape[0], pixels.shape[1]))
    return Radiograph(pixels, frame, None, None, stored.bits, "MONOCHROME2", {"format": name, "intensity": intensity})


def _from_dicom(content: bytes, intensity: Intensity) -> Radiograph:
    ds = read_elements(BytesIO(content), TAGS, max_bytes=MAX_BYTES)
    _check(ds)
    words, decoder = stored_words(ds)
    photometric = str(ds.PhotometricInterpretation)
    provenance: dict[str, str | bool] = {"format": "dicom", "transfer_syntax": ds.file_meta.TransferSyntaxUID.name, "decoder": decoder}
    modality, provenance["modality"] = modality_transform(ds)
    voi, provenance["voi"] = voi_transform(ds) if intensity == "window" else (None, "not applied")
    provenance["intensity"] = "minmax" if intensity == "window" and voi is None else intensity
    inverted = is_inverted(ds)
    padding = padding_range(ds)
    stored = StoredImage(words, int(ds.BitsStored), bool(ds.PixelRepresentation), inverted, padding, modality, voi)
    pixels, frame, spacing = _square(grey_levels(stored, intensity), ds)
    provenance |= {"inverted": inverted, "padding": padding is not None, "resampled": frame.source != frame.target}
    return Radiograph(pixels, frame, spacing, text(ds.get("ViewPosition")), stored.bits, photometric, provenance)


def _check(ds: pydicom.Dataset) -> None:
    """Refuse what is not a single grey frame of a plausible size, before it is decoded."""
    modality, photometric = text(ds.get("Modality")), text(ds.get("PhotometricInterpretation"))
    rows, columns = int(ds.get("Rows") or 0), int(ds.get("Columns") or 0)
    allocated, bits = int(ds.get("BitsAllocated") or 0), int(ds.get("BitsStored") or 0)
    problems = {
        f"its modality is not a radiograph's (one of {', '.join(MODALITIES)})": modality is not None and modality not in MODALITIES,
        "it holds no pixel data": "PixelData" not in ds,
        "it holds several frames": int(ds.get("NumberOfFrames") or 1) != 1,
        "it is a colour picture, not a radiograph": photometric not in ("MONOCHROME1", "MONOCHROME2") or ds.get("SamplesPerPixel", 1) != 1,
        "it has no rows or no columns": rows < 1 or columns < 1,
        f"{columns}×{rows} pixels are more than the {MAX_PIXELS} that a radiograph may have": rows * columns > MAX_PIXELS,
        f"{bits} bits stored in {allocated} are not those of a radiograph": allocated not in (8, 16) or not 2 <= bits <= allocated,
        "its PixelRepresentation is neither 0 nor 1": ds.get("PixelRepresentation") not in (0, 1),
    }
    for problem, found in problems.items():
        if found:
            raise NotARadiograph(problem)


def _square(pixels: NDArray[np.float32], ds: pydicom.Dataset) -> tuple[NDArray[np.float32], Frame, tuple[float, float] | None]:
    """The image with square pixels, its frame and its spacing; pixels within 1 % of square are left alone."""
    spacing, (tall, wide) = spacing_of(ds), aspect_of(ds)
    frame = Frame.identity((pixels.shape[0], pixels.shape[1]))
    if abs(tall / wide - 1) < 0.01:
        return pixels, frame, spacing
    finer = min(tall, wide)
    height, width = round(pixels.shape[0] * tall / finer), round(pixels.shape[1] * wide / finer)
    if height * width > MAX_PIXELS:
        raise NotARadiograph(f"made square, its pixels are more than the {MAX_PIXELS} that a radiograph may have")
    pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    return pixels, frame.resized((height, width)), (finer, finer) if spacing else None
