"""Run lengths of SIIM's dialect, and the tables they stand in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays

from medvl.data.run_lengths import mask_from_relative_runs, read_mask
from medvl.phantom.export.run_lengths import siim_runs
from medvl.runtime.errors import InvalidValue


def test_runs_go_by_columns_and_starts_are_gaps():
    assert mask_from_relative_runs("0 1 1 2", (2, 3)).tolist() == [[True, True, False], [False, True, False]]


@pytest.mark.parametrize("runs", ["-1", " -1", ""])
def test_minus_one_is_an_empty_mask(runs):
    assert not mask_from_relative_runs(runs, (2, 3)).any()


@pytest.mark.parametrize("runs", ["5 2", "3", "1 -1", "-2 1", "0 4 1 2", "a b"])
def test_runs_outside_the_image_are_refused(runs):
    with pytest.raises(ValueError, match=r"run lengths|invalid literal"):
        mask_from_relative_runs(runs, (2, 3))


@given(arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_what_the_exporter_wrote_is_read_back(mask):
    assert (mask_from_relative_runs(siim_runs(mask), mask.shape) == mask).all()


def test_an_images_rows_are_united(tmp_path):
    table = tmp_path / "runs.csv"
    table.write_text("id, runs\na, 0 1\na, 5 1\nb, -1\n")

    assert read_mask(table, "a", "id", "runs", (2, 3)).tolist() == [[True, False, False], [False, False, True]]
    assert not read_mask(table, "b", "id", "runs", (2, 3)).any()


def test_a_table_that_changed_is_read_anew(tmp_path):
    table = tmp_path / "runs.csv"
    table.write_text("id,runs\na,-1\n")
    before = read_mask(table, "a", "id", "runs", (1, 2))
    table.write_text("id,runs\na,0 1\n")

    assert not before.any()
    assert read_mask(table, "a", "id", "runs", (1, 2)).tolist() == np.array([[True, False]]).tolist()


def test_an_image_without_a_row_or_with_bad_runs_is_named(tmp_path):
    table = tmp_path / "runs.csv"
    table.write_text("id,runs\na,9 9\n")

    with pytest.raises(InvalidValue, match=r"runs\.csv, id b: has no row"):
        read_mask(table, "b", "id", "runs", (1, 2))
    with pytest.raises(InvalidValue, match=r"runs\.csv, id a: run lengths leave"):
        read_mask(table, "a", "id", "runs", (1, 2))
