"""Preparing with Ray Data: the same shards as the process pool, mapped over a cluster that shares the folder; the bytes are the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray

from medvl.data.prepare_shard import ShardJob, prepare_shard


def run_with_ray(jobs: list[ShardJob], workers: int) -> Iterator[tuple[int, int]]:
    """Run jobs on the Ray cluster in use, or on a local one; yields each finished shard with its number of unreadable images."""
    if not jobs:
        return
    if not ray.is_initialized():
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    items = [{"folder": str(job.folder), "shard": job.shard, "size": job.image_size, "intensity": job.intensity} for job in jobs]
    rows = ray.data.from_items(items, override_num_blocks=len(jobs))
    for row in rows.map(_prepare_row, concurrency=workers).iter_rows():
        yield int(row["shard"]), int(row["rejected"])


def _prepare_row(row: dict[str, Any]) -> dict[str, Any]:
    job = ShardJob(Path(row["folder"]), int(row["shard"]), int(row["size"]), row["intensity"])
    return {"shard": job.shard, "rejected": prepare_shard(job)}
