"""JSON documents and lines as the releases ship them, and one way to say what is wrong in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medvl.runtime.errors import InvalidValue, MissingFile


@contextmanager
def naming(path: Path, where: str) -> Iterator[None]:
    """Turn the errors of reading an ill-formed record into an ``InvalidValue`` that names the file and the place."""
    try:
        yield
    except KeyError as error:
        raise InvalidValue(path, where, f"has no {error.args[0]!r}") from error
    except (ValueError, TypeError, AttributeError, IndexError, ArithmeticError) as error:
        raise InvalidValue(path, where, str(error)) from error


def read_json(path: Path) -> Any:
    """The document.

    Raises:
        MissingFile: if it is not there.
        InvalidValue: if it is not JSON.
    """
    return _parsed(path, "document", _text(path))


def read_json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """The lines that are not blank, each with its number from 1; raises as ``read_json``, naming the line."""
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            yield number, _parsed(path, f"line {number}", line)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError as error:
        raise MissingFile(path) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(path, "document", f"cannot be read ({error})") from error


def _parsed(path: Path, where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(path, where, f"is not JSON ({error})") from error
