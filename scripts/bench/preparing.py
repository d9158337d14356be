"""Part of the data benchmark: preparing, against a plain loop of pydicom and PIL, and on two cores. Imports nothing heavy: workers do too.

python scripts/bench/preparing.py FOLDER OUT.json prepare parallel
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
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


def bench_preparing(folder: Path, only: set[str]) -> dict[str, float]:
    paths, results = write_dicoms(folder, 8), {}
    numbers = iter(range(1000))

    def ours(repeat: int = 2, workers: int = 1) -> None:
        out = folder / f"prepared-{next(numbers)}"
        prepare(as_studies(paths, repeat), out, inputs={}, workers=workers, progress=False)

    if "prepare" in only:
        results["prepare"] = ratio(ours, lambda: plain_loop(paths * 2, folder / "plain"), 2 * len(paths), "prepare", rounds=5)
    if "parallel" in only:
        walls: dict[int, list[float]] = {1: [], 2: []}
        processor: dict[int, list[float]] = {1: [], 2: []}
        for workers in (1, 2) * 2:
            wall, before = time.perf_counter(), sum(os.times()[:4])
            ours(repeat=96, workers=workers)
            walls[workers].append(time.perf_counter() - wall)
            processor[workers].append(sum(os.times()[:4]) - before)
        results["parallel"] = min(walls[1]) / min(walls[2]) / 2
        results["parallel_cpu"] = min(processor[1]) / min(processor[2])  # the bound that the work itself sets, on any machine
        print(f"parallel: {min(walls[1]):.1f} s with one worker, {min(walls[2]):.1f} s with two, efficiency {results['parallel']:.2f}")
        print(f"          CPU {min(processor[1]):.1f} s with one, {min(processor[2]):.1f} s with two: {results['parallel_cpu']:.2f}")
    return results


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(bench_preparing(Path(sys.argv[1]), set(sys.argv[3:]))))
