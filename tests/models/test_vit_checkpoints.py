"""Vision transformers in the layouts of four libraries: equal tokens, honest refusals."""

import json
import logging
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from transformers import AutoImageProcessor, AutoModel

from medvl.models.checkpoints import load_vit, save_vit
from medvl.models.vit import VisionTransformer
from medvl.models.vit_checkpoints import PartialCheckpoint
from medvl.runtime.errors import InvalidValue, MissingFile, UserError

KINDS = {"plain": {}, "registers": {"registers": 4}, "swiglu": {"mlp": "swiglu"}, "no layer scale": {"layer_scale": None}}
FILES = {"medvl": "ours", "hf": "hf", "dinov2": "dinov2.pth", "timm": "timm.safetensors"}


def random_vit(**changes):
    torch.manual_seed(0)
    model = VisionTransformer(**{"width": 128, "depth": 2, "heads": 2, "image_size": 56, "layer_scale": 1.0, **changes}).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def tokens(model, pixels):
    with torch.no_grad():
        return model(pixels)


def save_official(path, model, rename=lambda name: name, nest=lambda state: state):
    torch.save(nest({rename(name): tensor for name, tensor in model.state_dict().items()}), path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", FILES)
def test_a_round_trip_through_any_layout_keeps_the_tokens(tmp_path, kind, layout):
    model, pixels = random_vit(**KINDS[kind]), torch.randn(2, 3, 56, 56)

    save_vit(model, tmp_path / FILES[layout], layout)
    again = load_vit(tmp_path / FILES[layout])

    assert torch.allclose(tokens(again, pixels), tokens(model, pixels), atol=1e-5)
    assert again.position_interpolation == ("dinov2" if layout == "medvl" else layout)


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_of_all_layouts_keeps_the_tokens(tmp_path, kind):
    model, pixels = random_vit(**KINDS[kind]), torch.randn(1, 3, 56, 56)

    last = model
    for layout in ("hf", "dinov2", "timm", "medvl"):
        save_vit(last, tmp_path / FILES[layout], layout)
        last = load_vit(tmp_path / FILES[layout])

    assert torch.allclose(tokens(last, pixels), tokens(model, pixels), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [56, 98])
def test_the_hugging_face_folder_opens_with_their_class_and_gives_the_tokens_of_that_way(tmp_path, kind, side):
    model = random_vit(**KINDS[kind], position_interpolation="hf")
    pixels = torch.randn(1, 3, side, side)

    save_vit(model, tmp_path / "hf", "hf")
    theirs, info = AutoModel.from_pretrained(tmp_path / "hf", output_loading_info=True)
    with torch.no_grad():
        expected = theirs.eval()(pixels).last_hidden_state

    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert torch.allclose(tokens(model, pixels), expected, atol=1e-5)


@pytest.mark.parametrize("safe", [True, False])
def test_folders_that_their_library_wrote_are_read(tmp_path, safe):
    model, pixels = random_vit(), torch.randn(1, 3, 56, 56)
    save_vit(model, tmp_path / "hf", "hf")
    theirs = AutoModel.from_pretrained(tmp_path / "hf")
    theirs.save_pretrained(tmp_path / "again", max_shard_size="500KB")  # several shards, an index
    if not safe:
        theirs.save_pretrained(tmp_path / "bin")
        (tmp_path / "bin" / "model.safetensors").unlink()
        torch.save(theirs.state_dict(), tmp_path / "bin" / "pytorch_model.bin")  # names of version 5

    again = load_vit(tmp_path / ("again" if safe else "bin"))

    assert (tmp_path / "again" / "model.safetensors.index.json").is_file()
    assert torch.allclose(tokens(again, pixels), tokens(model, pixels), atol=1e-5)


def test_the_names_on_disk_are_those_of_version_4(tmp_path):
    save_vit(random_vit(), tmp_path / "hf", "hf")

    names = load_file(tmp_path / "hf" / "model.safetensors").keys()

    assert "encoder.layer.1.attention.attention.query.weight" in names
    assert "embeddings.mask_token" in names


def test_the_processor_beside_the_weights_standardises_as_the_model_does(tmp_path):
    model = random_vit(mean=0.5307, std=0.2583)
    image = torch.randint(0, 256, (3, 56, 56), dtype=torch.uint8)

    save_vit(model, tmp_path / "hf", "hf")
    processor = AutoImageProcessor.from_pretrained(tmp_path / "hf")
    theirs = processor(image, return_tensors="pt")["pixel_values"]

    assert torch.allclose(theirs, model.standardize(image[None].float() / 255), atol=1e-5)
    assert load_vit(tmp_path / "hf").config["mean"] == [0.5307] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_their_timm_model_takes_every_tensor_and_gives_the_same_tokens(tmp_path, kind):
    model, pixels = random_vit(**KINDS[kind], position_interpolation="timm"), torch.randn(1, 3, 70, 42)
    swiglu = {}
    if kind == "swiglu":
        from timm.layers import SwiGLUPacked

        hidden = model.blocks[0].mlp.w12.out_features
        swiglu = {"mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU, "mlp_ratio": hidden / 128}
    theirs = TimmVisionTransformer(
        img_size=56,
        patch_size=14,
        embed_dim=128,
        depth=2,
        num_heads=2,
        init_values=model.config["layer_scale"],
        num_classes=0,
        dynamic_img_size=True,
        reg_tokens=model.config["registers"],
        no_embed_class=model.config["registers"] > 0,
        **swiglu,
    ).eval()

    save_vit(model, tmp_path / "timm.pth", "timm")
    theirs.load_state_dict(torch.load(tmp_path / "timm.pth", weights_only=True), strict=True)
    with torch.no_grad():
        expected = theirs.forward_features(pixels)

    assert torch.allclose(tokens(model, pixels), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("rename", "nest"),
    [
        (lambda n: n, lambda s: s),
        (lambda n: f"backbone.{n}", lambda s: {"teacher": {**s, "dino_head.mlp.0.weight": torch.zeros(1)}}),
        (lambda n: f"teacher.backbone.{n}", lambda s: {"model": {**s, "student.backbone.cls_token": torch.zeros(1)}, "iteration": 3}),
        (lambda n: f"module.backbone.{n}", lambda s: {"model": s}),
        (lambda n: n.replace("blocks.0.", "blocks.0.0.").replace("blocks.1.", "blocks.1.1."), lambda s: s),
        (lambda n: f"teacher._orig_mod.backbone.{n}", lambda s: {"state_dict": s}),
    ],
    ids=["bare", "teacher dump", "training checkpoint", "wrapped", "chunks of blocks", "compiled"],
)
def test_official_files_are_read_however_they_are_wrapped(tmp_path, rename, nest):
    model, pixels = random_vit(), torch.randn(1, 3, 42, 70)
    save_official(tmp_path / "dinov2.pth", model, rename, nest)

    again = load_vit(tmp_path / "dinov2.pth")

    assert torch.equal(tokens(again, pixels), tokens(model, pixels))
    assert not again.training


def test_official_safetensors_take_the_statistics_of_the_processor_in_the_same_folder(tmp_path):
    save_file(random_vit().state_dict(), tmp_path / "backbone_compatible.safetensors")
    imagenet = load_vit(tmp_path / "backbone_compatible.safetensors").config
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.53] * 3, "image_std": [0.26] * 3}))

    config = load_vit(tmp_path / "backbone_compatible.safetensors").config

    assert imagenet["mean"] == [0.485, 0.456, 0.406]
    assert (config["mean"], config["std"]) == ([0.53] * 3, [0.26] * 3)


