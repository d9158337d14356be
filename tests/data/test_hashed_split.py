"""A split by the hash of the patient's identifier."""

from collections import Counter

import pytest

from medvl.data.hashed_split import hashed_split
from medvl.runtime.errors import UserError

SHARES = {"train": 0.7, "validate": 0.15, "test": 0.15}


def test_the_shares_are_met_and_the_split_is_stable():
    counts = Counter(hashed_split(f"patient {i}", SHARES) for i in range(4000))

    for name, share in SHARES.items():
        assert counts[name] / 4000 == pytest.approx(share, abs=0.03)
    assert [hashed_split(str(i), SHARES) for i in range(8)] == ["train", "train", "validate", "train", "train", "test", "test", "train"]


def test_a_patient_keeps_the_split_when_a_later_share_is_cut_in_two():
    finer = {"train": 0.7, "validate": 0.15, "test": 0.1, "hidden": 0.05}

    before = {i: hashed_split(str(i), SHARES) for i in range(200)}
    assert all(hashed_split(str(i), finer) == name for i, name in before.items() if name != "test")


@pytest.mark.parametrize("shares", [{}, {"train": 0.5}, {"train": 1.5, "test": -0.5}])
def test_shares_that_do_not_sum_to_one_are_refused(shares):
    with pytest.raises(UserError, match="sum to 1"):
        hashed_split("1", shares)
