"""The report texts of MIMIC-CXR: beside the study folders, or in ``mimic-cxr-reports.zip``, both with or without the leading ``files/``.

A report lies next to its study's folder, not in it: ``files/p10/p10000032/s50414267.txt``. Texts are Latin-1.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medvl.data.zip_parts import UNREADABLE, read_bounded
from medvl.runtime.errors import InvalidValue, MissingFile

ARCHIVE = "mimic-cxr-reports.zip"
MAX_BYTES = 1 << 20  # of a report


class ReportSource:
    """Where report texts are read from; open one with ``open_reports``."""

    def __init__(self, folders: tuple[Path, ...], archive: zipfile.ZipFile | None) -> None:
        self._folders = folders
        self._archive = archive
        self._members = frozenset(archive.namelist()) if archive else frozenset()

    def read(self, patient_id: str, study_id: str) -> str | None:
        """The text of a study's report; ``None`` if there is none.

        Raises:
            InvalidValue: if the file or the archive's member cannot be read.
        """
        name = f"p{patient_id[:2]}/p{patient_id}/s{study_id}.txt"
        for folder in self._folders:
            try:
                return _text((folder / name).read_bytes())
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError) as error:
                raise InvalidValue(folder, "report", f"{name!r} cannot be read ({error})") from error
        return self._read_member(name)

    def _read_member(self, name: str) -> str | None:
        member = next((m for m in (f"files/{name}", name) if m in self._members), None)
        if self._archive is None or member is None:
            return None
        try:
            return _text(read_bounded(self._archive, member, MAX_BYTES))
        except UNREADABLE as error:
            raise InvalidValue(str(self._archive.filename), "report", f"{member!r} cannot be read ({error})") from error


@contextmanager
def open_reports(location: Path) -> Iterator[ReportSource]:
    """The reports under a folder, or in an archive or a folder that holds it.

    Raises:
        MissingFile: if the location is not there.
        InvalidValue: if the archive is damaged.
    """
    if not location.exists():
        raise MissingFile(location, "give the folder that holds the reports, or their archive")
    archive = location if location.is_file() else location / ARCHIVE
    folders = () if location.is_file() else _folders(location)
    if not archive.is_file():
        yield ReportSource(folders, None)
        return
    try:
        opened = zipfile.ZipFile(archive)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InvalidValue(archive, "archive", f"cannot be read ({error})") from error
    with opened:
        yield ReportSource(folders, opened)


def _text(content: bytes) -> str:
    """Latin-1 text whose lines end in a line feed, whatever they ended in: sections are found by lines."""
    return content.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")


def _folders(location: Path) -> tuple[Path, ...]:
    unpacked = location / Path(ARCHIVE).stem
    return tuple(f for f in (location / "files", unpacked / "files", unpacked, location) if f.is_dir())
