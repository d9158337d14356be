"""Optimiser steps of the experiments at their published sizes: seconds, throughput and peak memory on one CUDA device.

python scripts/bench/full_size.py [--only rad_dino biovil_t/1024 …] [--steps 6] [--seconds 60] [--equal]
python scripts/bench/full_size.py --tiny --steps 2            the same rows in small (scale=phantom), on the CPU, none compiled

A Lightning Trainer trains each experiment as ``medvl train`` composes it, after two steps of warm-up. Weights are random, films are noise
of the recipe's sizes in pinned memory, reports are invented, and what ``prepare`` would read of a cache is left out. A step is timed from
its batch's arrival on the device to its end, both synchronised: forward, backward, clipping, optimiser, average. The median counts. Peak
memory is the allocator's, warm-up and batch included; the CUDA context comes on top. ``--equal`` adds a step of each experiment in small
(float32, no TF32) on the device against the same step on the CPU.
A row that fails, for memory or otherwise, says why in one line (with a traceback on the error stream), and others go on; the exit code is
1 if it was not for memory. Each row has a process of its own, so that none inherits another's memory, process group or broken context.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import time
import traceback
import warnings
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from medvl.models.tokenizer import train_wordpiece
from medvl.runtime.config import compose, instantiate
from medvl.training.cxr_bert import CxrBertTraining
from medvl.training.dino import DinoTraining
from medvl.training.image_text import ImageTextTraining

WARM_UP, BATCHES = 2, 2  # steps that do not count, and batches that are made and cycled
START, BAD_FORK = 90, 3  # seconds beyond its budget in which a row starts, compiles and ends; exit code if CUDA was touched before the fork
WORDS = [line.split() for line in ("no small mild severe", "effusion edema opacity nodule", "left right", "apex base hilum fissure")]
OFF = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary", "use_distributed_sampler")
ROWS = {  # experiment/batch/setting → overrides, the most important first
    "rad_dino/16/plain": "",
    "biovil_t/64/plain": "",
    "biovil_t/1024/chunked": "training.chunk=32 training.freeze_norms=true",
    "biovil/64/plain": "",
    "cxr_bert/256/plain": "",
    "rad_dino/16/fsdp": "trainer=fsdp trainer.devices=1",
    "rad_dino/32/plain": "",
    "rad_dino/32/checkpointing": "model.checkpoint_activations=true",
    "biovil_t/256/plain": "",
    "rad_dino/8/plain": "",
    "rad_dino/16/compile": "training.compile=true",
}
EQUAL = {f"{name}/8/equal": "scale=phantom trainer.precision=32-true" for name in ("rad_dino", "biovil_t", "biovil", "cxr_bert")}
SMALL = {"rad_dino": "batches.samples.crops.local_crops=2", "chunked": "training.chunk=2", "fsdp": "trainer.sync_batchnorm=false"}


class Meter(Callback):
    """Seconds of each step, the last loss and, if asked, the norm of the gradient before it is clipped; stops after some seconds."""

    def __init__(self, seconds: float, *, norm: bool = False) -> None:
        self.seconds, self.wants_norm, self.times, self.norm, self.loss = seconds, norm, list[float](), np.nan, np.nan

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.began = now()

    def on_before_optimizer_step(self, trainer: Trainer, module: LightningModule, optimizer: Any) -> None:
        if self.wants_norm:
            self.norm = float(torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None]))

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.times.append(now() - self.began)
        self.loss = float(trainer.callback_metrics["train/loss"])
        trainer.should_stop = sum(self.times) > self.seconds


def now() -> float:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def crops(config: Any, rows: int, draw: np.random.Generator) -> dict[str, Any]:
    """A batch as ``MultiCropSamples`` makes it, with the recipe's masks."""
    of, large = config.batches.samples.crops, config.batches.crop
    masks, grid = instantiate(config.batches.samples.masks), (large // config.model.patch_size,) * 2
    hidden = torch.from_numpy(np.stack([masks(of.global_crops, grid, draw=draw) for _ in range(rows)]))
    sizes = {"global_crops": (of.global_crops, large), "local_crops": (of.local_crops, of.local_size)}
    films = {name: torch.randint(256, (rows, n, 1, size, size), dtype=torch.uint8) for name, (n, size) in sizes.items()}
    return {**films, "masks": hidden, "epoch": 0}


def reports(config: Any, rows: int, draw: np.random.Generator) -> dict[str, Any]:
    """Invented reports of 64 to 128 word pieces, with the fields of any text sample."""
    drawn = [zip(*(draw.choice(words, 8) for words in WORDS), strict=True) for _ in range(rows)]
    spoken = [[f"There is {a} {b} at the {c} {d}, unchanged since the film before." for a, b, c, d in of] for of in drawn]
    pairs = [(of[: draw.integers(3, 6)], of[5 : draw.integers(6, 9)]) for of in spoken]
    sections = [{"findings": " ".join(first), "impression": " ".join(second)} for first, second in pairs]
    columns = {name: [report[name] for report in sections] for name in sections[0]}
    texts = [" ".join(report[name] for name in config.batches.samples.get("sections", columns)) for report in sections]
    phrases, ids = [text.split(". ") for text in texts], [str(draw.integers(2**31)) for _ in range(rows)]
    return {"sample_id": ids, "epoch": 0, "sections": sections, "text": texts, "phrases": phrases, **columns}


def studies(config: Any, rows: int, draw: np.random.Generator) -> dict[str, Any]:
    """A batch as ``ImagePairSamples`` makes it: zeros where there is no film before."""
    films = {name: torch.rand(rows, 1, config.batches.crop, config.batches.crop) for name in ("image", "previous_image")}
    known = torch.from_numpy(draw.random(rows) >= config.batches.samples.prior_dropout)
    films["previous_image"][~known] = 0
    return {**reports(config, rows, draw), **films, "has_previous": known}


def fit(name: str, overrides: str, meter: Meter, steps: int, accelerator: str) -> tuple[float, str]:
    """Train for some steps; returns how many films or texts a step reads, and which of them."""
    rows, device = int(name.split("/")[1]), f"trainer.accelerator={accelerator}"
    own = [f"experiment={name.split('/')[0]}", f"batches.batch_size={rows}", device, "trainer.precision=bf16-mixed"]
    config = compose("train", [*["trainer=auto"] * ("trainer=" not in overrides), *own, *overrides.split()])
    torch.manual_seed(config.seed)
    module, draw = instantiate(config.training, model=instantiate(config.model)), np.random.default_rng(0)
    make = {DinoTraining: crops, ImageTextTraining: studies, CxrBertTraining: reports}[type(module)]
    batches = [make(config, rows, draw) for _ in range(BATCHES)]
    if isinstance(module, DinoTraining):
        module._batches = instantiate(config.batches)  # the schedule asks for its size
    else:
        texts = [text for batch in batches for text in batch["text"]]
        (module if make is reports else module.model).set_tokenizer(train_wordpiece(texts, 2000))
    if accelerator == "gpu":
        batches = [{name: x.pin_memory() if isinstance(x, torch.Tensor) else x for name, x in batch.items()} for batch in batches]
    loader: Any = DataLoader([batches[step % BATCHES] for step in range(steps)], batch_size=None, collate_fn=dict)
    options = {"max_steps": steps, "max_epochs": -1, "limit_val_batches": 0, "callbacks": [meter], **dict.fromkeys(OFF, False)}
    instantiate(config.trainer)(**options).fit(module, train_dataloaders=loader)
    assert np.isfinite(meter.loss), f"the loss is {meter.loss}"
    before = sum(int(batch["has_previous"].sum()) for batch in batches if "has_previous" in batch)
    return (2 * rows, "texts") if make is reports else (rows + before / BATCHES, "films")


def measure(name: str, overrides: str, steps: int, seconds: float, accelerator: str) -> str:
    """What a row says."""
    meter, other = (Meter(seconds, norm="equal" in name) for _ in range(2))
    if "equal" in name:
        torch.backends.cudnn.allow_tf32 = False
        fit(name, overrides, meter, 1, accelerator), fit(name, overrides, other, 1, "cpu")
        pairs = {"loss": (meter.loss, other.loss), "gradient norm": (meter.norm, other.norm)}
        return ", ".join(f"{what} {a:.6g}, relative difference {abs(a - b) / b:.1e}" for what, (a, b) in pairs.items())
    number, read = fit(name, overrides, meter, WARM_UP + steps, accelerator)
    step, peak = np.median(meter.times[WARM_UP:] or meter.times[-1:]), torch.cuda.max_memory_allocated() / 2**30
    return f"{step:7.3f} s a step {number / step:8.1f} {read}/s {peak:7.2f} GiB  loss {meter.loss:.4f}  ({len(meter.times)} steps)"


def work(name: str, overrides: str, steps: int, seconds: float, accelerator: str) -> None:
    """A row's process: prints what was measured or what was in the way, and ends without waiting for what the row has started."""
    if torch.cuda._is_in_bad_fork():
        os._exit(BAD_FORK)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    try:
        torch.zeros(1, device="cuda" if accelerator == "gpu" else "cpu")  # says what is wrong before a model is made
        says, failed = measure(name, overrides, steps, seconds, accelerator), False
    except Exception as error:
        traceback.print_exc()
        says = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        failed = not any(words in says for words in ("out of memory", "ALLOC_FAILED"))
    print(f"{name:<27}{'failed: ' * failed}{says}", flush=True)
    os._exit(failed)


def run(*row: Any, way: str = "fork") -> bool:
    """Whether a row came to its end, or to that of the memory; ``row`` is what ``work`` takes."""
    process: Any = multiprocessing.get_context(way).Process(target=work, args=row)
    process.start()
    process.join(row[3] + START)
    process.kill()  # if it has not ended
    process.join()
    if process.exitcode == BAD_FORK:
        return run(*row, way="spawn")
    if process.exitcode not in (0, 1):
        print(f"{row[0]:<27}failed: its process ended with {process.exitcode} (-9: no time or no memory of the host was left)", flush=True)
    return process.exitcode == 0


def small(name: str, overrides: str) -> tuple[str, str]:
    experiment, _, setting = parts = name.split("/")
    return f"{experiment}/4/{setting}", " ".join(["scale=phantom", overrides, *(SMALL.get(part, "") for part in parts)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="how a row's experiment/batch/setting begins")
    parser.add_argument("--steps", type=int, default=6, help="measured steps of a row")
    parser.add_argument("--seconds", type=float, default=60, help="a row takes no further step after these")
    parser.add_argument("--tiny", action="store_true", help="small networks and batches, on the CPU")
    parser.add_argument("--equal", action="store_true", help="also the device against the CPU")
    options = parser.parse_args()
    rows = {name: row for name, row in {**ROWS, **(EQUAL if options.equal else {})}.items() if name.startswith((*options.only,))}
    rows = dict(small(*row) for row in rows.items() if "compile" not in row[0]) if options.tiny else rows
    raise SystemExit(sum(not run(*row, options.steps, options.seconds, "cpu" if options.tiny else "gpu") for row in rows.items()) > 0)


if __name__ == "__main__":
    main()
