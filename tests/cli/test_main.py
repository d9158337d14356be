"""The command line: help comes at once, mistakes are answered in one line."""

import json
import os
import subprocess
import sys

import pytest

from medvl.cli.main import VERBS, main


def medvl(*words, cwd=None):
    return subprocess.run([sys.executable, "-m", "medvl", *words], capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize("words", [[], ["--help"], *([verb, "--help"] for verb in VERBS)])
def test_help_loads_nothing_heavy(words):
    code = (
        f"import sys; from medvl.cli.main import main; main({words!r}); "
        "heavy = {'torch', 'lightning', 'transformers', 'pandas', 'pyarrow', 'hydra', 'pydicom', 'cv2'} & set(sys.modules); "
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("medvl")


def test_an_unknown_verb_names_the_nearest():
    with pytest.raises(SystemExit, match="no verb 'trian' — did you mean 'train'"):
        main(["trian"])


@pytest.mark.parametrize("words", [["--help"], ["train", "experiment=cxr_bert", "scale=phantom", "dry_run=true"]])
def test_a_reader_that_has_enough_causes_no_message(words):
    read, write = os.pipe()
    os.close(read)

    answer = subprocess.run([sys.executable, "-m", "medvl", *words], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)

    assert (answer.returncode, answer.stderr) == (1, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["prepare"], "medvl prepare: choose data=…"),
        (["prepare", "data=phantm"], "medvl prepare: there is no data=phantm — did you mean 'phantom'?"),
        (["prepare", "data=phantom", "image_sze=3"], "medvl prepare: prepare has no key 'image_sze' — did you mean 'image_size'?"),
        (["train", "experiment=quickstart", "training.stps=3"], "medvl train: train has no key 'training.stps' — did you mean 'steps'?"),
        (["phantom"], "medvl phantom: missing values: out"),
        (["prepare", "data=mimic_cxr"], "medvl prepare: data/mimic-cxr does not exist"),
        (["evaluate", "benchmark=zero_shot", "data=mimic_cxr", "trained=nowhere"], "medvl evaluate: nowhere/model.safetensors"),
        (["data", "verfy"], "medvl data: there is no verb 'verfy' — did you mean 'verify'?"),
    ],
)
def test_a_mistake_is_answered_in_one_line(tmp_path, words, answer):
    run = medvl(*words, cwd=tmp_path)

    assert run.returncode == 1
    assert run.stderr.startswith(answer)
    assert len(run.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["phantom", "out=cohort"],
        ["prepare", "data=phantom"],
        ["prepare", "data=mimic_cxr", "image_size=518"],
        ["train", "experiment=quickstart"],
        ["evaluate", "benchmark=phrase_grounding", "data=phantom", "trained=nowhere"],
        ["data", "verify", "dataset=mimic_cxr", "root=nowhere"],
        ["data", "show", "data=phantom"],
        ["doctor"],
    ],
)
def test_a_dry_run_says_what_is_missing_and_writes_nothing(tmp_path, words):
    run = medvl(*words, "--dry-run", "--json", cwd=tmp_path)

    assert run.returncode == 0, run.stderr
    assert "missing" in json.loads(run.stdout)
    assert not list(tmp_path.iterdir())
