"""Fuzz suite of the data layer: damaged files at every door, each in a process of its own; only the documented errors may come out.

    python scripts/fuzz.py [--cases 2000] [--seed 0] [--keep FOLDER]

A door accepts a file or refuses it with a ``UserError`` of one line that quotes no patient. Anything else is a violation: another
exception, a dead process, more than 10 s, more than 2 GiB. Exit status 1 if there is one; ``--keep`` copies the files that caused it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from fuzz_inputs import SECRET, damaged, damaged_header, make_files
from medvl.data import chexmask, mimic_cxr, ms_cxr, ms_cxr_t, open_i, padchest_gr, radnli
from medvl.data.dicom import read_radiograph
from medvl.data.intensity import Intensity
from medvl.data.report_sections import conclusion_rows, impression_findings_rows, split_sections
from medvl.runtime.errors import UserError

SECONDS = 10.0
MEBIBYTES = 2048
HEADROOM = 4 << 30  # address space beyond what a worker starts with: more than the limit, so that what is measured is not cut off

Verdict = Literal["accepted", "refused", "violation"]
FORK = multiprocessing.get_context("fork")
for module in ("pandas", "_strptime"):  # what readers import on first use: once here instead of in every worker
    import_module(module)


@dataclass(frozen=True)
class Door:
    """A way into the data layer.

    Attributes:
        patterns: which of the cohort's files are damaged.
        open: (a cohort's folder, the damaged file) → reads all there is.
        weight: share of the cases.
        damage: (content, file name, draw) → damaged content.
    """

    patterns: tuple[str, ...]
    open: Callable[[Path, Path], object]
    weight: int = 1
    damage: Callable[[bytes, str, random.Random], bytes] = damaged


@dataclass(frozen=True)
class Outcome:
    """What became of one case; ``detail`` is the message of what was raised."""

    verdict: Verdict
    detail: str
    seconds: float
    mebibytes: float


@dataclass
class Tally:
    """One door's line in the table."""

    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(get_args(Verdict), 0))
    seconds: float = 0.0
    mebibytes: float = 0.0

    def add(self, outcome: Outcome) -> None:
        self.counts[outcome.verdict] += 1
        self.seconds = max(self.seconds, outcome.seconds)
        self.mebibytes = max(self.mebibytes, outcome.mebibytes)


def open_film(_: Path, path: Path) -> None:
    for intensity in get_args(Intensity):
        pixels = read_radiograph(path, intensity).pixels
        if pixels.dtype != np.float32 or pixels.ndim != 2 or not (pixels.min() >= 0 and pixels.max() <= 1):
            raise AssertionError(f"{intensity}: {pixels.dtype} {pixels.shape} is not a radiograph in [0, 1]")


def open_report(_: Path, path: Path) -> None:
    text = path.read_text("latin-1")
    for study in (None, "s50913680", "52119491", "s58235663", path.stem):
        sections = split_sections(text, study)
        if any(name != name.lower() for name in sections):
            raise AssertionError("a section's name is not in lower case")
    list(impression_findings_rows([(path.stem, text)]))
    list(conclusion_rows([(path.stem, text)]))


def open_padchest(cohort: Path, _: Path) -> None:
    for study in padchest_gr.read_studies(cohort / "padchest-gr"):
        for view in study.views:
            if view.path is not None:
                read_radiograph(view.path)


def open_chexmask(cohort: Path, _: Path) -> None:
    list(chexmask.read_studies(cohort / "chexmask"))
    list(chexmask.read_masks(cohort / "chexmask"))


def open_ms_cxr(cohort: Path, path: Path) -> None:
    list(ms_cxr.read_studies(cohort / "ms-cxr", source="json" if path.suffix == ".json" else "csv"))


def open_ms_cxr_t(cohort: Path, _: Path) -> None:
    list(ms_cxr_t.read_studies(cohort / "ms-cxr-t"))
    list(ms_cxr_t.read_pairs(cohort / "ms-cxr-t"))


DOORS: dict[str, Door] = {
    "dicom": Door(("films/*.dcm", "loose/mimic-cxr/**/*.dcm"), open_film, 4),
    "dicom header": Door(("films/*.dcm",), open_film, 5, lambda content, _, draw: damaged_header(content, draw)),
    "png, jpg": Door(("loose/padchest-gr/**/*.png", "loose/open-i/**/*.png", "loose/mimic-cxr-jpg/**/*.jpg"), open_film, 4),
    "report": Door(("loose/mimic-cxr/**/*.txt",), open_report, 2),
    "mimic_cxr": Door(
        ("*/mimic-cxr-jpg/*.csv*", "packed/mimic-cxr/*.zip", "loose/mimic-cxr/**/*.txt"),
        lambda cohort, _: list(mimic_cxr.read_studies(cohort / "mimic-cxr", jpg_root=cohort / "mimic-cxr-jpg")),
        3,
    ),
    "mimic_cxr by headers": Door(
        ("loose/mimic-cxr/*.csv.gz", "loose/mimic-cxr/**/*.dcm"), lambda cohort, _: list(mimic_cxr.read_studies(cohort / "mimic-cxr")), 2
    ),
    "padchest_gr": Door(
        ("*/padchest-gr/*.json", "*/padchest-gr/master_table*", "packed/padchest-gr/**/*.zip.0*"), open_padchest, 3
    ),
    "ms_cxr": Door(("loose/ms-cxr/*",), open_ms_cxr, 2),
    "ms_cxr_t": Door(("loose/ms-cxr-t/*",), open_ms_cxr_t, 2),
    "open_i": Door(("loose/open-i/**/*.xml",), lambda cohort, _: list(open_i.read_studies(cohort / "open-i")), 2),
    "radnli": Door(("loose/radnli/*",), lambda cohort, _: list(radnli.read_pairs(cohort / "radnli"))),
    "chexmask": Door(("loose/chexmask/**/*.csv",), open_chexmask, 2),
}  # fmt: skip


