"""Folding batch norms into convolutions changes no output beyond rounding."""

import pytest
import torch
from deterministic_weights import deterministic_state, pixels, shapes_of
from torch import nn

from medvl.models.biovil import BioVilImageModel
from medvl.models.biovil_t import BioVilTImageModel
from medvl.models.folding import fold_batch_norms
from medvl.models.resnet import SmallResNet
from medvl.models.resnet50 import ResNet50


def with_weights(model):
    model.load_state_dict(deterministic_state(shapes_of(model.state_dict())))
    return model.eval()


def small_biovil_t():
    return BioVilTImageModel(SmallResNet((8, 16, 16, 32)), projection_size=8, width=16, heads=2, blocks=1)


@pytest.mark.parametrize("build", [lambda: BioVilImageModel(ResNet50()), small_biovil_t], ids=["BioViL", "small BioViL-T"])
def test_a_folded_model_gives_the_same_output_without_batch_norms(build):
    torch.set_num_threads(1)
    model, films = with_weights(build()), [torch.cat([pixels(f"{name} {n}", 96, 64) for n in range(2)]) for name in ("current", "previous")]

    folded = fold_batch_norms(model)

    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.inference_mode():
        expected, found = model(*films), folded(*films)
    for field, tensor in found._asdict().items():
        largest = getattr(expected, field).abs().max()
        assert (tensor - getattr(expected, field)).abs().max() <= 1e-5 * max(1, largest), field


def test_the_model_itself_is_left_as_it_was_and_what_is_not_folded_is_shared():
    model = with_weights(small_biovil_t())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    folded = fold_batch_norms(model)

    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert folded.encoder.vit_pooler.type_embed is model.encoder.vit_pooler.type_embed
    assert folded.projector.model[0].weight is not model.projector.model[0].weight


def test_group_norms_and_lone_batch_norms_stay():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 1), nn.GroupNorm(2, 8), nn.ReLU(), nn.BatchNorm2d(8)).eval()

    kinds = [type(module) for module in fold_batch_norms(model)]

    assert kinds == [nn.BatchNorm2d, nn.Conv2d, nn.GroupNorm, nn.ReLU, nn.BatchNorm2d]


def test_a_model_in_training_is_refused():
    with pytest.raises(ValueError, match="evaluation mode"):
        fold_batch_norms(small_biovil_t())
