"""Attention written out for bfloat16 on a CPU is the fused one's."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from medvl.models.attention import attend

SHAPE = (2, 3, 7, 16)


def drawn(dtype):
    torch.manual_seed(0)
    return [torch.randn(SHAPE, dtype=dtype, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
def test_values_and_gradients_are_those_of_float32(dtype, tolerance):
    tensors = drawn(dtype)
    exact = [t.detach().float().requires_grad_() for t in tensors]

    found, expected = attend(*tensors), scaled_dot_product_attention(*exact)
    found.float().square().sum().backward()
    expected.square().sum().backward()

    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, atol=tolerance, rtol=tolerance)
    for given, wanted in zip(tensors, exact, strict=True):
        torch.testing.assert_close(given.grad.float(), wanted.grad, atol=4 * tolerance, rtol=4 * tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_hides_weights(dtype):
    query, key, _ = drawn(dtype)
    ones = torch.ones(SHAPE, dtype=dtype)

    torch.testing.assert_close(attend(query, key, ones).float(), ones.float(), atol=1e-2, rtol=0)
    assert attend(query, key, ones, 0.5).float().std() > 0.1
