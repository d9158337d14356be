"""What a compressed frame says of its own size: read, and refused if it is wrong, before a decoder allocates anything.

A frame is known by its first bytes, as its decoders know it: JPEG and JPEG-LS markers (ITU-T T.81 B.2.2, T.87 C.2.2), a JPEG 2000
codestream (T.800 A.5.1) bare or in the boxes of a file (T.800 I.4). RLE (DICOM PS3.5 Annex G) states no size, so its runs are added up.
"""

from __future__ import annotations

import struct
from itertools import pairwise

from medvl.data.intensity import NotARadiograph

JPEG_START = b"\xff\xd8"
JPEG_FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # SOF of JPEG and, F7, of JPEG-LS
JPEG_STANDALONE_MARKERS = {0x01, *range(0xD0, 0xD9)}
J2K_START = b"\xff\x4f\xff\x51"
JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
RLE_HEADER = 64  # bytes


def check_codestream(frame: bytes, rows: int, columns: int) -> None:
    """Refuse a JPEG, JPEG-LS or JPEG 2000 frame unless it states one component of the header's size.

    Raises:
        NotARadiograph: if it states another size, none, or several components.
    """
    stated = stated_shape(frame)
    if stated is None:
        raise NotARadiograph("its compressed pixels do not state their size")
    height, width, components = stated
    if (height, width) != (rows, columns):
        raise NotARadiograph(f"its compressed pixels are {width}×{height}, its header says {columns}×{rows}")
    if components != 1:
        raise NotARadiograph("its compressed pixels are coloured, its header says grey")


def stated_shape(frame: bytes) -> tuple[int, int, int] | None:
    """(height, width, components) of a JPEG, JPEG-LS or JPEG 2000 frame; ``None`` if it is none of them or cut short."""
    if frame.startswith(JPEG_START):
        return _jpeg_shape(frame)
    start = _codestream_start(frame)
    if not frame.startswith(J2K_START, start) or len(frame) < start + 42:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
    return bottom - top, right - left, struct.unpack_from(">H", frame, start + 40)[0]


def _jpeg_shape(frame: bytes) -> tuple[int, int, int] | None:
    """Follow the marker segments, not their contents, to the first frame header."""
    position = len(JPEG_START)
    while position + 10 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker in JPEG_FRAME_MARKERS:
            height, width, components = struct.unpack_from(">HHB", frame, position + 5)
            return height, width, components
        if marker == 0xFF:
            position += 1
        elif marker in JPEG_STANDALONE_MARKERS:
            position += 2
        else:
            position += 2 + struct.unpack_from(">H", frame, position + 2)[0]
    return None


def _codestream_start(frame: bytes) -> int:
    """Where a JPEG 2000 codestream begins: at once, or in the file's codestream box; past the end if there is none."""
    position = 0
    if not frame.startswith(JP2_SIGNATURE):
        return position
    while position + 16 <= len(frame):
        length, kind, long_length = struct.unpack_from(">I4sQ", frame, position)
        header = 16 if length == 1 else 8
        if kind == b"jp2c":
            return position + header
        position += max(long_length if length == 1 else length or len(frame), header)
    return len(frame)


def check_rle(frame: bytes, pixels: int) -> None:
    """Refuse an RLE frame of which a segment unpacks to fewer bytes than the image has pixels, or to more than twice as many.

    Writers pad the end of a segment, so somewhat longer is allowed.

    Raises:
        NotARadiograph: for such a segment, or a header that is cut short or does not fit the frame.
    """
    if len(frame) < RLE_HEADER:
        raise NotARadiograph("its RLE header is cut short")
    count, *offsets = struct.unpack_from("<16I", frame)
    starts = [*offsets[:count], len(frame)]
    if not 1 <= count <= len(offsets) or starts[0] < RLE_HEADER or starts != sorted(starts):
        raise NotARadiograph("its RLE header does not fit its pixel data")
    if any(not pixels <= _unpacked_length(frame, *ends, 2 * pixels) <= 2 * pixels for ends in pairwise(starts)):
        raise NotARadiograph("its RLE pixel data is not of the size that its header says")


def _unpacked_length(frame: bytes, start: int, stop: int, most: int) -> int:
    """The bytes that the runs of a segment give; counting ends beyond ``most``."""
    length = 0
    while start < stop and length <= most:
        code = frame[start]
        if code < 128:  # so many bytes and one more, as they are
            run, start = min(code + 1, stop - start - 1), start + code + 2
        elif code > 128:  # one byte, repeated
            run, start = (257 - code if start + 1 < stop else 0), start + 2
        else:
            run, start = 0, start + 1
        length += run
    return length
