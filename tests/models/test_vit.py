"""The vision transformer is the official one. Expected numbers: dinov2 @b8931f7, run in float32."""

import math

import pytest
import timm
import torch
from hydra.utils import instantiate
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from transformers import Dinov2Config, Dinov2Model

from medvl.models.checkpoints import load_vit
from medvl.models.vit import VisionTransformer, check_images
from medvl.models.vit_blocks import Block, groups_of
from medvl.runtime.config import compose, on_meta

OFFICIAL = {  # grid → the first patch of block 0 and the class token of block 1, normed
    (4, 4): (
        [-0.5802902, -1.0593452, -0.5762861, -0.5700637, 1.0499936, -0.1347074, -0.2798056, 0.0251099],
        [-0.1878301, -0.8120195, -0.3542107, -0.620687, 1.2169948, -0.2789404, 0.2978882, 0.0233976],
    ),
    (2, 3): (
        [0.1251304, -0.6425321, -0.5224092, -0.4642977, 1.5478188, -0.0843941, -0.5558992, -0.0889471],
        [-0.065531, -0.7920942, -0.2993273, -0.6268331, 1.2523552, -0.253173, 0.2533832, -0.0329789],
    ),
}
OFFICIAL_MASKED = [-0.0776296, -1.1801605, -0.3317318, -0.6326228, 0.8605952, -0.4265588, 0.3141475, -0.3024266]


def numbers(*shape, phase):
    i = torch.arange(math.prod(shape))
    return (((i * i * 37 + i * 11 + phase * 29) % 101).float() / 50.5 - 1).reshape(shape)


def official_vit():
    model = VisionTransformer(width=8, depth=2, heads=2, patch_size=7, image_size=28, mlp_ratio=2.0).eval()
    model.load_state_dict({name: numbers(*value.shape, phase=i) for i, (name, value) in enumerate(sorted(model.state_dict().items()))})
    return model


def small_vit(**changes):
    torch.manual_seed(0)
    return VisionTransformer(**{"width": 32, "depth": 3, "heads": 2, "patch_size": 7, "image_size": 28, "layer_scale": 0.5, **changes})


def timm_name(size, registers):
    return f"vit_{size}_patch14{'_reg4' if registers else ''}_dinov2"


@pytest.mark.parametrize("grid", OFFICIAL)
def test_tokens_of_layers_are_those_of_the_official_code(grid):
    pixels = numbers(1, 3, 7 * grid[0], 7 * grid[1], phase=50)

    encoded = official_vit().encode(pixels, layers=(0, -1))

    patch, cls = OFFICIAL[grid]
    assert encoded.grid == grid
    assert encoded.patches[0][0, 0].tolist() == pytest.approx(patch, abs=1e-5)
    assert encoded.cls_by_layer[1][0].tolist() == pytest.approx(cls, abs=1e-5)
    assert torch.equal(encoded.cls, encoded.cls_by_layer[1])


def test_masked_patches_become_the_mask_token_before_positions_are_added():
    mask = torch.arange(16)[None] % 3 == 0

    (tokens,) = official_vit().forward_crops([numbers(1, 3, 28, 28, phase=50)], [mask])

    assert tokens[0, 1 + 3].tolist() == pytest.approx(OFFICIAL_MASKED, abs=1e-5)


@pytest.mark.parametrize(
    ("size", "parameters"), [("small", 22_056_576), ("base", 86_580_480), ("large", 304_368_640), ("giant", 1_136_480_768)]
)
def test_the_published_sizes_have_the_published_numbers_of_parameters(size, parameters):
    config = compose("train", ["experiment=rad_dino", f"model=vit_{size}", "model.drop_path=0"])

    with on_meta():
        ours = instantiate(config.model)
        theirs = timm.create_model(timm_name(size, registers=False))

    assert sum(p.numel() for p in ours.parameters()) == parameters
    assert parameters == sum(p.numel() for p in theirs.parameters()) + ours.embed_dim  # timm has no mask token


@pytest.mark.parametrize("registers", [0, 4])
def test_crops_of_several_sizes_give_what_each_gives_alone(registers):
    model = small_vit(registers=registers).eval()
    groups = [torch.randn(2, 3, 28, 28), torch.randn(3, 3, 14, 21)]
    masks = [torch.rand(2, 16) > 0.5, None]

    packed = model.forward_crops(groups, masks)

    for group, mask, tokens in zip(groups, masks, packed, strict=True):
        hidden = [None] * len(group) if mask is None else mask.split(1)
        alone = torch.cat([model.forward_crops([image], [one])[0] for image, one in zip(group.split(1), hidden, strict=True)])
        assert torch.allclose(tokens, alone, atol=1e-5)
        assert tokens.shape[1] == 1 + registers + group.shape[2] * group.shape[3] // 49


