"""Kill suite for `medvl prepare`: SIGKILL at random moments, resume, compare every byte with an uninterrupted run.

    python scripts/kill_prepare.py [--kills 10] [--studies 600] [--workers 2]

Exit status 1, naming the files, if anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from medvl.data.prepare import prepare
from medvl.records import Report, Study, View


def make_images(folder: Path, count: int) -> None:
    """Invented 8-bit PNGs, one of them cut short."""
    draw = np.random.default_rng(0)
    for number in range(count):
        noise = draw.integers(0, 256, (40, 34), np.uint8)
        Image.fromarray(noise).resize((340, 400), Image.Resampling.BICUBIC).save(folder / f"{number:05d}.png")
    broken = folder / f"{count // 2:05d}.png"
    broken.write_bytes(broken.read_bytes()[:300])


def read_studies(folder: Path) -> Iterator[Study]:
    for path in sorted(folder.glob("*.png")):
        view = View(view_id=path.stem, path=str(path), projection="PA")
        yield Study("invented", path.stem, path.stem, views=(view,), report=Report("Clear.", {"findings": "Clear."}))


def run(images: Path, out: Path, workers: int) -> None:
    prepare(
        lambda: read_studies(images),
        out,
        inputs={"images": "invented"},
        image_size=256,
        workers=workers,
        max_rejected_share=0.1,
        progress=False,
    )


def start(images: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    """A process that prepares, returned when its imports are done and the work begins."""
    command = [sys.executable, "-W", "ignore:resource_tracker", __file__, "--child", str(images), str(out), "--workers", str(workers)]
    child = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def different(one: Path, two: Path) -> list[str]:
    """The files that are not in both folders with equal bytes."""
    contents = [{str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()} for folder in (one, two)]
    return sorted(name for name in {*contents[0], *contents[1]} if contents[0].get(name) != contents[1].get(name))


def kill_and_resume(images: Path, whole: Path, *, kills: int, workers: int, seconds: float, seed: int) -> list[str]:
    """Kill runs at random moments of the ``seconds`` that a whole one takes, each continuing the last; returns what differs at the end."""
    draw, out, landed = random.Random(seed), whole.with_name("killed"), 0
    while landed < kills:
        child = start(images, out, workers)
        moment = draw.uniform(0, seconds)
        try:
            child.wait(timeout=moment)
            shutil.rmtree(out)  # finished before the kill: begin again
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)  # the parent alone: its workers must end by themselves
            child.wait()
            landed += 1
            print(f"  kill {landed}/{kills} after {moment:.2f} s: {len(list(out.glob('in-progress/part-*')))} shards done", flush=True)
    run(images, out, workers)
    return different(whole, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--studies", type=int, default=600)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print("begun", flush=True)
        return run(options.child[0], options.child[1], options.workers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        make_images(folder / "images", options.studies)
        child, began = start(folder / "images", folder / "whole", options.workers), time.monotonic()
        if child.wait():
            sys.exit("the uninterrupted run failed")
        seconds = time.monotonic() - began
        names = kill_and_resume(
            folder / "images", folder / "whole", kills=options.kills, workers=options.workers, seconds=seconds, seed=options.seed
        )
    if names:
        sys.exit(f"{len(names)} files differ after {options.kills} kills: {', '.join(names[:5])}")
    print(f"prepare: {options.kills} kills, every byte equal")


if __name__ == "__main__":
    main()
