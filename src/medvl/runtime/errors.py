"""Errors that a user causes: one line that names the file, the field and the mend; the command line prints them without a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

MAX_SHOWN = 1000  # characters of a file's own words in a message; a damaged file has no measure


class UserError(Exception):
    """Something that the user can mend; its message is one clear line."""


class MissingFile(UserError):
    """A file or folder that a dataset layout names is not there."""

    def __init__(self, path: Path, hint: str = "") -> None:
        super().__init__(f"{path} does not exist" + (f". {hint}" if hint else ""))
        self.path = path


class MissingColumns(UserError):
    """A table lacks columns that its layout names."""

    def __init__(self, path: Path | str, missing: Iterable[str], found: Iterable[str], hint: str = "") -> None:
        names = ", ".join(repr(m) for m in missing)
        columns = _shortened(", ".join(map(str, found)))
        super().__init__(f"{path} has no column {names} (found: {columns})" + (f". {hint}" if hint else ""))


class InvalidValue(UserError):
    """A value in a file is not what its layout allows: names the file, the place in it and the value."""

    def __init__(self, path: Path | str, where: str, problem: str) -> None:
        super().__init__(f"{path}, {where}: {_shortened(problem)}")


class InvalidBox(InvalidValue):
    """A box that leaves its image, or is turned inside out."""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """A clause that offers the nearest valid name, or lists them all: `` — did you mean 'x'?``."""
    options = sorted(valid)
    close = get_close_matches(name, options, n=1)
    return f" — did you mean {close[0]!r}?" if close else f" (one of: {', '.join(options)})"


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} …"
