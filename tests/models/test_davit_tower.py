"""DaViT as an encoder: timm's network, its features, and its folder."""

import json

import pytest
import torch
from timm.models.davit import DaVit
from torch.nn.functional import layer_norm

from medvl.models.davit_tower import DavitTower, load_davit, save_davit
from medvl.models.encoders import load_encoder
from medvl.runtime.errors import InvalidValue, MissingFile

SMALL = {"widths": (8, 16, 16, 32), "depths": (1, 1, 1, 1), "heads": (1, 2, 2, 4), "window": 3, "in_channels": 1}


@pytest.fixture
def tower():
    torch.manual_seed(0)
    return DavitTower(**SMALL).eval()


def test_the_features_are_those_of_timm_before_its_classifier(tower):
    reference = DaVit(in_chans=1, depths=(1, 1, 1, 1), embed_dims=(8, 16, 16, 32), num_heads=(1, 2, 2, 4), window_size=3, num_classes=0)
    reference.load_state_dict(tower.net.state_dict())
    pixels = torch.randn(2, 1, 64, 96)

    encoded = tower.encode(pixels)

    assert encoded.grid == (2, 3)
    assert torch.allclose(encoded.cls, reference.eval()(pixels), atol=1e-6)
    maps = reference.forward_features(pixels).flatten(2).transpose(1, 2)
    norm = reference.head.norm
    assert torch.allclose(encoded.patches[0], layer_norm(maps, (32,), norm.weight, norm.bias, norm.eps), atol=1e-6)
    assert torch.allclose(tower.encode(pixels, norm=False).cls, maps.mean(dim=1), atol=1e-6)


def test_pixels_are_standardised_and_one_channel_is_repeated():
    tower = DavitTower(**{**SMALL, "in_channels": 3}, mean=0.25, std=0.5)

    pixels = tower.standardize(torch.full((1, 1, 4, 4), 0.75))

    assert torch.equal(pixels, torch.ones(1, 3, 4, 4))
    with pytest.raises(ValueError, match="2 channels"):
        tower.standardize(torch.zeros(1, 2, 4, 4))


def test_only_the_last_stage_has_features(tower):
    with pytest.raises(ValueError, match="last stage only"):
        tower.encode(torch.zeros(1, 1, 64, 64), layers=(-2, -1))


def test_a_tower_comes_back_from_its_folder_as_an_encoder(tower, tmp_path):
    tower.set_statistics(0.4, 0.3)
    save_davit(tower, tmp_path)
    images = torch.rand(1, 1, 64, 64)

    loaded = load_encoder(tmp_path)

    assert not loaded.training
    assert torch.equal(loaded.encode(loaded.standardize(images)).cls, tower.encode(tower.standardize(images)).cls)


def test_a_folder_that_does_not_fit_is_named(tower, tmp_path):
    with pytest.raises(MissingFile, match=r"config\.json"):
        load_davit(tmp_path)
    save_davit(tower, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "widths": [8, 16, 16, 64]}))

    with pytest.raises(InvalidValue, match=r"model\.safetensors.*of another shape"):
        load_davit(tmp_path)


def test_medimageinsights_tower_has_its_size():
    with torch.device("meta"):
        tower = DavitTower()

    assert sum(p.numel() for p in tower.parameters()) == 346_873_856
