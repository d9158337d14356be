"""DINO: loss, centring and Sinkhorn-Knopp equal the equations and the official modules. Expected numbers: dinov2 @b8931f7 in float32."""

import math

import pytest
import torch
from official_inputs import numbers
from torch.nn.functional import log_softmax

from medvl.objectives.dino import SoftmaxCentering, dino_loss
from medvl.objectives.sinkhorn import sinkhorn_knopp
from medvl.objectives.soft_cross_entropy import soft_cross_entropy

IMAGES, PROTOTYPES = 3, 7


def case(small):
    """Student logits and centred teacher probabilities of two large and some small crops of three images."""
    student = numbers((2 + 4) * IMAGES, PROTOTYPES, phase=1)[: (2 + small) * IMAGES].requires_grad_()
    centering = SoftmaxCentering(PROTOTYPES)
    centering.center.copy_(numbers(PROTOTYPES, phase=3) / 10)
    teacher = numbers(2 * IMAGES, PROTOTYPES, phase=2)
    return student, centering, teacher


def test_loss_and_gradient_are_those_of_the_official_modules():
    student, centering, teacher = case(small=4)

    loss = dino_loss(student.split(IMAGES), centering(teacher, 0.07).split(IMAGES))
    loss.backward()

    assert loss.item() == pytest.approx(7.7010093, abs=1e-5)
    large = [-1.625592602749748e-07, 0.0018564554, -0.21452996, 0.03619713, 5.2542360e-05, 0.17646770, -4.3704658e-05]
    small = [-2.559525910328375e-06, 0.00098380423, -0.33262718, 2.1206956e-06, -0.31758758, 0.55575728, 0.093474135]
    assert student.grad[0].tolist() == pytest.approx(large, abs=1e-6)
    assert student.grad[2 * IMAGES].tolist() == pytest.approx(small, abs=1e-6)


def test_without_small_crops_one_term_is_counted_for_them_as_officially():
    student, centering, teacher = case(small=0)

    loss = dino_loss(student.split(IMAGES), centering(teacher, 0.07).split(IMAGES))

    assert loss.item() == pytest.approx(4.6476779, abs=1e-5)


def test_a_crop_never_predicts_itself():
    certain = torch.eye(4)[:2]
    student = [certain[[0]] * 100, certain[[1]] * 100, certain[[1]] * 100]

    swapped = dino_loss(student, [certain[[1]], certain[[0]]])

    # the large crops match each other's teacher exactly; the small crop matches one of the two, and is off by 100 / 0.1 of the other
    assert swapped.item() == pytest.approx(1000 / 4)


def test_an_indifferent_student_loses_the_logarithm_of_the_prototypes():
    teacher = numbers(2, 5, PROTOTYPES, phase=1).softmax(dim=-1)

    loss = dino_loss([torch.zeros(5, PROTOTYPES)] * 6, list(teacher))

    assert loss.item() == pytest.approx(math.log(PROTOTYPES), abs=1e-6)


def test_fewer_crops_of_the_student_than_of_the_teacher_are_refused():
    with pytest.raises(ValueError, match="got 1, and 2 of the teacher"):
        dino_loss([torch.zeros(1, 3)], [torch.zeros(1, 3)] * 2)


def test_cross_entropy_and_its_gradient_are_those_of_log_softmax():
    logits = (numbers(2, 3, PROTOTYPES, phase=1).double() * 5).requires_grad_()
    targets, weights = numbers(2, 3, PROTOTYPES, phase=2).abs(), numbers(2, 3, phase=3)

    value = soft_cross_entropy(logits, targets, temperature=0.1)
    (gradient,) = torch.autograd.grad((value * weights).sum(), logits)

    expected = -(targets * log_softmax(logits / 0.1, dim=-1)).sum(dim=-1)
    (expected_gradient,) = torch.autograd.grad((expected * weights).sum(), logits)
    assert torch.allclose(value.double(), expected, rtol=1e-5)
    assert torch.allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-4)


def test_cross_entropy_of_half_precision_is_computed_in_single():
    logits = numbers(4, PROTOTYPES, phase=1).bfloat16().requires_grad_()
    targets = numbers(4, PROTOTYPES, phase=2).softmax(dim=-1)

    value = soft_cross_entropy(logits, targets, temperature=0.1)
    value.sum().backward()

    assert torch.equal(value, soft_cross_entropy(logits.detach().float(), targets, temperature=0.1))
    assert logits.grad.dtype == torch.bfloat16


def test_centring_gives_the_official_probabilities():
    probabilities = SoftmaxCentering(PROTOTYPES)(numbers(2 * IMAGES, PROTOTYPES, phase=2), 0.07)

    official = [0.00020617808, 6.3517941e-11, 2.4147063e-08, 4.4231299e-09, 0.99979156, 4.2518185e-08, 2.2312734e-06]
    assert probabilities[0].tolist() == pytest.approx(official, rel=1e-5)


def test_the_centre_moves_by_the_official_amount_and_at_once():
    _, centering, teacher = case(small=0)

    centering.update(teacher)

    official = [0.07033003, -0.03138614, -0.02135313, -0.04623763, -0.1060396, -0.02075908, 0.0629373]
    assert centering.state_dict()["center"].tolist() == pytest.approx(official, abs=1e-7)


def test_a_batch_without_rows_leaves_the_centre_where_it_is():
    _, centering, _ = case(small=0)
    before = centering.center.clone()

    centering.update(torch.zeros(0, PROTOTYPES))

    assert torch.equal(centering.center, before)


def test_sinkhorn_knopp_gives_the_official_probabilities_of_class_tokens():
    balanced = sinkhorn_knopp(numbers(2 * IMAGES, PROTOTYPES, phase=2), temperature=0.4)

    official = [0.09728031, 0.0068026148, 0.026279373, 0.046362512, 0.75353634, 0.040163241, 0.029575616]
    assert balanced[0].tolist() == pytest.approx(official, abs=1e-6)


def test_sinkhorn_knopp_gives_the_official_probabilities_of_hidden_patches():
    balanced = sinkhorn_knopp(numbers(5, PROTOTYPES, phase=4), temperature=0.4)

    official = [0.0049603172, 0.11727258, 0.21235853, 0.083033413, 0.01822052, 0.23231483, 0.33183986]
    assert balanced[0].tolist() == pytest.approx(official, abs=1e-6)


def test_sinkhorn_knopp_uses_every_prototype_alike_after_many_iterations():
    balanced = sinkhorn_knopp(numbers(14, PROTOTYPES, phase=1), temperature=0.5, iterations=200)

    assert balanced.sum(dim=0).tolist() == pytest.approx([2.0] * PROTOTYPES, abs=1e-3)


def test_sinkhorn_knopp_of_logits_that_overflow_is_finite_and_changes_no_argument():
    logits = numbers(5, PROTOTYPES, phase=1) * 1000
    before = logits.clone()

    balanced = sinkhorn_knopp(logits, temperature=0.04)

    assert torch.isfinite(balanced).all()
    assert balanced.sum(dim=1).tolist() == pytest.approx([1.0] * 5, abs=1e-5)
    assert torch.equal(logits, before)


def test_sinkhorn_knopp_needs_an_iteration():
    with pytest.raises(ValueError, match="got 0"):
        sinkhorn_knopp(torch.zeros(2, 3), temperature=0.1, iterations=0)
