"""Invented files in every layout that a reader opens, and ways to damage them.

The files are a small phantom cohort, loose and packed, and its first film once more in other transfer syntaxes and under other headers.
Damage comes in three kinds: of bytes (any file), of words and lines (text), of header values (DICOM).
"""

from __future__ import annotations

import gzip
import io
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from medvl.phantom.cohort import make_cohort

SECRET = "INVENTED^PATIENT"  # stands in every DICOM header; no message may quote it

Damage = Callable[[bytes, random.Random], bytes]

WORDS = [b"", b"-1", b"0", b"1e308", b"-1e308", b"1e999", b"nan", b"NaN", b"inf", b"9" * 400, b"null", b"true", b"[]", b"{}", b'""', b"\0"]
WORDS += [
    b"__proto__",
    "žluťoučký 影".encode(),
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"x" * 70_000,
    b"../../../etc/x",
    b"%s%n",
    b"=1+1",
    b",",
    b'"',
]
LINES = [b"", b",,,,", b'"', b"[" * 50_000, b"{" * 50_000, b'{"a":' * 3_000, b"x," * 20_000, b"\0" * 100, b" FINDINGS: ", b"\xef\xbb\xbf"]
LINES += [b'<!DOCTYPE l [<!ENTITY a "aaaa">' + b"".join(b'<!ENTITY b%d "%s">' % (i, b"&a;" * 50) for i in range(9)) + b"]>", b"<a>" * 9_000]

HEADER_VALUES: dict[str, list[bytes]] = {
    "Rows": [b"\0\0", b"\1\0", b"\xff\xff", b"\0\x20", b""],
    "Columns": [b"\0\0", b"\1\0", b"\xff\xff", b"\0\x20", b"\1"],
    "BitsAllocated": [b"\0\0", b"\1\0", b"\x08\0", b"\x20\0", b"\xff\xff", b""],
    "BitsStored": [b"\0\0", b"\1\0", b"\x08\0", b"\x10\0", b"\xff\xff", b""],
    "HighBit": [b"\0\0", b"\x0f\0", b"\xff\xff", b""],
    "PixelRepresentation": [b"\1\0", b"\2\0", b"\xff\xff", b""],
    "SamplesPerPixel": [b"\0\0", b"\3\0", b"\xff\xff", b""],
    "PlanarConfiguration": [b"\1\0", b"\xff\xff"],
    "NumberOfFrames": [b"0", b"2", b"-1", b"99999999999999", b"x", b"1\\2", b""],
    "PhotometricInterpretation": [b"MONOCHROME1", b"RGB", b"PALETTE COLOR", b"YBR_FULL_422", b"x", b""],
    "Modality": [b"MR", b"CT", b"", b"\xff\xff", b"DX\\CR"],
    "WindowCenter": [b"nan", b"1e400", b"", b"x", b"10\\20\\30", b"-1e308"],
    "WindowWidth": [b"0", b"-5", b"1", b"nan", b"inf", b"", b"0.5", b"1e-320", b"1\\2"],
    "VOILUTFunction": [b"SIGMOID", b"LINEAR_EXACT", b"x", b""],
    "RescaleSlope": [b"0", b"nan", b"inf", b"-1e308", b"1e308", b"x", b""],
    "RescaleIntercept": [b"nan", b"-inf", b"1e308", b"x", b""],
    "PixelSpacing": [b"0\\0", b"1\\1000000", b"1e-300\\1e300", b"x\\y", b"1", b"-1\\1", b"nan\\1", b"1\\2", b""],
    "ImagerPixelSpacing": [b"0\\0", b"1\\5000", b"1\\3", b"x\\y", b"1", b"inf\\inf", b""],
    "PixelAspectRatio": [b"0\\1", b"1\\2", b"1\\60000", b"-1\\1", b"x"],
    "PixelPaddingValue": [b"\0\0", b"\xff\xff", b"", b"\1"],
    "PixelPaddingRangeLimit": [b"\0\0", b"\xff\xff", b""],
    "PresentationLUTShape": [b"INVERSE", b"IDENTITY", b"x"],
    "ModalityLUTSequence": [b"", b"\xfe\xff\0\xe0\0\0\0\0", b"\xfe\xff\0\xe0\xff\xff\xff\xff", b"\0" * 9],
    "VOILUTSequence": [b"", b"\xfe\xff\0\xe0\0\0\0\0", b"\xfe\xff\0\xe0\xff\xff\xff\xff" * 5_000, b"x"],
    "StudyDate": [b"99999999", b"00000000", b"x", b""],
    "StudyTime": [b"999999.999999", b"x", b"-1"],
    "PatientAge": [b"xxxY", b"-01Y", b"Y", b"999W"],
}


