"""A training run killed with SIGKILL and resumed ends like one that was not."""

import pytest

from kill_train import suite


@pytest.mark.slow
@pytest.mark.distributed
def test_two_kills_change_no_bit(tmp_path):
    assert suite(tmp_path, kills=2, seed=0, steps=30) == []
