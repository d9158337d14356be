"""CSV tables as the releases ship them: plain, gzip or zip; columns by name; every value a string, an empty one ``None``.

Identifiers are never parsed as numbers, so that neither leading zeros nor the digits of long ones are lost. Unknown columns are ignored.
"""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa
from pyarrow import csv as arrow_csv

from medvl.runtime.errors import InvalidValue, MissingColumns, MissingFile

SUFFIXES = (".csv", ".csv.gz", ".csv.zip")
BLOCK = 16 << 20  # bytes; the longest row must fit (mask tables have rows of some hundred kilobytes)
UNREADABLE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, csv.Error, pa.ArrowInvalid)


def find_table(root: Path, stem: str) -> Path | None:
    """The table of that name without its suffix; ``*`` stands for a version, of which the last is taken; ``None`` if there is none."""
    for suffix in SUFFIXES:
        found = sorted(path for path in root.glob(stem + suffix) if path.is_file())
        if found:
            return found[-1]
    return None


def require_table(roots: Sequence[Path], stem: str, hint: str = "") -> Path:
    """The table in the first of several folders that has it.

    Raises:
        MissingFile: naming the file that was looked for in the first folder.
    """
    for root in roots:
        if path := find_table(root, stem):
            return path
    raise MissingFile(roots[0] / f"{stem}.csv", hint or "it may also end in .csv.gz or .csv.zip")


def column_names(path: Path, delimiter: str = ",") -> list[str]:
    """The names in the first row.

    Raises:
        InvalidValue: if the file is not a readable table.
    """
    try:
        return _header(path, delimiter)
    except UNREADABLE as error:
        raise InvalidValue(path, "table", f"cannot be read ({_first_line(error)})") from error


def read_table(path: Path, columns: Sequence[str], *, optional: Sequence[str] = (), delimiter: str = ",") -> pa.Table:
    """A whole table: the named columns as strings, empty values null; absent optional columns are all null.

    Raises:
        MissingColumns: naming the file and every absent column.
        InvalidValue: if the file is not a readable table.
    """
    schema = pa.schema([(name, pa.string()) for name in (*columns, *optional)])
    return pa.Table.from_batches(read_batches(path, columns, optional=optional, delimiter=delimiter), schema)


def read_batches(path: Path, columns: Sequence[str], *, optional: Sequence[str] = (), delimiter: str = ",") -> Iterator[pa.RecordBatch]:
    """The table of ``read_table``, in batches of some megabytes, for tables larger than memory."""
    wanted = (*columns, *optional)
    try:
        found = _header(path, delimiter)
        missing = [name for name in columns if name not in found]
        if missing:
            raise MissingColumns(path, missing, found)
        convert = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.string()),
            include_columns=list(wanted),
            include_missing_columns=True,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        )
        with _opened(path) as file:
            yield from arrow_csv.open_csv(
                file,
                read_options=arrow_csv.ReadOptions(column_names=found, skip_rows=1, block_size=BLOCK, use_threads=False),
                parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=convert,
            )
    except UNREADABLE as error:
        raise InvalidValue(path, "table", f"cannot be read ({_first_line(error)})") from error


def read_ragged(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """The named columns of a small table whose rows may be shorter than its header, empty where they end; errors as ``read_table``."""
    found = column_names(path)
    if missing := [name for name in columns if name not in found]:
        raise MissingColumns(path, missing, found)
    try:
        with _opened(path) as file:
            rows = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""))
            next(rows)
            for row in rows:
                values = dict(zip(found, row, strict=False))
                yield {name: values.get(name, "") for name in columns}
    except UNREADABLE as error:
        raise InvalidValue(path, "table", f"cannot be read ({_first_line(error)})") from error


def _header(path: Path, delimiter: str) -> list[str]:
    """The column names; some releases put a space before one."""
    with _opened(path) as file:
        names = next(csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""), delimiter=delimiter), [])
    if any(len(name.splitlines()) > 1 for name in names):
        raise InvalidValue(path, "table", "its first row is not a line of column names")
    return [name.strip() for name in names]


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The uncompressed bytes of a table; of an archive, its first table."""
    if path.suffix == ".gz":
        with gzip.open(path) as unpacked:
            yield unpacked  # type: ignore[misc]
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".csv") and not name.startswith("__MACOSX")]
            if not members:
                raise InvalidValue(path, "archive", "holds no .csv file")
            with archive.open(members[0]) as member:
                yield member
    else:
        with open(path, "rb") as plain:
            yield plain


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
