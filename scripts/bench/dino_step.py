"""CPU time of a whole self-distillation step: ours, the official DINOv2 modules, and lightly's building blocks.

python scripts/bench/dino_step.py --dinov2 CHECKOUT [--batch 8] [--prototypes 4096] [--rounds 3] [--only step memory data]

CHECKOUT is one of the official repository, read and not installed; beside it: pip install lightly==1.6.0 fvcore
ViT-S/14, two crops of 224 and eight of 98 pixels, one thread. All sides have the same collated batch, masks and weights; the starting
losses are printed, and ours must agree with the official ones within 1e-4 (lightly interpolates the small crops' position embeddings in
another way). Steps are interleaved in one process; each figure is the least CPU time over the rounds. A step is the schedules, the
teacher's and the student's forward pass, the losses, backward, clipping, AdamW and the average. At a drop path of 0.3 the official code
and ours compute blocks on the same random subsets; lightly's computes all of them.
The data side is the CPU time from an image in the cache to standardised crops, against PIL's from the decoded image.
Peak memory is that of a process which does nothing but two steps.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightly_dinov2 import LightlyStep
from official_dinov2 import OfficialStep, collate, import_checkout, pil_crops
from PIL import Image

from medvl.data.multicrop import MultiCrop, multi_crops
from medvl.models.dino_head import DinoHead
from medvl.models.vit import VisionTransformer
from medvl.training.dino import DinoTraining
from medvl.training.dino_losses import DinoLosses
from medvl.training.ema import update_average
from medvl.training.parameter_groups import Multipliers
from medvl.training.schedules import DinoSchedule

MEAN, STD = 0.5307, 0.2583
Step = Callable[[], dict[str, float]]


class OurStep:
    """Whole train steps of ``DinoTraining``'s parts, in its order; a call returns the losses at its start."""

    def __init__(self, batch: dict[str, Any], *, prototypes: int, drop_path: float, bfloat16: bool = False) -> None:
        sizes = {"width": 384, "depth": 12, "heads": 6, "patch_size": 14, "image_size": 224, "in_channels": 3}
        self.training = DinoTraining(
            VisionTransformer(**sizes, drop_path=drop_path, mean=MEAN, std=STD),
            steps=100_000,
            head=partial(DinoHead, prototypes=prototypes),
            losses=DinoLosses(prototypes=prototypes),
            schedule=DinoSchedule(steps=100_000, learning_rate=4e-3, warmup_steps=0, temperature_steps=37_500),
            seed=0,
        )
        self.training.train()
        self.optimizer = self.training.configure_optimizers()
        self.batch, self.bfloat16 = batch, bfloat16

    def start_from(self, official: OfficialStep) -> None:
        """Take the official weights of student and teacher."""
        for ours, theirs in ((self.training.student, official.model.student), (self.training.teacher, official.model.teacher)):
            ours.load_state_dict(theirs.state_dict())

    def __call__(self) -> dict[str, float]:
        training, schedule = self.training, self.training.schedule
        for group in self.optimizer.param_groups:
            of = Multipliers(*group["multipliers"])
            group["lr"] = schedule.learning_rate_at(0, len(self.batch["masks"])) * of.learning_rate
            group["weight_decay"] = schedule.weight_decay_at(0) * of.weight_decay
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            terms = training.terms(self.batch, temperature=schedule.teacher_temperature_at(0), update_centers=True)
        terms["loss"].backward()
        for part in training.student.children():
            torch.nn.utils.clip_grad_norm_(part.parameters(), 3.0)
        self.optimizer.step()
        update_average(training.teacher, training.student, schedule.momentum_at(0))
        return {name: float(terms[name].detach()) for name in ("dino", "ibot", "koleo")}


