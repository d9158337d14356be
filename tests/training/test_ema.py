"""The teacher moves, exactly as far as the momentum says, and never quietly stands still."""

import pytest
import torch
from torch import nn

from medvl.training.ema import update_average


def pair():
    torch.manual_seed(0)
    return nn.Linear(3, 2), nn.Linear(3, 2)


def test_the_teacher_moves_by_its_share():
    teacher, student = pair()
    before = teacher.weight.detach().clone()

    update_average(teacher, student, 0.9)

    assert not torch.equal(teacher.weight, before)
    assert torch.allclose(teacher.weight, 0.9 * before + 0.1 * student.weight, atol=1e-7)


def test_a_momentum_of_one_keeps_the_teacher_bit_for_bit():
    teacher, student = pair()
    before = teacher.weight.detach().clone()

    update_average(teacher, student, 1.0)

    assert torch.equal(teacher.weight, before)


def test_two_networks_that_do_not_match_are_an_error():
    with pytest.raises(ValueError, match="bias"):
        update_average(nn.Linear(3, 2), nn.Linear(3, 2, bias=False), 0.9)