def make_files(folder: Path) -> None:
    """The undamaged files: ``folder/loose``, ``folder/packed``, and ``folder/films`` for further DICOM files."""
    layouts = ("mimic_cxr", "ms_cxr", "ms_cxr_t", "chexmask", "radnli", "padchest_gr", "open_i")
    for name in ("loose", "packed"):
        chosen = layouts if name == "loose" else ("mimic_cxr", "padchest_gr")
        make_cohort(
            folder / name, patients=6, size=64, layouts=chosen, image_format="both", workers=1, packed=name == "packed", progress=False
        )
    (folder / "films").mkdir()
    first = min(folder.glob("loose/mimic-cxr/**/*.dcm"))
    for syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEG2000Lossless, JPEGLSLossless):
        film = pydicom.dcmread(first)
        film.set_pixel_data(np.ascontiguousarray(film.pixel_array), film.PhotometricInterpretation, film.BitsStored)
        if syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless):
            film.compress(syntax)
        film.file_meta.TransferSyntaxUID = syntax
        film.save_as(folder / "films" / f"{syntax.keyword}.dcm", implicit_vr=syntax.is_implicit_VR, little_endian=True)
    _write_signed(first, folder / "films" / "signed.dcm")
    for path in folder.rglob("*.dcm"):
        film = pydicom.dcmread(path)
        film.PatientName = SECRET
        film.save_as(path)


def damaged(content: bytes, name: str, draw: random.Random) -> bytes:
    """The content of a file of that name after one to three blows of the kinds that suit it."""
    if name.endswith(".gz") and draw.random() < 0.7:
        return gzip.compress(damaged(gzip.decompress(content), name.removesuffix(".gz"), draw), mtime=0)
    if name.endswith(".zip") and draw.random() < 0.7:
        return _damaged_member(content, draw)
    kinds: list[Damage] = [_damaged_bytes]
    if name.endswith((".csv", ".json", ".jsonl", ".xml", ".txt")):
        kinds += [_damaged_words, _damaged_words, _damaged_lines]
    for _ in range(draw.choice((1, 1, 2, 3))):
        content = draw.choice(kinds)(content, draw)
    return content


def damaged_header(content: bytes, draw: random.Random) -> bytes:
    """The DICOM file with one to three header values replaced or taken away."""
    film = pydicom.dcmread(io.BytesIO(content))
    if draw.random() < 0.05:
        film.Rows = film.Columns = 8192  # as many pixels as a film may have, and far more than there are
    for _ in range(draw.choice((1, 1, 2, 3))):
        keyword = draw.choice(list(HEADER_VALUES))
        if draw.random() < 0.15:
            film.pop(keyword, None)
        else:  # written as bytes of unknown meaning, which a reader takes for the numbers that they ought to be
            value = draw.choice(HEADER_VALUES[keyword])
            film[keyword] = DataElement(keyword, "OB", value + b" " * (len(value) % 2))
            film[keyword].VR = "UN"
    changed = io.BytesIO()
    film.save_as(changed)
    return changed.getvalue()


def _write_signed(source: Path, target: Path) -> None:
    """A film of signed values under a rescale, a window, a VOI table and a padding value."""
    film = pydicom.dcmread(source)
    film.set_pixel_data(film.pixel_array.astype(np.int16) - 500, "MONOCHROME2", 16)
    film.RescaleSlope, film.RescaleIntercept, film.WindowCenter, film.WindowWidth = "2", "-100", "300", "800"
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 16], np.arange(0, 1 << 16, 256).astype(np.uint16).tobytes()
    film.VOILUTSequence = [table]
    film.add_new("PixelPaddingValue", "SS", -500)
    film.save_as(target)


def _damaged_member(content: bytes, draw: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = draw.choice(list(members))
    members[name] = damaged(members[name], name, draw)
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for member, inner in members.items():
            archive.writestr(zipfile.ZipInfo(member), inner, zipfile.ZIP_DEFLATED)
    return changed.getvalue()


def _damaged_bytes(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content) + 1) if draw.random() < 0.5 else draw.randrange(min(len(content), 1024) + 1)
    end = min(len(content), start + draw.choice((1, 2, 4, 16, 256, 4096)))
    piece = content[start:end]
    changes: list[Callable[[], bytes]] = [
        lambda: content[:start],
        lambda: content[:start] + content[end:],
        lambda: content[:start] + piece * 3 + content[end:],
        lambda: content[:start] + draw.randbytes(len(piece)) + content[end:],
        lambda: content[:start] + draw.choice((b"\0", b"\xff", b"\x80", b"\x7f")) * len(piece) + content[end:],
        lambda: content[:start] + bytes(b ^ 1 << draw.randrange(8) for b in piece[:1]) + content[start + 1 :],
        lambda: content[:start] + draw.randbytes(draw.choice((1, 4, 100))) + content[start:],
        lambda: b"",
    ]
    return draw.choices(changes, weights=(4, 3, 3, 4, 4, 8, 4, 1))[0]()


def _damaged_words(content: bytes, draw: random.Random) -> bytes:
    words = list(re.finditer(rb"[\w.\-]+", content))
    if not words:
        return draw.choice(WORDS)
    word = draw.choice(words[:60]) if draw.random() < 0.5 else draw.choice(words)
    return content[: word.start()] + draw.choice(WORDS) + content[word.end() :]


def _damaged_lines(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    at = draw.randrange(len(lines))
    match draw.randrange(5):
        case 0:
            lines.insert(at, draw.choice(LINES))
        case 1:
            lines[at] = draw.choice(LINES)
        case 2:
            del lines[at]
        case 3:
            lines.insert(at, draw.choice(lines))
        case _:
            return content.replace(*draw.choice([(b"\n", b"\r\n"), (b"\n", b"\r"), (b",", b";"), (b'"', b"'"), (b"<", b""), (b":", b"")]))
    return b"\n".join(lines)
