"""What a prepared folder was made from: inputs, options and code, as plain JSON values with one hash.

Two preparations with equal descriptions write equal bytes. A folder is complete when its ``fingerprint.json`` exists, which is written
last; the description of a preparation under way stands in its ``in-progress`` folder. Different descriptions never share a folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medvl.records import SCHEMA_VERSION
from medvl.runtime.errors import InvalidValue, UserError

FILE = "fingerprint.json"
PREPARE_VERSION = 1  # raise it when the same inputs and options give other bytes
PACKAGES = ("medvl", "pydicom", "opencv-python-headless", "pillow", "numpy", "pyarrow")

Description = dict[str, Any]


class DifferentFingerprint(UserError):
    """A folder holds data prepared from other inputs, with other options or by other code."""


def describe(inputs: Mapping[str, Any], options: Mapping[str, Any]) -> Description:
    """The description of a preparation: what was read, how, and by which code."""
    code = {"prepare": PREPARE_VERSION, "records": SCHEMA_VERSION, **{name: version(name) for name in PACKAGES}}
    plain: Description = json.loads(json.dumps({"inputs": dict(inputs), "options": dict(options), "code": code}, default=str))
    return plain


def digest(value: Any) -> str:
    """SHA-256 of a plain JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def require_equal(folder: Path, found: Mapping[str, Any], wanted: Description) -> None:
    """Check that a folder's description is the wanted one.

    Raises:
        DifferentFingerprint: naming the folder and what differs.
    """
    differences = [line for part in wanted for line in _differences(part, found.get(part), wanted[part])]
    if differences:
        raise DifferentFingerprint(
            f"{folder} was prepared differently: {'; '.join(differences[:4])}. Choose another folder, or remove this one"
        )


def read(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        InvalidValue: naming the file, if it is not a JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidValue(path, "as a whole", f"not JSON ({error})") from error
    if not isinstance(value, dict):
        raise InvalidValue(path, "as a whole", f"not a JSON object but {type(value).__name__}")
    return value


def _differences(where: str, found: Any, wanted: Any) -> Iterator[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted({*found, *wanted}):
            yield from _differences(f"{where}.{key}", found.get(key), wanted.get(key))
    elif found != wanted:
        yield f"{where} is {found!r} there and {wanted!r} here"
