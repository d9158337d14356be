"""The learning rate warms up, then falls along half a cosine."""

import pytest

from medvl.training.schedules import warmup_cosine


def test_warm_up_is_linear_and_the_end_is_the_floor():
    factors = [warmup_cosine(step, warmup_steps=4, steps=10, floor=0.1) for step in (0, 3, 4, 7, 10, 99)]

    assert factors == pytest.approx([0.25, 1.0, 1.0, 0.55, 0.1, 0.1])
