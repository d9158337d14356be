"""A DICOM file's chosen elements, with a bound on what a deflated file may take: pydicom inflates one whole before it can be looked at."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from io import BytesIO
from typing import BinaryIO

import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medvl.data.intensity import NotARadiograph

MAX_BYTES = 1 << 28  # of a file, as stored or inflated
PREAMBLE = 128  # bytes, followed by DICM


def read_elements(file: BinaryIO, names: Collection[str], *, max_bytes: int = MAX_BYTES) -> FileDataset:
    """The named elements of the DICOM file that begins where ``file`` begins.

    Args:
        file: seekable; unless it is deflated, the values of other elements are passed over.
        names: keywords of the elements to read; without ``PixelData``, reading ends before the pixels.
        max_bytes: to inflate.

    Raises:
        NotARadiograph: if it is no DICOM file, or a deflated one that is cut short or inflates beyond ``max_bytes``.
        Exception: pydicom's own, if it is damaged.
    """
    if file.read(PREAMBLE + 4)[PREAMBLE:] != b"DICM":
        raise NotARadiograph("it is neither a DICOM nor a JPG or PNG file")
    meta = _file_meta(file)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        file.seek(0)
        return pydicom.dcmread(file, stop_before_pixels="PixelData" not in names, specific_tags=list(names))
    inflated = BytesIO(_inflated(file.read(), max_bytes))
    elements = read_dataset(inflated, is_implicit_VR=False, is_little_endian=True, specific_tags=[Tag(name) for name in names])
    ds = FileDataset(inflated, elements, file_meta=meta, is_implicit_VR=False)
    ds.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    return ds


def _file_meta(file: BinaryIO) -> FileMetaDataset:
    """The file meta group; leaves ``file`` where the next group begins, as the group's length element may be wrong or absent.

    Raises:
        NotImplementedError: if its value representations are unknown; pydicom would read it again in implicit VR, against PS3.10 7.1.
    """
    meta = FileMetaDataset(read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2))
    for tag in list(meta.keys())[:1]:
        meta[tag]
    return meta


def _inflated(deflated: bytes, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(deflated, max_bytes)
    if not inflater.eof:
        raise NotARadiograph(f"it inflates to more than {max_bytes >> 20} MiB" if len(inflated) == max_bytes else "it is cut short")
    return inflated
