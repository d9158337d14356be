"""Masks as run lengths: what the dialects share, and the dialect of SIIM-ACR Pneumothorax, which CANDID-PTX follows.

SIIM's runs are pairs ``gap length`` column by column, each gap counted from the end of the run before; ``-1`` says that there is
nothing. An image with several lesions has several rows. (CheXmask's dialect stands in ``chexmask``.)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medvl.data.documents import naming
from medvl.data.tables import read_table
from medvl.runtime.errors import InvalidValue

NOTHING = "-1"
Runs = Mapping[str, tuple[str, ...]]


def painted(starts: NDArray[np.int64], lengths: NDArray[np.int64], pixels: int) -> NDArray[np.bool_]:
    """Runs (R,) that may overlap, starts from 0 → flat mask (pixels,).

    Raises:
        ValueError: if a run leaves the image.
    """
    if ((starts < 0) | (lengths < 0) | (lengths > pixels - starts)).any():
        raise ValueError("run lengths leave the image")
    steps = np.zeros(pixels + 1, np.int32)  # +1 where a run starts, −1 after its end
    np.add.at(steps, starts, 1)
    np.add.at(steps, starts + lengths, -1)
    np.cumsum(steps, out=steps)
    return np.asarray(steps[:-1] > 0)


def mask_from_relative_runs(runs: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """SIIM's run lengths → mask of ``size`` (height, width).

    Raises:
        ValueError: if the runs are not pairs of numbers within the image.
    """
    height, width = size
    if not runs.strip() or runs.strip() == NOTHING:
        return np.zeros(size, bool)
    numbers = np.array(runs.split(), np.int64)
    if len(numbers) % 2:
        raise ValueError("run lengths are not in pairs")
    gaps, lengths = numbers[::2], numbers[1::2]
    if (gaps < 0).any() or (lengths < 0).any():
        raise ValueError("run lengths leave the image")
    starts = np.cumsum(gaps + lengths) - lengths
    return painted(starts, lengths, height * width).reshape(width, height).T


def read_runs(path: Path, image_column: str, runs_column: str) -> Runs:
    """Image → the runs of its lesions, in file order; an image without any has an empty tuple. Kept while the file stays the same.

    Raises:
        MissingColumns: naming the file and every absent column.
        InvalidValue: naming the row, if it names no image.
    """
    return _runs(path, image_column, runs_column, path.stat().st_mtime_ns)


def read_mask(path: Path, image: str, image_column: str, runs_column: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The union of an image's lesions as a mask of ``size`` (height, width).

    Raises:
        InvalidValue: naming the file and the image, if it is not there or its runs leave the grid.
    """
    found = read_runs(path, image_column, runs_column).get(image)
    if found is None:
        raise InvalidValue(path, f"{image_column} {image}", "has no row")
    mask = np.zeros(size, bool)
    with naming(path, f"{image_column} {image}"):
        for runs in found:
            mask |= mask_from_relative_runs(runs, size)
    return mask


@lru_cache(maxsize=4)
def _runs(path: Path, image_column: str, runs_column: str, changed: int) -> Runs:
    found: dict[str, tuple[str, ...]] = {}
    for number, row in enumerate(read_table(path, (image_column, runs_column)).to_pylist(), start=2):
        image, runs = (row[image_column] or "").strip(), (row[runs_column] or "").strip()
        if not image:
            raise InvalidValue(path, f"row {number}", f"has no {image_column}")
        found[image] = found.get(image, ()) + ((runs,) if runs and runs != NOTHING else ())
    return found
