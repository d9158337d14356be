"""Every command that a verb's help or an experiment's header shows is one that plans."""

import re
import shlex
from pathlib import Path

import pytest

import medvl.cli
from medvl.cli.main import main
from medvl.runtime.config import config_folder

VERBS = sorted(Path(medvl.cli.__file__).parent.glob("*.py"))
EXPERIMENTS = sorted((config_folder() / "experiment").glob("*.yaml"))
SHOWN = re.compile(r"^(?:#(?: Run:)?)? {2,}(medvl .*?)(?: {2,}.*)?$", re.M)
EXAMPLES = sorted({line for path in [*VERBS, *EXPERIMENTS] for line in SHOWN.findall(path.read_text())})


def test_there_are_examples():
    assert len(EXAMPLES) > 25


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_plans(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(re.sub(r"<[^>]*>|…", "placeholder", line))[1:]

    main([*words, "--dry-run", "--json"])

    assert capsys.readouterr().out.startswith("{")
    assert not list(tmp_path.iterdir())
