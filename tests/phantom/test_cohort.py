"""A cohort on disk: deterministic, resumable, one per folder."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import pairwise

import pandas as pd
import pytest
from exported import contents

from medvl.phantom import cohort
from medvl.phantom.cohort import make_cohort
from medvl.phantom.export import settings
from medvl.phantom.facts import Difficulty
from medvl.runtime.errors import UserError

SMALL = {"patients": 3, "size": 48, "layouts": ("mimic_cxr", "ms_cxr"), "workers": 1, "progress": False}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    return out, make_cohort(out, **SMALL)


def test_the_summary_counts_what_lies_on_disk(whole):
    out, summary = whole
    jpgs = list((out / "mimic-cxr-jpg").rglob("*.jpg"))

    assert (summary.patients, summary.images, summary.already_there) == (3, len(jpgs), False)
    assert summary.studies == len({p.parent for p in jpgs})


def test_nothing_but_the_layouts_and_the_manifest_is_left_behind(whole):
    out, _ = whole

    assert sorted(p.name for p in out.iterdir()) == ["cohort.json", "mimic-cxr", "mimic-cxr-jpg", "ms-cxr"]
    assert not [name for name in contents(out) if name.endswith(".tmp")]
    assert json.loads((out / "cohort.json").read_text())["schema_version"] == 1


def test_the_same_parameters_give_the_same_bytes(whole, tmp_path):
    make_cohort(tmp_path, **SMALL)

    assert contents(tmp_path) == contents(whole[0])


@pytest.mark.distributed
@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_number_of_workers(whole, tmp_path):
    make_cohort(tmp_path, **SMALL | {"workers": 2})

    assert contents(tmp_path) == contents(whole[0])


@pytest.mark.distributed
@pytest.mark.slow
def test_a_cohort_killed_outright_goes_on_and_ends_with_the_same_bytes(whole, tmp_path):
    call = f"make_cohort(Path({str(tmp_path)!r}), **{SMALL | {'workers': 2}})"
    program = f"from pathlib import Path\nfrom medvl.phantom.cohort import make_cohort\nif __name__ == '__main__':\n    {call}\n"
    (script := tmp_path.parent / "make.py").write_text(program)
    with subprocess.Popen([sys.executable, str(script)], start_new_session=True) as process:
        while process.poll() is None and not list(tmp_path.rglob("*.jpg")):
            time.sleep(0.01)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert not (tmp_path / "cohort.json").exists()

    make_cohort(tmp_path, **SMALL)

    assert contents(tmp_path) == contents(whole[0])


def test_a_finished_cohort_is_not_made_again(whole, monkeypatch):
    out, summary = whole
    monkeypatch.setattr(cohort, "sample_patient", None)

    again = make_cohort(out, **SMALL)

    assert again.already_there
    assert (again.fingerprint, again.studies) == (summary.fingerprint, summary.studies)


@pytest.mark.parametrize("change", [{"seed": 1}, {"size": 64}, {"difficulty": Difficulty(noise=2.0)}, {"layouts": ("mimic_cxr",)}])
def test_a_folder_refuses_other_parameters(whole, change):
    with pytest.raises(UserError, match="another folder"):
        make_cohort(whole[0], **SMALL | change)


def test_a_folder_refuses_another_version_of_the_phantom(whole, monkeypatch):
    monkeypatch.setattr(settings, "code_version", lambda: "other")

    with pytest.raises(UserError, match="another version"):
        make_cohort(whole[0], **SMALL)


def test_an_interrupted_cohort_goes_on_and_ends_with_the_same_bytes(whole, tmp_path, monkeypatch):
    made = []

    def interrupted(index, **options):
        made.append(index)
        if len(made) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return sample(index, **options)

    sample = cohort.sample_patient
    monkeypatch.setattr(cohort, "sample_patient", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_cohort(tmp_path, **SMALL)
    assert not (tmp_path / "cohort.json").exists()
    make_cohort(tmp_path, **SMALL)

    assert made == [0, 1, 2]
    assert contents(tmp_path) == contents(whole[0])


def test_a_patient_cut_off_in_the_middle_is_made_again(whole, tmp_path, monkeypatch):
    def failing(*args, **options):
        raise RuntimeError("power cut")

    monkeypatch.setattr(cohort, "write_part", failing)
    with pytest.raises(RuntimeError):
        make_cohort(tmp_path, **SMALL)
    monkeypatch.undo()
    (tmp_path / "mimic-cxr-jpg" / ".half.jpg.123.tmp").write_bytes(b"half")
    make_cohort(tmp_path, **SMALL)

    assert contents(tmp_path) == contents(whole[0])


def test_an_unfinished_cohort_refuses_other_parameters_too(tmp_path, monkeypatch):
    monkeypatch.setattr(cohort, "sample_patient", lambda *args, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make_cohort(tmp_path, **SMALL)

    with pytest.raises(UserError, match="other parameters"):
        make_cohort(tmp_path, **SMALL | {"seed": 5})


def test_an_unknown_layout_is_named_with_the_nearest_one(tmp_path):
    with pytest.raises(UserError, match="ms_cxr_t"):
        make_cohort(tmp_path, **SMALL | {"layouts": ("ms_cxrt",)})

    assert list(tmp_path.iterdir()) == []


def test_without_laterals_only_studies_that_have_no_frontal_keep_one(tmp_path):
    make_cohort(tmp_path, **SMALL | {"patients": 8, "laterals": False, "layouts": ("mimic_cxr",)})

    metadata = pd.read_csv(tmp_path / "mimic-cxr-jpg/mimic-cxr-2.0.0-metadata.csv.gz", dtype=str)
    views = metadata.groupby("study_id")["ViewCodeSequence_CodeMeaning"].agg(set)
    assert not [v for v in views if "left lateral" in v and len(v) > 1]


@pytest.mark.parametrize("visits", [0, 6])
def test_a_number_of_visits_that_no_patient_can_have_is_refused(tmp_path, visits):
    with pytest.raises(UserError, match="least_visits"):
        make_cohort(tmp_path, **SMALL | {"least_visits": visits})


def test_the_sites_share_no_patient():
    ends = sorted((share.first, share.first + 400_000 * share.ratio) for share in settings.SITES.values())

    assert all(end <= first for (_, end), (first, _) in pairwise(ends))
