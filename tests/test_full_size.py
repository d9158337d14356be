"""The script that measures steps at published sizes, in small and without a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "bench" / "full_size.py"

pytestmark = pytest.mark.slow


def full_size(*arguments):
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True, timeout=240)


def test_each_family_steps_in_small():
    names = ["rad_dino/16/plain", "rad_dino/16/fsdp", "biovil_t/1024/chunked", "biovil/64/plain", "cxr_bert/256/plain"]

    done = full_size("--tiny", "--steps", "1", "--only", *names)

    assert done.returncode == 0, done.stdout + done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert rows.keys() == {f"{name.split('/')[0]}/4/{name.split('/')[2]}" for name in names}
    assert all("s a step" in line and "(3 steps)" in line for line in rows.values())


def test_a_step_on_the_device_is_compared_with_one_on_the_cpu():
    done = full_size("--tiny", "--equal", "--only", "cxr_bert/8")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("relative difference 0.0e+00") == 2  # the device is the CPU here: of the loss and of the gradient


def test_a_row_that_fails_says_so_in_a_line_and_the_next_one_runs():
    done = full_size("--steps", "1", "--only", "cxr_bert", "biovil/64")

    assert done.returncode == 1
    assert [line.split(": ")[0].split() for line in done.stdout.splitlines()] == [
        ["biovil/64/plain", "failed"],
        ["cxr_bert/256/plain", "failed"],
    ]
