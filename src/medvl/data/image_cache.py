"""The image cache: decoded radiographs as uint8, packed end to end into shards that are memory-mapped.

A shard is a one-dimensional uint8 ``.npy`` file; image i lies at ``offset`` and is ``height · width`` bytes, row by row. Images keep
their aspect; the short side is the cache's size. Shrinking averages over the area of each pixel (antialiased), enlarging is bicubic;
both work on float32 and round once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from medvl.geometry import Frame
from medvl.runtime.files import atomic_path

if TYPE_CHECKING:
    import pyarrow as pa

HEADER_BYTES = 128  # of every .npy file that holds one dimension


def shard_path(folder: Path, shard: int) -> Path:
    """Where a shard of a prepared folder lies."""
    return folder / "images" / f"shard-{shard:05d}.npy"


def entry_type() -> pa.DataType:
    """The Arrow type of one image's place: its view, shard, byte offset, cached size and original size in pixels."""
    import pyarrow as pa

    integers = [("shard", pa.int32()), ("offset", pa.int64())]
    integers += [(name, pa.int32()) for name in ("height", "width", "original_height", "original_width")]
    return pa.struct([("view_id", pa.string()), *integers])


def to_cached(pixels: NDArray[np.float32], short_side: int) -> NDArray[np.uint8]:
    """Pixels (H, W) in [0, 1] → uint8 (h, w) with min(h, w) = ``short_side`` and the aspect kept."""
    height, width = Frame.identity((pixels.shape[0], pixels.shape[1])).short_side(short_side).target
    if (height, width) != pixels.shape:
        shrinking = short_side < min(pixels.shape)
        interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.float32)
    return np.rint(np.clip(pixels, 0, 1) * np.float32(255)).astype(np.uint8)


class ShardWriter:
    """Packs images into an open file.

    Attributes:
        size: bytes of images written so far, the next image's offset.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.size = 0
        self._file, self._hash = file, hashlib.sha256()

    def append(self, image: NDArray[np.uint8]) -> int:
        """Append an image (h, w); returns its offset in bytes."""
        offset, content = self.size, image.tobytes()
        self._file.write(content)
        self._hash.update(content)
        self.size += len(content)
        return offset

    def sha256(self) -> str:
        """SHA-256 of the images appended so far."""
        return self._hash.hexdigest()


@contextmanager
def write_shard(path: Path) -> Iterator[ShardWriter]:
    """A writer whose file appears under ``path`` when the ``with`` block ends well, and not otherwise."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(bytes(HEADER_BYTES))
        writer = ShardWriter(file)
        yield writer
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, {"shape": (writer.size,), "fortran_order": False, "descr": "|u1"})


class ShardReader:
    """The shards of a prepared folder, mapped when first used and kept mapped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mapped: dict[int, NDArray[np.uint8]] = {}

    def read(self, shard: int, offset: int, height: int, width: int) -> NDArray[np.uint8]:
        """An image (h, w) as a view of the mapped file; nothing is copied, and what is written to it never reaches the file."""
        pixels = self._mapped.get(shard)
        if pixels is None:
            pixels = self._mapped[shard] = self._map(shard)
        return pixels[offset : offset + height * width].reshape(height, width)

    def _map(self, shard: int) -> NDArray[np.uint8]:
        path = shard_path(self.folder, shard)
        if os.path.getsize(path) == HEADER_BYTES:  # nothing to map
            return np.empty(0, np.uint8)
        # As a plain array: slicing a memmap object costs ten times as much.
        return np.asarray(np.load(path, mmap_mode="c"))
