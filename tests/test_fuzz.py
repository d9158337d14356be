"""The fuzz suite: what it calls a violation, and a short run of it over every door."""

import os
import sys
import time
from dataclasses import replace
from functools import partial

import pytest

from fuzz import DOORS, cases, examine, fuzz, table
from fuzz_inputs import SECRET, make_files
from medvl.runtime.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    make_files(folder)
    return folder


def refuse(message):
    raise UserError(message)


def test_a_damaged_file_is_accepted_or_refused_with_a_documented_error_at_every_door(files, capsys):
    tallies = fuzz(files, 132, seed=0)

    assert capsys.readouterr().out == ""
    assert all(sum(tally.counts.values()) for tally in tallies.values())
    assert sum(tally.counts["violation"] for tally in tallies.values()) == 0
    assert sum(tally.counts["refused"] for tally in tallies.values()) > 30


def test_every_door_accepts_its_undamaged_files(files):
    for door in DOORS.values():
        path = min(path for pattern in door.patterns for path in files.glob(pattern))
        cohort = files / path.relative_to(files).parts[0]

        outcome = examine(partial(door.open, cohort, path))

        assert (outcome.verdict, outcome.detail) == ("accepted", "")


def test_the_same_seed_gives_the_same_cases(files):
    one, two, other = (list(cases(files, 66, seed)) for seed in (3, 3, 4))

    assert one == two
    assert one != other


@pytest.mark.parametrize(
    ("open_door", "reason"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: sys.exit(3), "SystemExit: 3"),
        (lambda: os._exit(3), "the process died with status 3"),
        (lambda: time.sleep(60), "not done after 2 s"),
        (lambda: b"x" * (1 << 30), "MiB of memory"),
        (lambda: refuse("two\nlines"), "not one short line"),
        (lambda: refuse("x" * 5000), "not one short line"),
        (lambda: refuse(f"the name {SECRET} is too long"), "quotes a patient"),
    ],
    ids=["error", "exit", "death", "hang", "memory", "lines", "length", "secret"],
)
def test_anything_but_a_short_documented_error_is_a_violation(open_door, reason):
    outcome = examine(open_door, seconds=2 if "2 s" in reason else 60, mebibytes=1000)

    assert outcome.verdict == "violation"
    assert reason in outcome.detail


def test_a_user_error_is_a_refusal():
    assert examine(lambda: refuse("scan.dcm: it holds several frames")).verdict == "refused"


def test_a_violation_is_printed_and_its_file_kept(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(DOORS, "report", replace(DOORS["report"], open=lambda *_: 1 / 0))
    before = {path: path.read_bytes() for path in files.glob("loose/mimic-cxr/**/*.txt")}

    tallies = fuzz(files, 33, seed=0, keep=tmp_path / "kept")

    assert "ZeroDivisionError" in capsys.readouterr().out
    assert len(list((tmp_path / "kept").iterdir())) == tallies["report"].counts["violation"] > 0
    assert before == {path: path.read_bytes() for path in before}
    assert "report" in table(tallies)
