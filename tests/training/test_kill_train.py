"""A training run killed with SIGKILL and resumed ends like one that was not."""

import pytest

from kill_train import suite


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("experiment", ["quickstart", "rad_dino"])
def test_two_kills_change_no_bit(experiment, tmp_path):
    assert suite(experiment, tmp_path, kills=2, seed=0, steps=30) == []
