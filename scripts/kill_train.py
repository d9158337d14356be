"""Kill a training run with SIGKILL at random moments, resume it each time, and compare it with an uninterrupted run, bit for bit.

    python scripts/kill_train.py [--kills 10] [--seed 0] [--steps 60]

A small cohort of the phantom is made and prepared first. Exit status 1 if any tensor differs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

PATIENTS, SIZE, CROP, BATCH = 16, 64, 48, 4


def command(root: Path, outputs: str, steps: int) -> list[str]:
    """A whole training run in small, on one thread, in float32."""
    return [
        *(sys.executable, "-m", "medvl", "train", "experiment=quickstart", "data=phantom"),
        *(f"data.root={root}/cohort", f"data.cohort.patients={PATIENTS}", f"data.cohort.size={SIZE}", "data.cohort.laterals=false"),
        *(f"image_size={SIZE}", f"batches.crop={CROP}", f"batches.batch_size={BATCH}", f"training.steps={steps}", "model.dropout=0.1"),
        *("trainer.precision=32-true", "validation.every_steps=7", "checkpoint.every_steps=3"),
        *(f"outputs={root}/{outputs}", "benchmarks=null", "page=null", "data.cohort.workers=1", "prepare.workers=1"),
    ]


def run(words: list[str], *, kill_after: float | None = None) -> bool:
    """Run a command, killing it after some seconds if it has not ended by then; whether it ended by itself."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        _, errors = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return False
    if process.returncode != 0:
        sys.exit(errors.decode())
    return True


def differences(one: Path, other: Path) -> list[str]:
    """The names of tensors that are not equal bit for bit, in the best model and in the last checkpoint."""
    found = []
    for name in ("model/model.safetensors", "checkpoints/last.ckpt"):
        first, second = (next(folder.glob(f"train/*/{name}")) for folder in (one, other))
        read = load_file if name.endswith("safetensors") else lambda path: torch.load(path, weights_only=True)["state_dict"]
        a, b = read(first), read(second)
        found += [
            f"{name}: {key}" for key in sorted(a.keys() | b.keys()) if key not in a or key not in b or not torch.equal(a[key], b[key])
        ]
    return found


def suite(root: Path, *, kills: int, seed: int, steps: int) -> list[str]:
    """Kill a run at random moments and resume it, again with a new run when one gets to its end, until there were ``kills`` kills.

    Returns:
        The tensors in which any of the resumed runs differs from an uninterrupted one.
    """
    run(
        [
            sys.executable,
            "-m",
            "medvl",
            "prepare",
            *(w for w in command(root, "x", steps) if w.startswith(("data", "image_size", "prepare"))),
        ]
    )
    start = time.monotonic()
    run(command(root, "whole", steps))
    span = time.monotonic() - start
    draw, done, finished = random.Random(seed), 0, 0
    found: list[str] = []
    while done < kills or finished == 0:
        words = command(root, f"killed-{finished}", steps)
        if run(words, kill_after=draw.uniform(0.3, 1.0) * span if done < kills else None):
            found += differences(root / "whole", root / f"killed-{finished}")
            finished += 1
        else:
            done += 1
            print(f"killed {done} of {kills}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = suite(Path(folder), kills=options.kills, seed=options.seed, steps=options.steps)
    print(f"{options.kills} kills: {'bit for bit equal' if not found else 'different: ' + ', '.join(found)}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
