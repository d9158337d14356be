"""The verb that writes an encoder in another layout."""

import json

import pytest
import torch

from medvl.cli.main import main
from medvl.models.checkpoints import load_vit, save_vit
from medvl.models.vit import VisionTransformer


@pytest.fixture
def encoder(tmp_path):
    torch.manual_seed(0)
    model = VisionTransformer(width=64, depth=2, heads=4, image_size=28, in_channels=1, layer_scale=1.0, mean=0.4, std=0.3).eval()
    save_vit(model, tmp_path / "model")
    return model


@pytest.mark.parametrize(("layout", "out"), [("hf", "hf"), ("medvl", "medvl"), ("dinov2", "vit.pth"), ("timm", "vit.safetensors")])
def test_the_tokens_are_equal_given_what_the_file_cannot_say(encoder, layout, out, tmp_path, capsys):
    main(["export", f"encoder={tmp_path}/model", f"out={tmp_path}/{out}", f"layout={layout}", "--json"])

    unsaid = json.loads(capsys.readouterr().out)["unsaid"]
    read = load_vit(tmp_path / out, heads=unsaid.get("heads"))
    if "mean" in unsaid:
        read.set_statistics(unsaid["mean"], unsaid["std"])
    images = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        found, expected = (model.encode(model.standardize(images)) for model in (read, encoder))
    assert set(unsaid) == (set() if layout in ("hf", "medvl") else {"heads", "mean", "std"})
    assert torch.allclose(found.cls, expected.cls, atol=1e-5)
    assert torch.allclose(found.patches[0], expected.patches[0], atol=1e-5)


def test_what_the_file_cannot_say_is_said(encoder, tmp_path, capsys):
    main(["export", f"encoder={tmp_path}/model", f"out={tmp_path}/vit.pth", "layout=dinov2"])

    assert "whoever reads it must: heads=4, mean=[0.4], std=[0.3]" in capsys.readouterr().out