def test_registers_stand_between_class_token_and_patches_and_are_not_among_the_patches():
    model = small_vit(registers=4).eval()
    pixels = torch.randn(1, 3, 28, 28)

    encoded, tokens = model.encode(pixels), model(pixels)

    assert torch.allclose(encoded.cls, tokens[:, 0], atol=1e-6)
    assert torch.allclose(encoded.patches[0], tokens[:, 5:], atol=1e-6)


def test_layers_come_in_the_order_asked_for_and_without_norm_are_those_before_it():
    model = small_vit().eval()
    pixels = torch.randn(1, 3, 28, 28)

    raw, normed = model.encode(pixels, layers=(2, 0), norm=False), model.encode(pixels, layers=(0, 2))

    assert torch.allclose(model.norm(raw.patches[0]), normed.patches[1], atol=1e-6)
    assert torch.allclose(model.norm(raw.cls_by_layer[1]), normed.cls_by_layer[0], atol=1e-6)


@pytest.mark.parametrize("size", [(28, 28), (14, 14), (35, 42)])
def test_in_the_way_of_hugging_face_every_layer_is_theirs_at_every_size(tmp_path, size):
    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=7)
    theirs = Dinov2Model(config).eval()
    theirs.save_pretrained(tmp_path)
    pixels = torch.randn(1, 3, *size)

    model = load_vit(tmp_path)
    with torch.no_grad():
        expected = theirs(pixels, output_hidden_states=True)

    raw, last = model.encode(pixels, layers=(0, 1), norm=False), model.encode(pixels)
    for i in range(2):
        assert torch.allclose(raw.patches[i], expected.hidden_states[i + 1][:, 1:], atol=1e-5)
    assert torch.allclose(last.patches[0], expected.last_hidden_state[:, 1:], atol=1e-5)
    assert torch.allclose(last.cls, expected.pooler_output, atol=1e-5)


@pytest.mark.parametrize("registers", [0, 2])
@pytest.mark.parametrize("size", [(28, 28), (14, 14), (35, 42)])
def test_in_the_way_of_timm_every_layer_is_theirs_at_every_size(tmp_path, registers, size):
    torch.manual_seed(0)
    theirs = TimmVisionTransformer(
        img_size=28,
        patch_size=7,
        embed_dim=32,
        depth=2,
        num_heads=2,
        init_values=0.5,
        num_classes=0,
        dynamic_img_size=True,
        reg_tokens=registers,
        no_embed_class=registers > 0,
    ).eval()
    torch.save(theirs.state_dict(), tmp_path / "timm.pth")
    pixels = torch.randn(1, 3, *size)

    model = load_vit(tmp_path / "timm.pth", heads=2)
    with torch.no_grad():
        expected = theirs.forward_intermediates(pixels, indices=[0, 1], norm=False, output_fmt="NLC", intermediates_only=True)
        last = theirs.forward_features(pixels)

    encoded = model.encode(pixels, layers=(0, 1), norm=False)
    for ours, wanted in zip(encoded.patches, expected, strict=True):
        assert torch.allclose(ours, wanted, atol=1e-5)
    assert torch.allclose(model(pixels), last, atol=1e-5)


def test_away_from_the_native_size_the_three_ways_are_three_networks():
    pixels = torch.randn(1, 3, 14, 14)

    cls = [small_vit(position_interpolation=way).eval().encode(pixels).cls for way in ("dinov2", "hf", "timm")]

    assert not torch.allclose(cls[0], cls[1], atol=1e-4)
    assert not torch.allclose(cls[1], cls[2], atol=1e-4)


def test_stochastic_depth_computes_a_branch_for_the_subset_only_and_keeps_its_expectation():
    torch.manual_seed(0)
    block = Block(8, 2, drop_path=0.5, layer_scale=1.0)
    packed, groups = torch.randn(4 * 3 + 6 * 2, 8), groups_of([(4, 3), (6, 2)])
    rows = []
    block.attn.qkv.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    for parameter in block.mlp.fc2.parameters():  # attention's residual alone
        torch.nn.init.zeros_(parameter)

    expected = block.eval()(packed, groups)
    draws = torch.stack([block.train()(packed, groups) for _ in range(600)]).mean(dim=0)

    assert rows[0] == 24
    assert set(rows[1:]) == {2 * 3 + 3 * 2}
    assert (draws - expected).abs().max() < 0.15 * (expected - packed).abs().max()


