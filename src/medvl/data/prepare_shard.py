"""One shard of a preparation: the unit of work that every engine runs, and that a killed run repeats.

Reads the shard's planned studies, decodes and resizes their images, and writes three files, the manifest part last: its presence says
that the shard is done. What it writes is a pure function of the plan and the options.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medvl.data.dicom import UnreadableRadiograph, read_radiograph
from medvl.data.image_cache import ShardWriter, entry_type, shard_path, to_cached, write_shard
from medvl.data.intensity import Intensity
from medvl.records import Study, View, arrow_schema, from_arrow, to_arrow
from medvl.runtime.errors import UserError
from medvl.runtime.files import atomic_path
from medvl.runtime.memory import keep_freed_memory

REJECTED_SCHEMA = pa.schema([(name, pa.string()) for name in ("study_id", "view_id", "path", "reason")])


@dataclasses.dataclass(frozen=True, slots=True)
class ShardJob:
    """A shard to prepare: in which folder, which number, at which short side in pixels, with which intensity mapping."""

    folder: Path
    shard: int
    image_size: int
    intensity: Intensity


def in_progress(folder: Path) -> Path:
    """Where a preparation under way keeps its plan and its parts."""
    return folder / "in-progress"


def studies_path(folder: Path, shard: int) -> Path:
    """The planned studies of a shard."""
    return in_progress(folder) / f"studies-{shard:05d}.parquet"


def part_path(folder: Path, shard: int) -> Path:
    """The manifest rows of a finished shard."""
    return in_progress(folder) / f"part-{shard:05d}.parquet"


def rejected_path(folder: Path, shard: int) -> Path:
    """The unreadable images of a finished shard."""
    return in_progress(folder) / f"rejected-{shard:05d}.parquet"


def manifest_schema() -> pa.Schema:
    """The manifest's columns: those of ``Study``, then ``cache``, the place of each of its images."""
    return arrow_schema(Study).append(pa.field("cache", pa.list_(entry_type())))


def write_table(table: pa.Table, path: Path) -> None:
    """Write a Parquet file atomically."""
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def prepare_shard(job: ShardJob) -> int:
    """Prepare one shard; returns how many of its images could not be read."""
    cv2.setNumThreads(1)  # the shards are the parallelism
    keep_freed_memory()
    with pq.ParquetFile(studies_path(job.folder, job.shard)) as file:  # pq.read_table would import pandas
        planned = from_arrow(file.read(), Study)
    studies: list[Study] = []
    cache: list[list[dict[str, Any]]] = []
    rejected: list[dict[str, Any]] = []
    with write_shard(shard_path(job.folder, job.shard)) as writer:
        for study in planned:
            kept, entries = _read_views(study, job, writer, rejected)
            if kept or not study.views:
                studies.append(dataclasses.replace(study, views=tuple(kept)))
                cache.append(entries)
    table = to_arrow(studies, Study).append_column("cache", pa.array(cache, pa.list_(entry_type())))
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), "images_sha256": writer.sha256()})
    write_table(pa.Table.from_pylist(rejected, schema=REJECTED_SCHEMA), rejected_path(job.folder, job.shard))
    write_table(table, part_path(job.folder, job.shard))
    return len(rejected)


def _read_views(
    study: Study, job: ShardJob, writer: ShardWriter, rejected: list[dict[str, Any]]
) -> tuple[list[View], list[dict[str, Any]]]:
    """The study's views that could be read, or that name no file, and the cache entries of the former."""
    kept: list[View] = []
    entries: list[dict[str, Any]] = []
    for view in study.views:
        if view.path is None:
            kept.append(view)
            continue
        try:
            image, (height, width) = _read_film(view.path, job)
        except UserError as error:
            rejected.append({"study_id": study.study_id, "view_id": view.view_id, "path": view.path, "reason": str(error)})
            continue
        kept.append(dataclasses.replace(view, height=height, width=width))
        place = {"view_id": view.view_id, "shard": job.shard, "offset": writer.append(image)}
        place |= {"height": image.shape[0], "width": image.shape[1], "original_height": height, "original_width": width}
        entries.append(place)
    return kept, entries


def _read_film(path: str, job: ShardJob) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """A film as it is cached, and its original height and width.

    Raises:
        UnreadableRadiograph: if it cannot be read, or every pixel has the same grey level.
    """
    radiograph = read_radiograph(path, intensity=job.intensity)
    image = to_cached(radiograph.pixels, job.image_size)
    if image.min() == image.max():
        raise UnreadableRadiograph(path, f"every pixel has the same grey level (read with intensity {job.intensity!r})")
    return image, radiograph.frame.source