def crops(images: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops of invented films as uint8: (B, 2, 1, 224, 224) and (B, 8, 1, 98, 98)."""
    draw = np.random.default_rng(0)
    parts = [multi_crops(film(draw), 224, MultiCrop(), draw) for _ in range(images)]
    large, small = (torch.from_numpy(np.stack([np.stack(part[i]) for part in parts])[:, :, None]) for i in range(2))
    return large, small


def film(draw: np.random.Generator) -> np.ndarray:
    """Grey levels (518, 640) with large structures and noise."""
    coarse = Image.fromarray(draw.integers(0, 256, (6, 7), np.uint8)).resize((640, 518), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(coarse, np.float32) + draw.normal(0, 6, (518, 640)), 0, 255).astype(np.uint8)


def batches(images: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same batch for us and for the official code, masks by the official generator."""
    large, small = crops(images)
    theirs = collate(*(((part.float() / 255 - MEAN) / STD).expand(-1, -1, 3, -1, -1) for part in (large, small)))
    masks = theirs["collated_masks"].unflatten(0, (2, images)).transpose(0, 1)  # (B, 2, N)
    return {"global_crops": large, "local_crops": small, "masks": masks}, theirs


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def least(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Least CPU seconds of each side, interleaved."""
    times = [{name: cpu_seconds(work) for name, work in sides.items()} for _ in range(rounds)]
    return {name: min(row[name] for row in times) for name in sides}


def bench_steps(images: int, prototypes: int, rounds: int, drop_path: float) -> dict[str, float]:
    ours, theirs = batches(images)
    official = OfficialStep(theirs, prototypes=prototypes, drop_path=drop_path)
    sides: dict[str, Any] = {"official": official, "lightly": LightlyStep(theirs, prototypes=prototypes, drop_path=drop_path)}
    for name, bfloat16 in (("ours", False), ("ours bf16", True)):
        sides[name] = OurStep(ours, prototypes=prototypes, drop_path=drop_path, bfloat16=bfloat16)
        sides[name].start_from(official)
    sides["lightly"].start_from(official)
    losses = {}
    for name, step in sides.items():
        torch.manual_seed(0)  # of stochastic depth: the official code and ours then draw the same subsets
        losses[name] = step()
        print(
            f"drop path {drop_path}, {name:>9}: starting losses",
            {term: round(value, 5) for term, value in losses[name].items()},
            flush=True,
        )
    worst = max(abs(losses["ours"][term] - losses["official"][term]) for term in losses["ours"])
    assert worst < 1e-4, f"starting losses differ by {worst}"
    seconds = least(sides, rounds)
    for name, value in seconds.items():
        print(
            f"drop path {drop_path}, {name:>9}: {value:7.2f} s a step, official ÷ it {seconds['official'] / value:.2f}, "
            f"lightly ÷ it {seconds['lightly'] / value:.2f}",
            flush=True,
        )
    return seconds


def bench_data(rounds: int) -> None:
    image, official, draw = film(np.random.default_rng(0)), pil_crops(), np.random.default_rng(0)
    colour = Image.fromarray(image).convert("RGB")

    def ours() -> None:
        for parts in multi_crops(image, 224, MultiCrop(), draw):
            (torch.from_numpy(np.stack(parts)[:, None]).float() / 255 - MEAN) / STD

    def theirs() -> None:
        official(colour)

    repeated = {name: lambda work=work: [work() for _ in range(20)] for name, work in (("ours", ours), ("official", theirs))}
    least(repeated, 1)
    seconds = least(repeated, max(rounds, 5))
    mine, other = (seconds[name] * 1000 / 20 for name in ("ours", "official"))
    print(f"data: {mine:.1f} ms an image ours, {other:.1f} ms PIL, ratio {other / mine:.1f}", flush=True)


def peak_memory(side: str, images: int, prototypes: int, drop_path: float) -> float:
    """Highest resident memory of this process after two steps, in MB."""
    ours, theirs = batches(images)
    kinds: dict[str, Callable[[], Step]] = {
        "official": partial(OfficialStep, theirs, prototypes=prototypes, drop_path=drop_path),
        "lightly": partial(LightlyStep, theirs, prototypes=prototypes, drop_path=drop_path),
        "ours": partial(OurStep, ours, prototypes=prototypes, drop_path=drop_path),
        "ours bf16": partial(OurStep, ours, prototypes=prototypes, drop_path=drop_path, bfloat16=True),
    }
    step = kinds[side]()
    step(), step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bench_memory(arguments: argparse.Namespace) -> None:
    for side in ("official", "lightly", "ours", "ours bf16"):
        command = [sys.executable, __file__, "--dinov2", str(arguments.dinov2), "--batch", str(arguments.batch)]
        command += ["--prototypes", str(arguments.prototypes), "--peak-of", side]
        result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        print(f"peak memory, {side:>9}: {json.loads(result.stdout.splitlines()[-1]):,.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dinov2", type=Path, required=True, help="checkout of facebookresearch/dinov2")
    parser.add_argument("--batch", type=int, default=8, help="images")
    parser.add_argument("--prototypes", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--drop-path", type=float, nargs="+", default=[0.0, 0.3])
    parser.add_argument("--only", nargs="+", choices=["step", "memory", "data"], default=["step", "memory", "data"])
    parser.add_argument("--peak-of", help="print the peak memory of one side and leave")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    import_checkout(arguments.dinov2)
    if arguments.peak_of:
        print(peak_memory(arguments.peak_of, arguments.batch, arguments.prototypes, arguments.drop_path[0]))
        return
    if "data" in arguments.only:
        bench_data(arguments.rounds)
    if "memory" in arguments.only:  # before the steps: a new process starts with the peak of the one that started it
        bench_memory(arguments)
    for drop_path in arguments.drop_path if "step" in arguments.only else []:
        bench_steps(arguments.batch, arguments.prototypes, arguments.rounds, drop_path)


if __name__ == "__main__":
    main()
