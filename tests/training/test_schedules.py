"""Schedules: one warm-up with half a cosine, and those of a DINOv2 run, equal to the official arrays."""

import numpy as np
import pytest

from medvl.training.schedules import DinoSchedule, cosine, warmup_cosine


def test_warm_up_is_linear_and_the_end_is_the_floor():
    factors = [warmup_cosine(step, warmup_steps=4, steps=10, floor=0.1) for step in (0, 3, 4, 7, 10, 99)]

    assert factors == pytest.approx([0.25, 1.0, 1.0, 0.55, 0.1, 0.1])


def official(base, final, total, warmup=0, start=0.0):
    """The array of the official CosineScheduler, as its paper's code describes it: linspace, then cosine, then the final value."""
    i = np.arange(total - warmup)
    return np.concatenate([np.linspace(start, base, warmup), final + 0.5 * (base - final) * (1 + np.cos(np.pi * i / len(i)))])


def test_a_cosine_has_the_official_values():
    assert [cosine(s, 2.0, 0.5, steps=40, warmup_steps=7) for s in range(40)] == pytest.approx(official(2.0, 0.5, 40, 7))
    assert cosine(40, 2.0, 0.5, steps=40) == cosine(99, 2.0, 0.5, steps=40) == 0.5


def test_the_learning_rate_grows_with_the_root_of_the_batch():
    schedule = DinoSchedule(steps=100, learning_rate=4e-3, warmup_steps=10)

    assert schedule.learning_rate_at(0, 1024) == 0.0
    assert schedule.learning_rate_at(9, 1024) == pytest.approx(4e-3)
    assert schedule.learning_rate_at(9, 256) == pytest.approx(2e-3)
    assert schedule.learning_rate_at(100, 1024) == 1e-6


def test_the_teachers_temperature_rises_linearly_and_stays():
    schedule = DinoSchedule(steps=100, learning_rate=1.0, teacher_temperature=(0.04, 0.07), temperature_steps=31)

    assert [schedule.teacher_temperature_at(s) for s in (0, 15, 30, 31, 90)] == pytest.approx([0.04, 0.055, 0.07, 0.07, 0.07])
    assert DinoSchedule(steps=9, learning_rate=1.0).teacher_temperature_at(0) == 0.07


def test_decay_and_momentum_follow_their_cosines_to_the_end():
    schedule = DinoSchedule(steps=100, learning_rate=1.0, weight_decay=(0.04, 0.4), momentum=(0.992, 1.0))

    assert [schedule.weight_decay_at(s) for s in (0, 50, 100)] == pytest.approx([0.04, 0.22, 0.4])
    assert [schedule.momentum_at(s) for s in (0, 50, 100)] == pytest.approx([0.992, 0.996, 1.0])