def test_our_folder_keeps_every_choice(tmp_path):
    model = random_vit(stem="conv", patch_size=8, in_channels=1, position_interpolation="timm", drop_path=0.2, mean=0.4)

    save_vit(model, tmp_path / "ours")

    assert load_vit(tmp_path / "ours").config == model.config


def test_the_way_of_interpolation_can_be_named_on_loading(tmp_path):
    save_vit(random_vit(), tmp_path / "hf", "hf")

    assert load_vit(tmp_path / "hf", position_interpolation="timm").position_interpolation == "timm"


def test_one_channel_from_three_gives_the_tokens_of_the_grey_image(tmp_path):
    model, image = random_vit(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)), torch.rand(1, 1, 56, 56)
    save_vit(model, tmp_path / "ours")

    single = load_vit(tmp_path / "ours", in_channels=1)

    assert single.patch_embed.proj.weight.shape[1] == 1
    assert torch.allclose(tokens(single, single.standardize(image)), tokens(model, model.standardize(image)), atol=1e-4)


def test_three_channels_from_one_give_the_tokens_of_the_grey_image(tmp_path):
    model, image = random_vit(in_channels=1, mean=0.5, std=0.25), torch.rand(1, 1, 56, 56)
    save_vit(model, tmp_path / "ours")

    triple = load_vit(tmp_path / "ours", in_channels=3)

    assert torch.allclose(tokens(triple, triple.standardize(image)), tokens(model, model.standardize(image)), atol=1e-4)


