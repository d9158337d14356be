"""Documents of a corpus, for training language models: text, JSON lines and tables, plain or compressed, and the reports of any reader.

    .txt, .txt.gz                     documents with blank lines between
    .jsonl, .jsonl.gz                 an object a line, whose field ``text`` is the document
    .csv, .csv.gz, .csv.zip           a row a document, in a named column (MIMIC-III's NOTEEVENTS: ``TEXT``)

Documents are read one by one, in the order of the file; files of a folder in the order of their paths.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from medvl.data.documents import naming
from medvl.data.report_text import join_sections
from medvl.data.tables import SUFFIXES as TABLES
from medvl.data.tables import read_batches
from medvl.records import Study
from medvl.runtime.errors import InvalidValue, MissingFile

TEXTS, LINES = (".txt", ".txt.gz"), (".jsonl", ".jsonl.gz")
SUFFIXES = (*TEXTS, *LINES, *TABLES)


def read_documents(path: Path | str, *, column: str = "text") -> Iterator[str]:
    """The documents of a file, or of all files of these kinds below a folder; empty ones are left out.

    Args:
        path: the file or folder. A release's own folder may hold a ``LICENSE.txt``: give the file itself.
        column: of tables.

    Raises:
        MissingFile: if it is not there, or the folder has no such file.
        MissingColumns: naming the table and the columns that it has.
        InvalidValue: naming the file and the place: another kind of file, damaged, not JSON, no ``text``, no document at all.
    """
    path = Path(path)
    if not path.exists():
        raise MissingFile(path, "It was given as a corpus")
    files = sorted(p for p in path.rglob("*") if p.name.endswith(SUFFIXES)) if path.is_dir() else [path]
    if not files:
        raise MissingFile(path / "*.txt", f"A folder of a corpus has files that end in {', '.join(SUFFIXES)}")
    for file in files:
        yield from _some(file, (text for text in _documents(file, column) if text.strip()))


def read_reports(reader: Callable[[], Iterable[Study]], *, sections: Sequence[str] | None = None) -> Iterator[str]:
    """The reports of a dataset's studies, e.g. of ``partial(open_i.read_studies, root=…)``; those that say nothing are left out.

    Args:
        reader: makes the studies.
        sections: which sections make the text, in order; ``None`` for the whole report.

    Raises:
        UserError: whatever the reader raises.
    """
    for study in reader():
        if study.report is not None:
            text = study.report.text if sections is None else join_sections(study.report.sections, sections)
            if text and text.strip():
                yield text


def _some(path: Path, documents: Iterator[str]) -> Iterator[str]:
    """The documents, of which there must be one."""
    first = next(documents, None)
    if first is None:
        raise InvalidValue(path, "document", "holds no text")
    yield first
    yield from documents


def _documents(path: Path, column: str) -> Iterator[str]:
    if path.name.endswith(TABLES):
        for batch in read_batches(path, (column,)):
            yield from (text or "" for text in batch.column(0).to_pylist())
    elif path.name.endswith(LINES):
        for number, line in enumerate(_lines(path), start=1):
            if line.strip():
                yield _text_field(path, number, line)
    elif path.name.endswith(TEXTS):
        yield from _paragraphs(_lines(path))
    else:
        raise InvalidValue(path, "name", f"ends in none of {', '.join(SUFFIXES)}")


def _lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else open(path, encoding="utf-8-sig") as file:
            yield from file
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InvalidValue(path, "document", f"cannot be read ({error})") from error


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    paragraph: list[str] = []
    for line in lines:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield "".join(paragraph)
            paragraph = []
    yield "".join(paragraph)


def _text_field(path: Path, number: int, line: str) -> str:
    with naming(path, f"line {number}"):
        text = json.loads(line)["text"]
        if not isinstance(text, str):
            raise ValueError(f"'text' is {type(text).__name__}, not a string")
    return text
