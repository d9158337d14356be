"""Kill a training run with SIGKILL at random moments, resume it each time, and compare it with an uninterrupted run, bit for bit.

    python scripts/kill_train.py [--experiment quickstart|rad_dino] [--kills 10] [--seed 0] [--steps 60]

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

PATIENTS, SIZE = 16, 64
SMALL = {  # each experiment in small, on one thread, in float32, with everything that is drawn
    "quickstart": [
        *("data=phantom", "batches.crop=48", "batches.batch_size=4", "training.steps={steps}", "model.text.dropout=0.1"),
        *("model.image.dropout=0.1", "model.image.drop_path=0.25", "training.losses.masked_weight=1.0", "training.mask_share=0.3"),
    ],
    "rad_dino": [
        *("scale=phantom", "model.width=32", "model.depth=3", "model.heads=2", "model.patch_size=8", "model.image_size=32"),
        *("model.drop_path=0.3", "batches.crop=32", "batches.batch_size=4", "batches.samples.crops.local_crops=2"),
        *("batches.samples.crops.local_size=16", "training.head.hidden_dim=32", "training.head.prototypes=32"),
        *("training.losses.centering=softmax", "training.losses.koleo_weight=0.1", "training.steps={steps}"),
        *("training.schedule.steps={steps}", "training.schedule.warmup_steps=3", "training.probe=null"),
        *("validation.watch=val/loss", "validation.higher_is_better=false"),
    ],
}


def command(experiment: str, root: Path, outputs: str, steps: int) -> list[str]:
    """A whole training run in small."""
    return [
        *(sys.executable, "-m", "medvl", "train", f"experiment={experiment}", *(word.format(steps=steps) for word in SMALL[experiment])),
        *(f"data.root={root}/cohort", f"data.cohort.patients={PATIENTS}", f"data.cohort.size={SIZE}", "data.cohort.laterals=false"),
        *(f"image_size={SIZE}", "trainer.precision=32-true", "validation.every_steps=7", "checkpoint.every_steps=3"),
        *(f"outputs={root}/{outputs}", "benchmarks=null", "page=null", "data.cohort.workers=1", "prepare.workers=1"),
    ]


def preparing(experiment: str, root: Path) -> list[str]:
    """The command that makes and prepares the cohort of these runs."""
    data = "data=phantom" if experiment == "quickstart" else "data=phantom_quickstart"
    words = [word for word in command(experiment, root, "", 0) if word.startswith(("data.", "image_size", "prepare."))]
    return [sys.executable, "-m", "medvl", "prepare", data, *words]


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


def suite(experiment: str, root: Path, *, kills: int, seed: int, steps: int) -> list[str]:
    """Kill a run at random moments and resume it, again with a new run when one gets to its end, until there were ``kills`` kills.

    Returns:
        The tensors in which any of the resumed runs differs from an uninterrupted one.
    """
    run(preparing(experiment, root))
    start = time.monotonic()
    run(command(experiment, root, "whole", steps))
    span = time.monotonic() - start
    draw, done, finished = random.Random(seed), 0, 0
    found: list[str] = []
    while done < kills or finished == 0:
        words = command(experiment, root, f"killed-{finished}", steps)
        if run(words, kill_after=draw.uniform(0.3, 1.0) * span if done < kills else None):
            found += differences(root / "whole", root / f"killed-{finished}")
            finished += 1
        else:
            done += 1
            print(f"killed {done} of {kills}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", choices=sorted(SMALL), default="quickstart")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = suite(options.experiment, Path(folder), kills=options.kills, seed=options.seed, steps=options.steps)
    print(f"{options.kills} kills: {'bit for bit equal' if not found else 'different: ' + ', '.join(found)}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
