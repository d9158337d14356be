"""The wheel holds everything that a run needs: code, configurations, templates, language."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_brings_every_configuration_and_data_file(tmp_path):
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)

    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())

    configs = {f"medvl/configs/{path.relative_to(ROOT / 'configs').as_posix()}" for path in (ROOT / "configs").rglob("*.yaml")}
    source = ROOT / "src" / "medvl"
    files = {f"medvl/{p.relative_to(source).as_posix()}" for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert configs | files <= names
