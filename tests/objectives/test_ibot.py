"""iBOT's loss equals the official module's. Expected numbers: dinov2 @b8931f7, run in float32."""

import pytest
import torch
from official_inputs import numbers

from medvl.objectives.dino import SoftmaxCentering
from medvl.objectives.ibot import ibot_loss


def test_loss_and_gradient_are_those_of_the_official_module():
    student, teacher = numbers(5, 7, phase=5).requires_grad_(), SoftmaxCentering(7)(numbers(5, 7, phase=4), 0.07)
    weights = torch.tensor([1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3])  # two of four crops have hidden patches, two and three

    loss = ibot_loss(student, teacher, weights, images=4)
    loss.backward()

    assert loss.item() == pytest.approx(7.4398031, abs=1e-5)
    official = [9.0532063e-05, 1.21545398, -0.01310939, -0.0024012967, 0.034416594, -0.023083128, -1.21136725]
    assert student.grad[0].tolist() == pytest.approx(official, abs=1e-5)


def test_a_batch_with_nothing_hidden_has_a_loss_and_a_gradient_of_zero():
    student = torch.zeros(0, 7, requires_grad=True)

    loss = ibot_loss(student, torch.zeros(0, 7), torch.zeros(0), images=4)
    loss.backward()

    assert loss.item() == 0
    assert student.grad.shape == (0, 7)
