"""A whole cohort on disk in official layouts: patients in parallel, each film drawn once for all layouts, tables assembled at the end.

A patient's files are written first, then one part file with the rows the patient owes to the tables; a part that exists is not made again,
so an interrupted run goes on where it stopped. ``cohort.json`` comes last: with it there, the same call returns at once, and other
parameters or another version of the phantom's code are refused. The bytes do not depend on the number of workers or on interruptions.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import cv2
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from medvl.phantom.export.mimic_cxr import ImageFormat
from medvl.phantom.export.padchest_gr import remove_loose_images
from medvl.phantom.export.settings import LAYOUTS, SCHEMA_VERSION, SITES, CohortSettings, Job, code_version
from medvl.phantom.export.study import ExportedStudy, ExportedView, Rows
from medvl.phantom.export.tables import Parts, write_part
from medvl.phantom.facts import Difficulty, Patient, Visit
from medvl.phantom.reports import WrittenReport, write_report
from medvl.phantom.world import prior_of, sample_patient
from medvl.runtime.errors import UserError
from medvl.runtime.files import write_json
from medvl.runtime.signals import StopRequest

__all__ = ["LAYOUTS", "CohortSummary", "make_cohort"]

DEFAULT_DIFFICULTY = Difficulty()


@dataclass(frozen=True)
class CohortSummary:
    """What ``make_cohort`` made.

    Attributes:
        patients, studies, images: of the MIMIC-CXR site.
        seconds: wall clock of this call.
        already_there: whether an earlier call had finished the cohort.
    """

    out: Path
    patients: int
    studies: int
    images: int
    layouts: tuple[str, ...]
    fingerprint: str
    seconds: float
    already_there: bool


def make_cohort(
    out: Path,
    *,
    patients: int,
    size: int,
    seed: int = 0,
    difficulty: Difficulty = DEFAULT_DIFFICULTY,
    layouts: Sequence[str] = ("mimic_cxr", "ms_cxr", "ms_cxr_t"),
    image_format: ImageFormat = "jpg",
    workers: int = 2,
    laterals: bool = True,
    packed: bool = False,
    least_visits: int = 1,
    progress: bool = True,
) -> CohortSummary:
    """Write a cohort in official layouts, each under ``out`` in a folder of the dataset's name.

    Args:
        patients: at the MIMIC-CXR site, about 2.2 studies each; Open-I has an eighth and every other site a quarter as many, all different.
        size: short side of the films in pixels.
        layouts: names from ``LAYOUTS``; ``mimic_cxr`` always brings the tables of the JPG release along.
        image_format: which of the two MIMIC-CXR releases gets its images.
        workers: processes; 1 works in this one.
        laterals: whether lateral films are drawn; studies without a frontal keep theirs.
        least_visits: of each patient, 1 to 5; whoever was drawn fewer gets that many.
        packed: reports and PadChest-GR images in archives as released, instead of loose files.

    Returns:
        What was made; at once if an earlier call with the same parameters had finished.

    Raises:
        UserError: for an unknown layout, a number out of range, or a folder that holds another cohort.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once the patients in hand are written; the same call goes on from there.
    """
    started = time.monotonic()
    settings = CohortSettings(patients, size, seed, difficulty, layouts, image_format, laterals, packed, least_visits)
    manifest, working = out / "cohort.json", out / ".parts"
    finished = _claim(manifest, working, settings.fingerprint())
    if not finished:
        _make_patients(settings, out, max(1, workers), progress)
        _remove_temporaries(out)
        write_json(manifest, _assembled(settings, out))
    made = json.loads(manifest.read_text())
    if packed:
        remove_loose_images(out)
    shutil.rmtree(working, ignore_errors=True)
    sizes = made["patients"], made["studies"], made["images"]
    return CohortSummary(out, *sizes, tuple(settings.layouts), made["fingerprint"], time.monotonic() - started, finished)


def _claim(manifest: Path, working: Path, fingerprint: str) -> bool:
    """Whether the cohort is finished; refuses a folder that another cohort holds, finished or not."""
    for path in (manifest, working / "cohort.json"):
        if path.exists():
            if json.loads(path.read_text())["fingerprint"] != fingerprint:
                problem = "holds a cohort made with other parameters or another version of the phantom"
                raise UserError(f"{manifest.parent} {problem}: choose another folder or remove this one")
            return path == manifest
    write_json(working / "cohort.json", {"fingerprint": fingerprint})
    return False


def _make_patients(settings: CohortSettings, out: Path, workers: int, progress: bool) -> None:
    """Make every patient whose part is missing, in parallel; stops at a safe point when asked to."""
    jobs = settings.jobs()
    missing = [job for job in jobs if not _part(out, job).exists()]
    with StopRequest() as stop, Progress(console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task("phantom cohort", total=len(jobs), completed=len(jobs) - len(missing))
        try:
            for _ in _done(missing, partial(_make_patient, settings, out), workers, stop):
                bar.advance(task)
        except BrokenProcessPool:
            if not stop.requested:  # else the signal reached the workers as well
                raise
    if stop.requested:
        raise KeyboardInterrupt


def _done(jobs: Sequence[Job], make: partial[None], workers: int, stop: StopRequest) -> Iterator[None]:
    """Yield once for each job done; no new job is begun after a request to stop."""
    if workers == 1:
        for job in jobs:
            if stop.requested:
                return
            yield make(job)
        return
    waiting = iter(jobs)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_quiet_worker) as pool:
        running: set[Future[None]] = set()
        while True:
            if not stop.requested:
                running |= {pool.submit(make, job) for job in islice(waiting, 3 * workers - len(running))}
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def _quiet_worker() -> None:
    """One thread each; Ctrl-C is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    threadpool_limits(1)


