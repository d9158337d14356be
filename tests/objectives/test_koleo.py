"""KoLeo equals its equation and the official module. Expected numbers: dinov2 @b8931f7, run in float32."""

import math

import pytest
import torch
from official_inputs import numbers

from medvl.objectives.koleo import koleo_loss


@pytest.mark.parametrize("duplicates", ["leave_out", "official"])
def test_loss_and_gradient_are_those_of_the_official_module(duplicates):
    features = numbers(6, 5, phase=6).requires_grad_()

    loss = koleo_loss(features, duplicates=duplicates)
    loss.backward()

    assert loss.item() == pytest.approx(1.5578216, abs=1e-5)
    assert features.grad[0].tolist() == pytest.approx([1.35494256, 0.70352376, 0.8092984, 0.3595134, -0.08725891], abs=1e-5)


def test_three_features_on_a_circle_worked_by_hand():
    features = 3 * torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])

    assert koleo_loss(features).item() == pytest.approx(-math.log(math.sqrt(2)), abs=1e-6)


def test_duplicates_are_left_out_of_the_mean():
    features = numbers(6, 5, phase=6)
    features[1] = features[0]

    loss = koleo_loss(features)

    unit = features / features.norm(dim=1, keepdim=True)
    distance = torch.cdist(unit, unit).fill_diagonal_(9).min(dim=1).values
    assert loss.item() == pytest.approx(-distance[2:].log().mean().item(), abs=1e-5)


def test_duplicates_are_official_by_name():
    features = numbers(6, 5, phase=6)
    features[1] = features[0]

    assert koleo_loss(features, duplicates="official").item() == pytest.approx(6.0478187, abs=1e-4)


def test_a_batch_of_one_feature_repeated_is_zero_with_a_finite_gradient():
    features = torch.ones(4, 3, dtype=torch.bfloat16, requires_grad=True)

    loss = koleo_loss(features)
    loss.backward()

    assert loss.item() == 0
    assert torch.isfinite(features.grad).all()


def test_autocast_changes_nothing():
    features = numbers(6, 5, phase=6)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = koleo_loss(features)

    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(koleo_loss(features).item(), abs=1e-6)


def test_one_feature_has_no_neighbour():
    with pytest.raises(ValueError, match="at least two features, got 1"):
        koleo_loss(torch.zeros(1, 3))
