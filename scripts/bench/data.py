"""Benchmarks of the data layer: prepared samples, the loader, preparing, two cores, and a manifest of MIMIC-CXR's size.

    python scripts/bench/data.py [--json out.json] [--only samples loader prepare parallel manifest]

Ratios are the peer's CPU time ÷ ours (above 1 is faster), median over interleaved rounds, one thread, imports excluded, page cache warm.
The parallel efficiency is wall-clock time over work of about half a minute, the workers' start included: it needs two idle cores. Beside
it stands the CPU time of one worker ÷ that of two, its upper bound, which other processes hardly touch.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from PIL import Image
from preparing import as_studies, film, ratio
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from medvl.data.module import RadiographDataModule
from medvl.data.prepare import prepare
from medvl.data.samples import ImageSamples

SIZE = 512
GOALS = {"samples": 20.0, "loader": 4.0, "prepare": 1.0, "parallel": 0.8, "manifest_seconds": 2.0, "manifest_mebibytes": 1024.0}


def write_jpgs(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{number:04d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray((film(SIZE, SIZE, number) * 255).astype(np.uint8)).save(path, quality=95)
    return paths


def consume(items: Iterable[object]) -> None:
    """Take each item and let it go, as training does."""
    for _ in items:
        pass


def consume_in_order(samples: Dataset[Any], order: list[int]) -> None:
    for index in order:
        samples[index]


class JpgDataset(Dataset[torch.Tensor]):
    """The peer: PIL decodes, torchvision crops and makes a float tensor."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.transform = v2.Compose([v2.CenterCrop(SIZE), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[index]).convert("L"))


def bench_reading(folder: Path, only: set[str]) -> dict[str, float]:
    paths = write_jpgs(folder, 256)
    prepare(as_studies(paths), folder / "prepared", inputs={}, image_size=SIZE, progress=False)
    peer = JpgDataset(paths)
    module = RadiographDataModule(folder=folder / "prepared", samples=ImageSamples, batch_size=32, crop=SIZE)
    ours, results = module.samples("train"), {}
    order = np.random.default_rng(0).permutation(len(paths)).tolist()
    if "samples" in only:
        walks = [partial(consume_in_order, samples, order) for samples in (ours, peer)]
        results["samples"] = ratio(walks[0], walks[1], len(order), "samples")
    if "loader" in only:
        loaders = module.train_dataloader(), DataLoader(peer, batch_size=32, shuffle=True)
        results["loader"] = ratio(lambda: consume(loaders[0]), lambda: consume(loaders[1]), len(order), "loader")
    return results


def bench_preparing(folder: Path, parts: list[str]) -> dict[str, float]:
    """In a process of its own, so that its workers need not import torch."""
    script, out = Path(__file__).with_name("preparing.py"), folder / "results.json"
    subprocess.run([sys.executable, str(script), str(folder), str(out), *parts], check=True)
    results: dict[str, float] = json.loads(out.read_text())
    return results


def bench_manifest(folder: Path) -> dict[str, float]:
    """Open a manifest of 227,835 studies and 377,110 views in a fresh process."""
    here = Path(__file__).with_name("manifest.py")
    subprocess.run([sys.executable, str(here), "write", str(folder)], check=True)
    answer = subprocess.run([sys.executable, str(here), "open", str(folder)], check=True, capture_output=True, text=True)
    facts: dict[str, float] = json.loads(answer.stdout)
    print("manifest: " + ", ".join(f"{name} {value:.2f}" for name, value in facts.items()), flush=True)
    return {f"manifest_{name}": value for name, value in facts.items()}


def main() -> None:
    names = ["samples", "loader", "prepare", "parallel", "manifest"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    only = set(options.only)
    torch.set_num_threads(1)
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        if only & {"samples", "loader"}:
            results |= bench_reading(Path(folder), only)
    with tempfile.TemporaryDirectory() as folder:
        if parts := sorted(only & {"prepare", "parallel"}):
            results |= bench_preparing(Path(folder), parts)
    if "manifest" in only:
        with tempfile.TemporaryDirectory() as folder:
            results |= bench_manifest(Path(folder))
    for name, goal in GOALS.items():
        if name in results:
            at_most = name.startswith("manifest")
            met = results[name] < goal if at_most else results[name] >= goal
            print(f"{'met   ' if met else 'MISSED'} {name}: {results[name]:.2f} (goal {'<' if at_most else '≥'} {goal:g})")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
