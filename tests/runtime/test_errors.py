"""Errors stay one readable line, whatever a damaged file holds."""

import pytest

from medvl.runtime.errors import InvalidValue, MissingColumns, did_you_mean


@pytest.mark.parametrize("error", [InvalidValue("a.csv", "row 9", "x" * 70_000), MissingColumns("a.csv", ["id"], ["x" * 70_000])])
def test_a_damaged_files_own_words_are_cut(error):
    assert str(error).startswith("a.csv")
    assert len(str(error)) < 1200


def test_the_nearest_name_is_offered_or_all_are_listed():
    assert did_you_mean("trian", ["train", "prepare"]) == " — did you mean 'train'?"
    assert did_you_mean("zzz", ["train", "prepare"]) == " (one of: prepare, train)"
