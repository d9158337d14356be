"""Prepare a dataset: decode every image once, write a Parquet manifest and an image cache that train fast.

    plan      the reader's studies, cut into shards in input order, as Parquet files
    shards    each decoded on its own, by a process pool or by Ray; a finished one is never repeated
    finish    parts become ``manifest.parquet`` and ``rejected.parquet``; ``fingerprint.json`` is written last

Killed at any point and run again, it ends with the same bytes as an uninterrupted run: every file is a pure function of the plan, and
written whole or not at all. Shards start small, so that a small cohort still spreads over the workers, and grow, so that a large one
has few files (about 400 for the 377,110 images of MIMIC-CXR).
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import multiprocessing
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from medvl.data import fingerprint
from medvl.data.image_cache import shard_path
from medvl.data.intensity import Intensity
from medvl.data.prepare_shard import (
    REJECTED_SCHEMA,
    ShardJob,
    in_progress,
    manifest_schema,
    part_path,
    prepare_shard,
    rejected_path,
    studies_path,
    write_table,
)
from medvl.records import PrivacyPolicy, Study, to_arrow
from medvl.runtime.errors import InvalidValue, UserError
from medvl.runtime.files import atomic_path, write_json
from medvl.runtime.privacy import strictest

MANIFEST, REJECTED = "manifest.parquet", "rejected.parquet"
ROW_GROUP = 512  # studies; a study is read by reading its row group
VIEWS_PER_SHARD = (64, 128, 256, 512, 1024)  # eight shards of each size, then all of the last

Engine = Literal["process", "ray"]
Studies = Iterable[Study] | Callable[[], Iterable[Study]]


class TooManyUnreadable(UserError):
    """More images could not be read than the preparation allows."""


class PreparationFailed(UserError):
    """A worker died, or another process prepares the same folder."""


@dataclasses.dataclass(frozen=True, slots=True)
class PreparedSummary:
    """What a prepared folder holds: counts of studies, images and rejected images, its fingerprint and its privacy policy."""

    folder: Path
    studies: int
    images: int
    rejected: int
    fingerprint: str
    privacy: PrivacyPolicy


def prepare(
    studies: Studies,
    out: Path,
    *,
    inputs: Mapping[str, Any],
    image_size: int = 518,
    intensity: Intensity = "minmax",
    workers: int = 1,
    engine: Engine = "process",
    max_rejected_share: float = 0.001,
    progress: bool = True,
) -> PreparedSummary:
    """Prepare studies into a folder, or continue, or return at once if it is complete.

    Args:
        studies: the studies in the order to keep, or a function that reads them; called only when there is no plan yet.
        out: the folder; made if missing.
        inputs: what names the studies (dataset, root, reader options): plain values, part of the fingerprint.
        image_size: short side of the cached images, in pixels.
        intensity: how stored values become grey levels, see ``read_radiograph``.
        workers: decoding processes; 1 decodes in this one. With Ray, the most shards at a time.
        engine: ``process`` on one machine; ``ray`` on a Ray cluster that shares the folder. The bytes are the same.
        max_rejected_share: the share of images that may be unreadable or of one grey level; those are left out, see ``rejected.parquet``.
        progress: show a bar.

    Raises:
        DifferentFingerprint: if the folder was prepared, even in part, from other inputs, with other options or by other code.
        TooManyUnreadable: above ``max_rejected_share``.
        InvalidValue: if an identifier occurs twice.
        PreparationFailed: if a worker dies, or another process prepares the same folder.
    """
    wanted = fingerprint.describe(inputs, {"image_size": image_size, "intensity": intensity})
    with _only_process(out):
        if not (out / fingerprint.FILE).exists():
            plan = _plan(studies, out, wanted)
            jobs = [ShardJob(out, shard, image_size, intensity) for shard in range(plan["shards"])]
            allowed = max_rejected_share * plan["images"]
            _run(jobs, _engine(engine, workers), allowed=allowed, images=plan["images"], progress=progress)
            _finish(out, plan, wanted)
        found = fingerprint.read(out / fingerprint.FILE)
        fingerprint.require_equal(out, found, wanted)
        shutil.rmtree(in_progress(out), ignore_errors=True)
    counts = {name: found[name] for name in ("studies", "images", "rejected", "fingerprint", "privacy")}
    return PreparedSummary(folder=out, **counts)


@contextmanager
def _only_process(out: Path) -> Iterator[None]:
    """Keep a second process from preparing the same folder; the lock ends with the process."""
    out.mkdir(parents=True, exist_ok=True)
    handle = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise PreparationFailed(f"{out} is being prepared by another process") from error
    finally:
        os.close(handle)


def _plan(studies: Studies, out: Path, wanted: fingerprint.Description) -> dict[str, Any]:
    """The plan in the folder, or a new one: studies cut into shards, written before anything is decoded."""
    path = in_progress(out) / "plan.json"
    if path.exists():
        plan = fingerprint.read(path)
        fingerprint.require_equal(out, plan, wanted)
    else:
        shutil.rmtree(in_progress(out), ignore_errors=True)
        plan = {**wanted, **_write_plan(studies() if callable(studies) else studies, out)}
        write_json(path, plan)
    for left_over in (*in_progress(out).glob(".*.tmp"), *out.glob("images/.*.tmp"), *out.glob(".*.tmp")):
        left_over.unlink()
    return plan


def _write_plan(studies: Iterable[Study], out: Path) -> dict[str, Any]:
    shards = images = 0
    privacy: set[PrivacyPolicy] = set()
    for shards, shard in enumerate(_shards(_unique(studies)), start=1):
        write_table(to_arrow(shard, Study), studies_path(out, shards - 1))
        images += sum(view.path is not None for study in shard for view in study.views)
        privacy.update(study.privacy for study in shard)
    return {"shards": shards, "images": images, "privacy": strictest(privacy)}


def _unique(studies: Iterable[Study]) -> Iterator[Study]:
    seen: set[str] = set()
    for study in studies:
        for name in (f"study {study.study_id}", *(f"view {view.view_id}" for view in study.views)):
            if name in seen:
                raise InvalidValue(study.dataset, f"patient {study.patient_id}", f"{name} occurs twice")
            seen.add(name)
        yield study


def _shards(studies: Iterable[Study]) -> Iterator[list[Study]]:
    """Cut studies, in order, into shards of about ``VIEWS_PER_SHARD`` views."""
    shard: list[Study] = []
    views = done = 0
    for study in studies:
        shard.append(study)
        views += max(1, len(study.views))
        if views >= VIEWS_PER_SHARD[min(done // 8, len(VIEWS_PER_SHARD) - 1)]:
            yield shard
            shard, views, done = [], 0, done + 1
    if shard:
        yield shard


RunJobs = Callable[[list[ShardJob]], Iterator[tuple[int, int]]]


def _engine(engine: Engine, workers: int) -> RunJobs:
    """A function that runs jobs and yields each finished shard with its number of unreadable images."""
    if engine == "ray":
        from medvl.data.prepare_ray import run_with_ray

        return lambda jobs: run_with_ray(jobs, workers)
    if workers <= 1:
        return lambda jobs: ((job.shard, prepare_shard(job)) for job in jobs)
    return lambda jobs: _run_pool(jobs, workers)


def _run_pool(jobs: list[ShardJob], workers: int) -> Iterator[tuple[int, int]]:
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_start_worker) as pool:
        running = {pool.submit(prepare_shard, job): job.shard for job in jobs}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        except BrokenProcessPool as error:
            raise PreparationFailed("a decoding process died (out of memory?); the same command continues where it stopped") from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _WithoutPandas(MetaPathFinder):
    """Lets pyarrow find no pandas: it imports it for any list it converts, at the cost of all other imports of a worker together."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("a decoding process has no use for pandas", name=fullname)


