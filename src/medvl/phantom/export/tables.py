"""Tables and archives with the same bytes every time, and the partial rows they are assembled from.

Compressed files carry no time stamp and no name, archives the earliest date that a zip can hold. A patient's rows wait in one part file,
a line per table: layout, table and the rows as JSON, separated by tabs, so that a table is read without parsing the others.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from medvl.phantom.export.study import Rows
from medvl.runtime.files import atomic_path, write_text

EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Parts:
    """The rows of all patients for one layout, in the order of the patients."""

    layout: str
    files: Sequence[Path]

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """The rows of one table, read from disk as they are asked for."""
        wanted = f"{self.layout}\t{table}\t"
        for path in self.files:
            with open(path, encoding="utf-8") as file:
                for line in file:
                    if line.startswith(wanted):
                        yield from json.loads(line[len(wanted) :])


def write_part(path: Path, rows_by_layout: Mapping[str, Rows]) -> None:
    """Write one patient's rows; the file's presence says that the patient is done."""
    lines = [
        f"{layout}\t{table}\t{json.dumps(rows, ensure_ascii=False)}\n"
        for layout, tables in rows_by_layout.items()
        for table, rows in tables.items()
    ]
    write_text(path, "".join(lines))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, delimiter: str = ",") -> None:
    """Write a table with the given columns, in their order; gzip if the name ends so; ``None`` and absent values are empty.

    Raises:
        ValueError: if a row has a value for no column.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as raw:
        if path.suffix == ".gz":
            # fast, and as good as the default level on identifiers, which are random digits
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed:
                _write_rows(packed, columns, rows, delimiter)
        else:
            _write_rows(raw, columns, rows, delimiter)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write text lines, each ended by a line feed."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def write_checksums(root: Path) -> None:
    """Write ``SHA256SUMS.txt`` over every other file below a release's folder, as PhysioNet does."""
    target = root / "SHA256SUMS.txt"
    files = sorted(p for p in root.rglob("*") if p.is_file() and p != target)
    write_lines(target, (f"{_sha256(path)} {path.relative_to(root).as_posix()}" for path in files))


def write_zip(path: Path, members: Iterable[tuple[str, bytes]], *, stored: bool = False) -> None:
    """Write an archive of (name, content); ``stored`` leaves them uncompressed."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, content, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_rows(file: IO[bytes] | gzip.GzipFile, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], delimiter: str) -> None:
    with io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, columns, lineterminator="\n", delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