@pytest.mark.parametrize(("rounding", "kept"), [("floor", 2), ("nearest", 3)])
def test_the_size_of_the_subset_is_rounded_as_named(rounding, kept):
    block = Block(8, 2, drop_path=0.3, subset_rounding=rounding).train()
    rows = []
    block.attn.qkv.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))

    block(torch.randn(4, 8), groups_of([(4, 1)]))

    assert rows == [kept]


def test_low_rates_drop_each_image_by_itself():
    torch.manual_seed(0)
    block = Block(8, 2, drop_path=0.1, layer_scale=1.0)
    packed, groups = torch.randn(400, 8), groups_of([(400, 1)])

    changed = (block.train()(packed, groups) != packed).any(dim=1).float().mean()

    assert changed == pytest.approx(1 - 0.1 * 0.1, abs=0.02)  # untouched only where both branches are dropped


def test_a_seeded_step_is_reproducible():
    model = small_vit(drop_path=0.4).train()
    pixels = torch.randn(8, 3, 28, 28)

    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(model(pixels))

    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_linear_stochastic_depth_rises_from_none_to_the_rate():
    rates = [block.drop_path for block in small_vit(drop_path=0.4, drop_path_schedule="linear").blocks]

    assert rates == pytest.approx([0.0, 0.2, 0.4])


def test_checkpointed_activations_give_the_same_gradients():
    pixels, gradients = torch.randn(4, 3, 28, 28), []
    for checkpointed in (False, True):
        model = small_vit(drop_path=0.4, checkpoint_activations=checkpointed).train()
        torch.manual_seed(1)
        model.forward_crops([pixels, pixels[..., :14]], [None, None])[1].square().sum().backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])

    assert len(gradients[0]) > 30
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_images_are_standardised_by_the_models_own_statistics_and_one_channel_is_repeated():
    model = small_vit()
    model.set_statistics([0.5, 0.4, 0.3], 0.25)

    pixels = model.standardize(torch.full((1, 1, 28, 28), 0.5))

    assert pixels[0, :, 0, 0].tolist() == pytest.approx([0.0, 0.4, 0.8])
    assert (model.config["mean"], model.config["std"]) == ([0.5, 0.4, 0.3], [0.25] * 3)


@pytest.mark.parametrize("values", [([0.5, 0.5], 0.2), (0.5, 0.0)])
def test_statistics_need_a_value_per_channel_and_positive_deviations(values):
    with pytest.raises(ValueError, match="3 channels"):
        small_vit().set_statistics(*values)


def test_a_convolutional_stem_keeps_the_grid():
    model = small_vit(stem="conv", patch_size=8, image_size=32, in_channels=1).eval()

    encoded = model.encode(torch.randn(2, 1, 32, 48))

    assert encoded.grid == (4, 6)
    assert encoded.patches[0].shape == (2, 24, 32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"heads": 3}, "3 heads"), ({"image_size": 30}, "image of 30"), ({"stem": "conv"}, "power of two")],
)
def test_sizes_that_do_not_divide_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small_vit(**changes)


@pytest.mark.parametrize(
    ("shape", "message"), [((1, 1, 28, 28), r"\(B, 3, H, W\)"), ((1, 3, 28, 30), "multiples of the patch size 7"), ((3, 28, 28), "shape")]
)
def test_pixels_of_a_wrong_shape_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        small_vit().encode(torch.zeros(shape))


@pytest.mark.parametrize(("layers", "message"), [((3,), "no layer 3"), ((), "at least one")])
def test_layers_that_are_not_there_are_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        small_vit().encode(torch.zeros(1, 3, 28, 28), layers=layers)


def test_another_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="in_channels is 2"):
        small_vit(in_channels=2)


def spoiled(value):
    images = torch.rand(3, 1, 28, 28)
    images[1] = value
    return images


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (spoiled(0.5), "image 1 of 3 is constant"),
        (spoiled(float("nan")), "image 1 of 3 has values that are not finite"),
        (torch.rand(2, 1, 28, 28) * 255, "image 0 of 2 has values outside"),
        (torch.rand(2, 4, 28, 28), r"shape \(B, 1 or 3, H, W\)"),
    ],
)
def test_images_unfit_for_training_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        check_images(images)
