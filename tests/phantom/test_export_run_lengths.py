"""Run lengths in the dialects of CheXmask and SIIM."""

import numpy as np
from hypothesis import given
from hypothesis.extra import numpy as arrays

from medvl.phantom.export.run_lengths import chexmask_runs, siim_runs

CORNER = np.array([[0, 1, 1], [0, 1, 0]], bool)


def test_chexmask_runs_go_by_rows_and_start_at_one():
    assert chexmask_runs(CORNER) == "2 2 5 1"


def test_siim_runs_go_by_columns_with_gaps_between():
    assert siim_runs(CORNER) == "2 3"
    assert siim_runs(CORNER[:, ::-1]) == "0 1 1 2"


def test_empty_masks_are_an_empty_string_and_minus_one():
    nothing = np.zeros((2, 2), bool)

    assert chexmask_runs(nothing) == ""
    assert siim_runs(nothing) == "-1"


@given(arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_both_dialects_give_the_mask_back(mask):
    rows = np.zeros(mask.size, bool)
    numbers = [int(n) for n in chexmask_runs(mask).split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        rows[start - 1 : start - 1 + length] = True
    columns, position = np.zeros(mask.size, bool), 0
    numbers = [] if siim_runs(mask) == "-1" else [int(n) for n in siim_runs(mask).split()]
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        position += gap
        columns[position : position + length] = True
        position += length

    assert (rows.reshape(mask.shape) == mask).all()
    assert (columns.reshape(mask.shape, order="F") == mask).all()
