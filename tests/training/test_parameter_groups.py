"""Layer-wise rates and what is not decayed: the official groups."""

import pytest

from medvl.training.parameter_groups import multipliers


def of(name, depth=12, layer_decay=0.9, patch_embed=0.2):
    return multipliers(name, depth=depth, layer_decay=layer_decay, patch_embed=patch_embed)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("backbone.cls_token", 0.9**13),
        ("backbone.pos_embed", 0.9**13),
        ("backbone.mask_token", 0.9**13),
        ("backbone.register_tokens", 0.9**13),
        ("backbone.patch_embed.proj.weight", 0.9**13 * 0.2),
        ("backbone.blocks.0.attn.qkv.weight", 0.9**12),
        ("backbone.blocks.11.mlp.fc1.weight", 0.9),
        ("backbone.norm.weight", 1.0),
        ("dino_head.mlp.0.weight", 1.0),
        ("ibot_head.last_layer.weight_v", 1.0),
    ],
)
def test_the_rate_falls_with_depth(name, rate):
    assert of(name).learning_rate == pytest.approx(rate)


def test_biases_norms_and_layer_scales_are_not_decayed_but_tokens_are():
    plain = ["backbone.norm.weight", "backbone.blocks.3.norm1.weight", "backbone.blocks.3.ls1.gamma", "dino_head.mlp.2.bias"]
    decayed = ["backbone.cls_token", "backbone.pos_embed", "backbone.mask_token", "dino_head.last_layer.weight_g"]

    assert [of(name).weight_decay for name in plain] == [0.0] * 4
    assert [of(name).weight_decay for name in decayed] == [1.0] * 4


def test_prototypes_and_the_backbone_are_told_apart():
    assert of("dino_head.last_layer.weight_v").last_layer
    assert not of("dino_head.mlp.4.weight").last_layer
    assert of("backbone.blocks.0.ls1.gamma").backbone
    assert not of("ibot_head.mlp.0.bias").backbone
