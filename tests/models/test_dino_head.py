"""The projection head is the official one. Expected numbers: dinov2 @b8931f7, run in float32."""

import copy
import math

import pytest
import torch

from medvl.models.dino_head import DinoHead


def numbers(*shape, phase):
    i = torch.arange(math.prod(shape))
    return (((i * i * 37 + i * 11 + phase * 29) % 101).float() / 50.5 - 1).reshape(shape)


def official_head():
    head = DinoHead(5, 7, hidden_dim=6, bottleneck_dim=4)
    head.load_state_dict({name: numbers(*value.shape, phase=i) for i, (name, value) in enumerate(sorted(head.state_dict().items()))})
    return head


def test_logits_are_those_of_the_official_head():
    logits = official_head()(numbers(6, 5, phase=6))

    first = [0.60718882, 0.014072263, -0.12891981, -0.16175991, -0.28205183, -0.044043433, -0.10438597]
    second = [0.45718196, 0.019098472, -0.042844296, -0.21178931, -0.27244478, -0.081056625, -0.11419499]
    assert logits[0].tolist() == pytest.approx(first, abs=1e-6)
    assert logits[1].tolist() == pytest.approx(second, abs=1e-6)


def test_the_state_has_the_official_names_and_shapes():
    shapes = {name: tuple(value.shape) for name, value in DinoHead(5, 7, hidden_dim=6, bottleneck_dim=4).state_dict().items()}

    mlp = {f"mlp.{i}.{part}" for i in (0, 2, 4) for part in ("weight", "bias")}
    assert shapes.keys() == mlp | {"last_layer.weight_g", "last_layer.weight_v"}
    assert (shapes["last_layer.weight_g"], shapes["last_layer.weight_v"]) == ((7, 1), (7, 4))


def test_prototypes_start_with_length_one():
    assert torch.equal(DinoHead(5, 7).last_layer.weight_g, torch.ones(7, 1))


def test_logits_lie_within_the_prototypes_lengths():
    logits = DinoHead(5, 7)(100 * numbers(6, 5, phase=1))

    assert logits.abs().max() <= 1 + 1e-6


def test_a_head_that_has_been_trained_can_be_copied():
    head = official_head()
    head(numbers(6, 5, phase=6)).square().sum().backward()

    twin = copy.deepcopy(head)

    assert torch.equal(twin(numbers(6, 5, phase=6)), head(numbers(6, 5, phase=6)))
    assert twin.last_layer.weight_v is not head.last_layer.weight_v


def test_any_leading_axes_are_kept():
    head = official_head()
    tokens = numbers(2, 3, 5, phase=6)

    assert torch.allclose(head(tokens), head(tokens.flatten(0, 1)).reshape(2, 3, 7))
    assert head(tokens[:, :0]).shape == (2, 0, 7)


def test_batch_norm_takes_away_what_all_tokens_have_in_common():
    head = DinoHead(5, 7, hidden_dim=6, bottleneck_dim=4, batch_norm=True)
    tokens = numbers(6, 5, phase=6)

    assert torch.allclose(head(tokens + 100), head(tokens), atol=1e-3)
    assert head.mlp(tokens).mean(dim=0).tolist() == pytest.approx([0] * 4, abs=1e-5)
    assert head(tokens.unflatten(0, (2, 3))).shape == (2, 3, 7)


def test_one_layer_is_linear():
    assert {"mlp.weight", "mlp.bias"} <= DinoHead(5, 7, layers=1, bottleneck_dim=4).state_dict().keys()
