"""The linear layer by way of oneDNN is torch's, whatever the shape, the layout and the precision."""

import pytest
import torch

from medvl.models.linear import Linear, linear


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("rows", [0, 1, 64, 127, 1031])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_torch(rows, bias):
    layer, x, direction = Linear(24, 40, bias=bias), torch.randn(rows, 24, requires_grad=True), torch.randn(rows, 40)

    ours = layer(x)
    gradients = torch.autograd.grad((ours * direction).sum(), [x, *layer.parameters()])

    theirs = torch.nn.functional.linear(x, layer.weight, layer.bias)
    expected = torch.autograd.grad((theirs * direction).sum(), [x, *layer.parameters()])
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-4, rtol=1e-5) for a, b in zip(gradients, expected, strict=True))


def test_rows_that_are_not_contiguous_are_taken_as_they_are():
    x, layer = torch.randn(24, 100).T, Linear(24, 40)

    assert torch.allclose(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias), atol=1e-5)


def test_a_frozen_layer_passes_the_gradient_on_and_gets_none():
    layer, x = Linear(24, 40).requires_grad_(False), torch.randn(100, 24, requires_grad=True)

    layer(x).sum().backward()

    assert torch.allclose(x.grad, layer.weight.sum(dim=0).expand(100, -1), atol=1e-4)
    assert layer.weight.grad is None


def test_autocast_computes_in_half_precision_as_ever():
    layer, x = Linear(24, 40), torch.randn(100, 24)

    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16


def test_leading_axes_are_kept():
    x, weight = torch.randn(2, 70, 24), torch.randn(40, 24)

    assert torch.equal(linear(x, weight), torch.nn.functional.linear(x, weight))