def _start_worker() -> None:
    sys.meta_path.insert(0, _WithoutPandas())
    _end_with_parent()


def _end_with_parent() -> None:
    """End this worker when the process that started it dies, however that happens."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _run(jobs: list[ShardJob], run: RunJobs, *, allowed: float, images: int, progress: bool) -> None:
    """Run the jobs that are not done; stop as soon as more images than allowed could not be read."""
    from rich.console import Console
    from rich.progress import Progress

    rejected = {job.shard: _rejected(job) for job in jobs if part_path(job.folder, job.shard).exists()}
    with Progress(console=Console(stderr=True), transient=True, disable=not progress) as bar:
        task = bar.add_task("prepare", total=len(jobs), completed=len(rejected))
        _require_readable(jobs, rejected, allowed=allowed, images=images)
        for shard, count in run([job for job in jobs if job.shard not in rejected]):
            rejected[shard] = count
            bar.advance(task)
            _require_readable(jobs, rejected, allowed=allowed, images=images)


def _rejected(job: ShardJob) -> int:
    return int(pq.read_metadata(rejected_path(job.folder, job.shard)).num_rows)


def _require_readable(jobs: list[ShardJob], rejected: Mapping[int, int], *, allowed: float, images: int) -> None:
    """Raise above the allowed number, after listing what was unreadable and forgetting those shards, so that a mended run tries again."""
    count = sum(rejected.values())
    if count <= allowed:
        return
    folder = jobs[0].folder
    bad = sorted(shard for shard, number in rejected.items() if number)
    table = pa.concat_tables([pq.read_table(rejected_path(folder, shard)) for shard in bad])
    write_table(table, folder / REJECTED)
    for shard in bad:
        part_path(folder, shard).unlink()
    first = table.slice(0, 1).to_pylist()[0]["reason"]
    raise TooManyUnreadable(
        f"{count} of {images} images could not be read, more than max_rejected_share allows ({int(allowed)}); "
        f"they are listed in {folder / REJECTED}; the first: {first}"
    )


def _finish(out: Path, plan: Mapping[str, Any], wanted: fingerprint.Description) -> None:
    """Put the parts together; the fingerprint is the mark of completeness."""
    shards, digests = range(plan["shards"]), []
    studies = images = 0
    with atomic_path(out / MANIFEST) as temporary, pq.ParquetWriter(temporary, manifest_schema(), compression="zstd") as writer:
        for shard in shards:
            part = pq.read_table(part_path(out, shard))
            writer.write_table(part.cast(writer.schema), row_group_size=ROW_GROUP)
            digests.append((part.schema.metadata or {})[b"images_sha256"].decode())
            studies += part.num_rows
            images += len(part["cache"].combine_chunks().flatten())
    rejected = pa.concat_tables([REJECTED_SCHEMA.empty_table(), *(pq.read_table(rejected_path(out, shard)) for shard in shards)])
    write_table(rejected, out / REJECTED)
    for stale in set(out.glob("images/*")) - {shard_path(out, shard) for shard in shards}:
        stale.unlink()
    with open(out / MANIFEST, "rb") as file:
        manifest = hashlib.file_digest(file, "sha256").hexdigest()
    content = {**wanted, "manifest_sha256": manifest, "images_sha256": fingerprint.digest(digests)}
    counts = {"shards": plan["shards"], "studies": studies, "images": images, "rejected": len(rejected)}
    whole = {"schema_version": 1, **content, **counts, "privacy": plan["privacy"], "fingerprint": fingerprint.digest(content)}
    write_json(out / fingerprint.FILE, whole)
