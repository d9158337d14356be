"""The README's commands are real: each is dry-run, or is a script that exists."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
LINES = [line.split(" #")[0].strip() for block in re.findall(r"```bash\n(.*?)```", README, re.S) for line in block.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("medvl ")])
def test_every_medvl_command_plans(tmp_path, line):
    words = [word for word in shlex.split(line.replace("$MEDVL_DATA", "releases")) if word != "--multirun"]
    words = [re.sub(r"(seed=\d+)(,\d+)+", r"\1", word) for word in words]

    run = subprocess.run([sys.executable, "-m", *words, "--dry-run"], capture_output=True, text=True, cwd=tmp_path)

    assert run.returncode == 0, run.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("./")])
def test_every_script_is_there_and_runs(line):
    assert os.access(ROOT / line, os.X_OK)


def test_nothing_but_scripts_medvl_and_its_data_folder_stands_in_the_blocks():
    assert all(line.startswith(("./scripts/", "medvl ", "export MEDVL_DATA=")) for line in LINES if line)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", README))
def test_every_link_leads_somewhere(link):
    assert (ROOT / link).exists()


def test_every_room_named_is_a_room():
    rooms = re.findall(r"`(\w+)/`", README.split("## The way")[1].split("Configurations")[0].split("|---|---|")[1])

    assert rooms
    assert all((ROOT / "src" / "medvl" / room).is_dir() for room in rooms)