def test_a_partial_match_is_refused_with_a_report_unless_allowed(tmp_path, caplog):
    state = random_vit().state_dict()
    del state["blocks.1.mlp.fc2.bias"]
    torch.save({**state, "head.weight": torch.zeros(2, 128)}, tmp_path / "dinov2.pth")

    with pytest.raises(PartialCheckpoint, match=r"1 missing .*fc2.bias.*1 unexpected .*head.weight") as caught:
        load_vit(tmp_path / "dinov2.pth")
    with caplog.at_level(logging.INFO):
        model = load_vit(tmp_path / "dinov2.pth", allow_partial=True)

    assert caught.value.report.missing == ("blocks.1.mlp.fc2.bias",)
    assert caught.value.report.unexpected == ("head.weight",)
    assert torch.equal(model.norm.weight, state["norm.weight"])
    assert "1 missing" in caplog.text


def test_weights_that_are_not_finite_are_one_clear_error(tmp_path):
    model = random_vit()
    torch.nn.init.constant_(model.blocks[0].norm1.bias, float("nan"))
    save_vit(model, tmp_path / "ours")

    with pytest.raises(InvalidValue, match=r"model.safetensors, tensor 'blocks.0.norm1.bias': has values that are not finite"):
        load_vit(tmp_path / "ours")


def test_weights_of_another_width_than_the_configuration_are_one_clear_error(tmp_path):
    save_vit(random_vit(), tmp_path / "ours")
    wide = {name: tensor.contiguous() for name, tensor in random_vit(width=192, heads=3).state_dict().items()}
    save_file(wide, tmp_path / "ours" / "model.safetensors")

    with pytest.raises(InvalidValue, match=r"model.safetensors, tensor '.*': has shape .*192.*the model .*128.*another width"):
        load_vit(tmp_path / "ours")


@pytest.mark.parametrize(
    ("write", "error", "message"),
    [
        (lambda p: None, MissingFile, "does not exist"),
        (lambda p: p.write_bytes(b"no weights"), InvalidValue, "weights.pth"),
        (lambda p: torch.save({"linear.weight": torch.zeros(2, 2)}, p), InvalidValue, "no tensor 'pos_embed'"),
        (lambda p: torch.save(torch.zeros(2), p), InvalidValue, "expected a state dict, found Tensor"),
        (lambda p: torch.save({"model": partial(print)}, p), InvalidValue, "holds more than weights"),
        (lambda p: save_official(p, random_vit(width=96)), InvalidValue, "give heads"),
    ],
    ids=["absent", "damaged", "another model", "a tensor", "code", "heads unknown"],
)
def test_files_that_are_no_weights_are_one_clear_error(tmp_path, write, error, message):
    write(tmp_path / "weights.pth")

    with pytest.raises(error, match=message):
        load_vit(tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("config", "message"),
    [("{", "JSON"), ('{"model_type": "bert"}', "model_type"), ('{"architecture": "vision_transformer", "wide": 3}', "wide")],
)
def test_folders_of_something_else_are_one_clear_error(tmp_path, config, message):
    save_vit(random_vit(), tmp_path / "ours")
    (tmp_path / "ours" / "config.json").write_text(config)

    with pytest.raises(InvalidValue, match=message):
        load_vit(tmp_path / "ours")


@pytest.mark.parametrize(
    ("changes", "name", "layout", "message"),
    [
        ({"stem": "conv", "patch_size": 8}, "x.pth", "dinov2", "convolutional stem"),
        ({"mlp_ratio": 2.5}, "x", "hf", "whole MLP ratios"),
        ({}, "x", "timm", "name a .safetensors"),
    ],
)
def test_what_a_layout_cannot_hold_is_refused(tmp_path, changes, name, layout, message):
    with pytest.raises(UserError, match=message):
        save_vit(random_vit(**changes), tmp_path / name, layout)


def test_loading_leaves_the_callers_random_numbers_alone(tmp_path):
    save_vit(random_vit(), tmp_path / "ours")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)

    load_vit(tmp_path / "ours")

    assert torch.equal(torch.rand(2), expected)


def test_half_precision_weights_are_read_as_single(tmp_path):
    save_vit(random_vit().half(), tmp_path / "half.pth", "dinov2")

    model = load_vit(tmp_path / "half.pth")

    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(p.requires_grad for p in model.parameters())
