"""Archives that are released in pieces ``name.zip.001``, ``name.zip.002`` …: one zip file cut up, read without joining or unpacking it.

A member is named by a key ``<folder>/name.zip.001#<member>``, which a record can hold in place of a path.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

from medvl.runtime.errors import InvalidValue, MissingFile

BUFFER = 1 << 20  # bytes; a piece is opened once for each
MAX_MEMBER = 1 << 28  # bytes
UNREADABLE = (OSError, EOFError, ValueError, KeyError, RuntimeError, zlib.error, zipfile.BadZipFile, NotImplementedError)


class ConcatenatedParts(io.RawIOBase):
    """The pieces ``….001``, ``….002`` … as one seekable file.

    Raises:
        MissingFile: naming the first piece, or one that is missing between two others.
    """

    def __init__(self, first: Path) -> None:
        pieces = sorted(first.parent.glob(f"{first.stem}.[0-9][0-9][0-9]"))
        for number, piece in enumerate(pieces or [first], start=1):
            expected = first.with_suffix(f".{number:03d}")
            if piece != expected or not expected.exists():
                raise MissingFile(expected, "a piece of the archive is missing")
        self._pieces = pieces
        self._ends = list(accumulate(piece.stat().st_size for piece in pieces))
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position in the whole."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move in the whole, as any file."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ends[-1]}[whence]
        if start + offset < 0:
            raise ValueError("negative position")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read up to the end of the present piece."""
        number = bisect_right(self._ends, self._position)
        if number == len(self._ends):
            return 0
        start = self._ends[number - 1] if number else 0
        with open(self._pieces[number], "rb") as piece:
            piece.seek(self._position - start)
            data = piece.read(min(len(buffer), self._ends[number] - self._position))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def member_keys(first: Path) -> Mapping[str, str]:
    """File name → key of every member of the archive whose first piece is given.

    Raises:
        MissingFile: if a piece is missing.
        InvalidValue: if the pieces are not an archive.
    """
    with _opened(first) as archive:
        names = archive.namelist()
    return {Path(name).name: f"{first}#{name}" for name in names if not name.endswith("/")}


def is_member_key(path: str) -> bool:
    """Whether a record's path is a key of this module."""
    return ".zip.001#" in path


def read_member(key: str, *, max_bytes: int = MAX_MEMBER) -> bytes:
    """The bytes of one member.

    Raises:
        MissingFile: if a piece is missing.
        InvalidValue: if the archive or the member is damaged, or the member is larger than ``max_bytes``.
    """
    first, _, name = key.partition("#")
    with _opened(Path(first)) as archive:
        try:
            return read_bounded(archive, name, max_bytes)
        except UNREADABLE as error:
            raise InvalidValue(first, "archive", f"member {name!r} cannot be read ({error})") from error


def read_bounded(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    """The bytes of a member of any archive; no more memory is taken than ``max_bytes``, whatever the archive says of itself.

    Raises:
        zipfile.BadZipFile: if the member is larger or damaged.
        NotImplementedError: if it is compressed by other means than deflation, whose unpacking cannot be stopped in time.
        Exception: the others of ``UNREADABLE``, as ``zipfile`` raises them.
    """
    member = archive.getinfo(name)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError("its compression is not deflation")
    if member.file_size > max_bytes:
        raise zipfile.BadZipFile(f"it unpacks to {member.file_size:,} bytes, more than {max_bytes:,}")
    with archive.open(member) as file:
        return file.read(member.file_size)


@contextmanager
def _opened(first: Path) -> Iterator[zipfile.ZipFile]:
    with io.BufferedReader(ConcatenatedParts(first), BUFFER) as whole:
        try:
            archive = zipfile.ZipFile(whole)
        except UNREADABLE as error:
            raise InvalidValue(first, "archive", f"cannot be read ({error})") from error
        with archive:
            yield archive
