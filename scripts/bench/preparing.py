"""Part of the data benchmark: preparing, against a plain loop of pydicom and PIL, and on two cores. Imports nothing heavy: workers do too.

python scripts/bench/preparing.py FOLDER OUT.json prepare parallel
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset as DicomDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from medvl.data.prepare import prepare
from medvl.records import Study, View


def film(height: int, width: int, seed: int) -> np.ndarray:
    """Invented grey levels in [0, 1] with the smoothness and noise of a radiograph, which is what decoders feel."""
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.random((12, 10), np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(coarse) + draw.normal(0, 0.01, (height, width)).astype(np.float32), 0, 1)


def write_dicoms(folder: Path, count: int) -> list[Path]:
    """Uncompressed 12-bit CR files of 3056 × 2544 pixels, 15.5 MB each."""
    paths = [folder / f"{number:04d}.dcm" for number in range(count)]
    for number, path in enumerate(paths):
        dataset = DicomDataset()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = ComputedRadiographyImageStorage, generate_uid()
        dataset.Modality, dataset.ViewPosition = "CR", "PA"
        dataset.set_pixel_data((film(3056, 2544, number) * 4095).astype(np.uint16), "MONOCHROME2", 12)
        dataset.save_as(path, enforce_file_format=True)
    return paths


def as_studies(paths: list[Path], repeat: int = 1) -> list[Study]:
    names = [(f"{path.stem}-{time}", path) for time in range(repeat) for path in paths]
    return [Study("bench", name, name, views=(View(name, str(path), "PA"),), split="train") for name, path in names]


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def ratio(ours: Callable[[], object], peer: Callable[[], object], count: int, name: str, *, rounds: int = 7) -> float:
    """Peer's CPU time ÷ ours, median over rounds; prints both rates."""
    ours(), peer()
    times = [(cpu_seconds(ours), cpu_seconds(peer)) for _ in range(rounds)]
    mine, other = (statistics.median(column) for column in zip(*times, strict=True))
    value = statistics.median(b / a for a, b in times)
    print(f"{name}: {count / mine:,.0f}/s ours, {count / other:,.0f}/s peer, ratio {value:.1f}", flush=True)
    return value


def plain_loop(paths: list[Path], out: Path) -> None:
    """The peer of `prepare`: pydicom decodes, NumPy scales, PIL resizes the short side to 518 with its antialiased bicubic filter."""
    with open(out, "wb") as file:
        for path in paths:
            pixels = pydicom.dcmread(path).pixel_array.astype(np.float32)
            pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min())
            image = Image.fromarray((pixels * 255).astype(np.uint8))
            file.write(np.asarray(image.resize((518, round(image.height * 518 / image.width)), Image.Resampling.BICUBIC)).tobytes())


def run(studies: list[Study], out: Path, workers: int) -> tuple[float, float]:
    """Prepare into a folder, then remove it; returns wall-clock and CPU seconds, workers and their imports included."""
    wall, processor = time.perf_counter(), sum(os.times()[:4])
    prepare(studies, out, inputs={}, workers=workers, progress=False)
    seconds = time.perf_counter() - wall, sum(os.times()[:4]) - processor
    shutil.rmtree(out)
    return seconds


def bench_two_cores(paths: list[Path], folder: Path, *, repeat: int = 192, rounds: int = 2) -> dict[str, float]:
    """Seconds of one worker ÷ twice the seconds of two, each the best of its rounds, in turn."""
    studies, load = as_studies(paths, repeat), os.getloadavg()[0]
    run(studies[:64], folder / "warm", workers=1)
    times = [[run(studies, folder / f"with-{workers}", workers) for workers in (1, 2)] for _ in range(rounds)]
    (wall, processor), (wall_of_two, processor_of_two) = (map(min, zip(*column, strict=True)) for column in zip(*times, strict=True))
    results = {"parallel": wall / wall_of_two / 2, "parallel_cpu": processor / processor_of_two}
    efficiency = f"efficiency {results['parallel']:.2f}"
    print(f"parallel: {len(studies)} images, {wall:.1f} s with one worker, {wall_of_two:.1f} s with two: {efficiency}")
    print(f"          CPU {processor:.1f} s and {processor_of_two:.1f} s: at most {results['parallel_cpu']:.2f} on idle cores")
    print(f"          load average before: {load:.1f}; every other busy process takes from the efficiency", flush=True)
    return results


def bench_preparing(folder: Path, only: set[str]) -> dict[str, float]:
    paths, results = write_dicoms(folder, 8), {}
    if "prepare" in only:
        studies, plain = as_studies(paths, 2), partial(plain_loop, paths * 2, folder / "plain")
        results["prepare"] = ratio(lambda: run(studies, folder / "prepared", workers=1), plain, len(studies), "prepare", rounds=5)
    if "parallel" in only:
        results |= bench_two_cores(paths, folder)
    return results


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(bench_preparing(Path(sys.argv[1]), set(sys.argv[3:]))))