def examine(open_door: Callable[[], object], *, seconds: float = SECONDS, mebibytes: float = MEBIBYTES) -> Outcome:
    """Open a door in a process of its own, and judge what comes out."""
    receiver, sender = FORK.Pipe(duplex=False)
    worker = FORK.Process(target=_work, args=(open_door, sender))
    began = time.monotonic()
    worker.start()
    sender.close()
    verdict: Verdict = "violation"
    detail, peak = f"not done after {seconds:g} s", 0.0
    try:
        if receiver.poll(seconds):
            verdict, detail, peak = receiver.recv()
    except EOFError:
        worker.join()
        detail = f"the process died with status {worker.exitcode}"
    took = time.monotonic() - began
    worker.kill()
    worker.join()
    receiver.close()
    if peak > mebibytes:
        verdict, detail = "violation", f"{peak:.0f} MiB of memory; {detail}"
    return Outcome(verdict, detail, took, peak)


def _work(open_door: Callable[[], object], sender: Connection) -> None:
    """Open the door, and send the verdict, the message and the peak memory in MiB."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # some decoders write there before they fail
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + HEADROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    verdict, detail = _judge(open_door)
    sender.send((verdict, detail, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def _judge(open_door: Callable[[], object]) -> tuple[Verdict, str]:
    try:
        open_door()
    except UserError as refusal:
        message = str(refusal)
        if len(message.splitlines()) != 1 or len(message) > 2000 or SECRET in message:
            return "violation", f"the message is not one short line, or quotes a patient: {message[:300]!r}"
        return "refused", message
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return "violation", f"{type(error).__name__}: {str(error)[:200]} ({place.filename}:{place.lineno})"
    return "accepted", ""


def cases(folder: Path, count: int, seed: int) -> Iterator[tuple[str, Path, bytes]]:
    """Door, file and damaged content; a case depends on its number and the seed alone."""
    turns = [name for name, door in DOORS.items() for _ in range(door.weight)]
    files = {name: sorted(path for pattern in door.patterns for path in folder.glob(pattern)) for name, door in DOORS.items()}
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        name = turns[number % len(turns)]
        path = draw.choice(files[name])
        yield name, path, DOORS[name].damage(path.read_bytes(), path.name, draw)


def fuzz(folder: Path, count: int, seed: int, keep: Path | None = None) -> dict[str, Tally]:
    """Run the cases on the files under ``folder``, which are whole again afterwards; print each violation."""
    tallies = {name: Tally() for name in DOORS}
    for number, (name, path, content) in enumerate(cases(folder, count, seed)):
        whole = path.read_bytes()
        path.write_bytes(content)
        cohort = folder / path.relative_to(folder).parts[0]
        outcome = examine(partial(DOORS[name].open, cohort, path))
        path.write_bytes(whole)
        tallies[name].add(outcome)
        if outcome.verdict == "violation":
            print(f"case {number}, {name}, {path.relative_to(folder)}: {outcome.detail}", flush=True)
            if keep:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{number}-{path.name}").write_bytes(content)
    return tallies


def table(tallies: dict[str, Tally]) -> str:
    """The tallies as a table, one line per door and one for all."""
    lines = [f"{'door':<22}{'cases':>7}{'accepted':>10}{'refused':>9}{'violations':>12}{'slowest s':>11}{'peak MiB':>10}"]
    for name, tally in tallies.items():
        lines.append(_line(name, list(tally.counts.values()), tally.seconds, tally.mebibytes))
    totals = [sum(t.counts[verdict] for t in tallies.values()) for verdict in get_args(Verdict)]
    seconds, mebibytes = max(t.seconds for t in tallies.values()), max(t.mebibytes for t in tallies.values())
    return "\n".join([*lines, _line("all", totals, seconds, mebibytes)])


def _line(name: str, counts: list[int], seconds: float, mebibytes: float) -> str:
    accepted, refused, violations = counts
    return f"{name:<22}{sum(counts):>7}{accepted:>10}{refused:>9}{violations:>12}{seconds:>11.2f}{mebibytes:>10.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that caused a violation")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        make_files(Path(name))
        tallies = fuzz(Path(name), options.cases, options.seed, options.keep)
    print(table(tallies))
    if any(tally.counts["violation"] for tally in tallies.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