def _make_patient(settings: CohortSettings, out: Path, job: Job) -> None:
    """Write all files of one patient, then the patient's part."""
    patient = sample_patient(job.patient_index, seed=settings.seed, difficulty=settings.difficulty, least_visits=settings.least_visits)
    reports = {v.study_id: write_report(patient, v, seed=settings.seed) for v in patient.visits}
    layouts = settings.layouts_of(job.site)
    rows: dict[str, Rows] = {name: {} for name in layouts}
    images = 0
    for visit in patient.visits:
        study = _study(settings, job, patient, visit, reports)
        images += len(study.views)
        for name, layout in layouts.items():
            for table, found in layout.export_study(study, out).items():
                rows[name].setdefault(table, []).extend(found)
    if job.site == "mimic_cxr":
        rows["cohort"] = {"counts": [{"patients": 1, "studies": len(patient.visits), "images": images}]}
    write_part(_part(out, job), rows)


def _study(settings: CohortSettings, job: Job, patient: Patient, visit: Visit, reports: Mapping[str, WrittenReport]) -> ExportedStudy:
    only_frontal = not settings.laterals and any(a.projection != "LATERAL" for a in visit.acquisitions)
    taken = [a for a in visit.acquisitions if not (only_frontal and a.projection == "LATERAL")]
    return ExportedStudy(
        patient=patient,
        number=job.number,
        visit=visit,
        prior=prior_of(patient, visit),
        reports=reports,
        views=tuple(ExportedView(patient, visit, a, settings.size, settings.difficulty.noise) for a in taken),
        seed=settings.seed,
        difficulty=settings.difficulty,
    )


def _assembled(settings: CohortSettings, out: Path) -> dict[str, object]:
    """Write every layout's tables; the manifest's content."""
    parts = [_part(out, job) for job in settings.jobs()]
    for site in SITES:
        for name, layout in settings.layouts_of(site).items():
            layout.write_tables(out, Parts(name, parts))
    totals = {"patients": 0, "studies": 0, "images": 0}
    for row in Parts("cohort", parts).rows("counts"):
        totals = {name: total + row[name] for name, total in totals.items()}
    identity = {"schema_version": SCHEMA_VERSION, "fingerprint": settings.fingerprint(), "code": code_version()}
    return {**identity, "parameters": asdict(settings), **totals}


def _part(out: Path, job: Job) -> Path:
    return out / ".parts" / f"{job.site}-{job.number:06d}.jsonl"


def _remove_temporaries(out: Path) -> None:
    """Remove what processes that were killed left half written."""
    for path in out.rglob(".*.tmp"):
        path.unlink(missing_ok=True)
