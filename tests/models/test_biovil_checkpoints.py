"""Official files are read strictly: all tensors by name and shape, nothing else, and a refusal says which."""

import json

import pytest
import torch
from official_layouts import (
    PUBLISHED_BERT,
    TINY_BERT,
    biovil_shapes,
    biovil_t_shapes,
    cxr_bert_shapes,
    text_state,
    write_text_folder,
)

from medvl.models.biovil import BioVilImageModel
from medvl.models.biovil_t import BioVilTImageModel
from medvl.models.checkpoints import load_biovil, load_biovil_t, load_cxr_bert, save_cxr_bert
from medvl.models.cxr_bert import CxrBert
from medvl.models.resnet50 import ResNet50
from medvl.runtime.errors import InvalidValue, MissingFile

UNUSED_CLASSIFIER = 1000 * 2048 + 1000
IMAGE_MODELS = {"biovil": (load_biovil, biovil_shapes), "biovil_t": (load_biovil_t, biovil_t_shapes)}
SPOILED = {  # what is done to the file, and which tensor the refusal must name
    "missing": ("encoder.encoder.layer3.5.conv2.weight", "missing"),
    "renamed": ("encoder.encoder.bn1.bias", "unexpected"),
    "misshapen": ("projector.model.3.weight", "of another shape"),
}


def hollow(shapes):
    """A state dict that takes no room: every tensor is one number, shown in all its places."""
    return {name: torch.zeros((), dtype=dtype).expand(shape) for name, (shape, dtype) in shapes.items()}


def spoil(state, how, name):
    tensor = state.pop(name)
    if how == "renamed":
        state[f"{name}_more"] = tensor
    if how == "misshapen":
        state[name] = torch.zeros(3, 5)
    return state


def names_and_shapes(model):
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(
    ("model", "shapes", "entries", "parameters"),
    [(BioVilImageModel, biovil_shapes, 328, 25_835_944), (BioVilTImageModel, biovil_t_shapes, 372, 27_349_928)],
)
def test_image_models_hold_the_published_tensors_but_for_the_classifier_nobody_uses(model, shapes, entries, parameters):
    with torch.device("meta"):
        ours = model(ResNet50())
    listed = {name: shape for name, (shape, _) in shapes().items()}

    assert len(listed) == entries
    assert names_and_shapes(ours) == {name: shape for name, shape in listed.items() if ".fc." not in name}
    assert sum(parameter.numel() for parameter in ours.parameters()) + UNUSED_CLASSIFIER == parameters


def test_the_text_model_holds_the_published_tensors():
    with torch.device("meta"):
        ours = CxrBert()

    assert names_and_shapes(ours) == {name: shape for name, (shape, _) in cxr_bert_shapes(PUBLISHED_BERT).items()}
    assert len(names_and_shapes(ours)) == 210
    assert ours.config["dropout"] == 0.25


@pytest.mark.parametrize("kind", IMAGE_MODELS)
@pytest.mark.parametrize("how", SPOILED)
def test_an_image_file_with_a_wrong_tensor_is_refused_by_name(tmp_path, kind, how):
    load, shapes = IMAGE_MODELS[kind]
    name, problem = SPOILED[how]
    torch.save(spoil(hollow(shapes()), how, name), tmp_path / "weights.pt")

    with pytest.raises(InvalidValue) as refused:
        load(tmp_path / "weights.pt")

    assert all(part in str(refused.value) for part in ("weights.pt", problem, name))


@pytest.mark.parametrize("kind", IMAGE_MODELS)
def test_an_official_file_without_the_classifier_is_not_an_official_file(tmp_path, kind):
    load, shapes = IMAGE_MODELS[kind]
    torch.save(spoil(hollow(shapes()), "missing", "encoder.encoder.fc.bias"), tmp_path / "weights.pt")

    with pytest.raises(InvalidValue, match=r"weights\.pt.*encoder\.encoder\.fc\.bias"):
        load(tmp_path / "weights.pt")


def test_the_two_image_models_do_not_read_each_other(tmp_path):
    torch.save(hollow(biovil_shapes()), tmp_path / "biovil.pt")
    torch.save(hollow(biovil_t_shapes()), tmp_path / "biovil_t.pt")

    with pytest.raises(InvalidValue, match=r"biovil\.pt.*missing.*backbone_to_vit"):
        load_biovil_t(tmp_path / "biovil.pt")
    with pytest.raises(InvalidValue, match=r"biovil_t\.pt.*unexpected.*backbone_to_vit"):
        load_biovil(tmp_path / "biovil_t.pt")


@pytest.mark.parametrize("how", SPOILED)
def test_a_text_file_with_a_wrong_tensor_is_refused_by_name(tmp_path, how):
    name = "bert.encoder.layer.1.attention.self.key.weight"
    write_text_folder(tmp_path, TINY_BERT, spoil(hollow(cxr_bert_shapes(TINY_BERT)), how, name))

    with pytest.raises(InvalidValue) as refused:
        load_cxr_bert(tmp_path)

    assert all(part in str(refused.value) for part in ("pytorch_model.bin", SPOILED[how][1], name))


def test_position_numbers_of_older_files_and_tied_copies_change_nothing(tmp_path):
    state = text_state(TINY_BERT)
    plain = load_cxr_bert(write_text_folder(tmp_path / "plain", TINY_BERT, state))
    without_copies = {name: tensor for name, tensor in state.items() if not name.startswith("cls.predictions.decoder")}
    older = without_copies | {"bert.embeddings.position_ids": torch.arange(24)[None]}

    again = load_cxr_bert(write_text_folder(tmp_path / "older", TINY_BERT, older))

    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in plain.state_dict().items())
    assert torch.equal(again.state_dict()["cls.predictions.decoder.weight"], state["bert.embeddings.word_embeddings.weight"])


def test_a_tied_copy_that_differs_is_refused(tmp_path):
    state = text_state(TINY_BERT)
    state["cls.predictions.decoder.weight"] = state["cls.predictions.decoder.weight"] + 1

    with pytest.raises(InvalidValue, match=r"pytorch_model\.bin.*cls\.predictions\.decoder\.weight"):
        load_cxr_bert(write_text_folder(tmp_path, TINY_BERT, state))


def test_a_text_model_survives_saving_with_its_token_and_projection_heads(tmp_path):
    model = load_cxr_bert(write_text_folder(tmp_path / "official", TINY_BERT, text_state(TINY_BERT)))

    save_cxr_bert(model, tmp_path / "ours")
    again = load_cxr_bert(tmp_path / "ours")

    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert {"cls.predictions.transform.dense.weight", "cls_projection_head.dense_to_output.weight"} <= set(again.state_dict())
    text = ["no evidence of pneumonia"]
    assert torch.equal(model.embed_texts(text), again.embed_texts(text))


@pytest.mark.parametrize("load", [load_biovil, load_biovil_t])
def test_absent_and_damaged_image_files_are_refused(tmp_path, load):
    (tmp_path / "damaged.pt").write_bytes(b"not a file of tensors")

    with pytest.raises(MissingFile, match=r"absent\.pt"):
        load(tmp_path / "absent.pt")
    with pytest.raises(InvalidValue, match=r"damaged\.pt"):
        load(tmp_path / "damaged.pt")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "config.json", "vocab.txt"])
def test_an_incomplete_text_folder_is_refused(tmp_path, name):
    folder = write_text_folder(tmp_path, TINY_BERT, hollow(cxr_bert_shapes(TINY_BERT)))
    (folder / name).unlink()

    with pytest.raises(MissingFile):
        load_cxr_bert(folder)


def test_a_configuration_that_lacks_a_size_is_refused_by_field(tmp_path):
    folder = write_text_folder(tmp_path, TINY_BERT, hollow(cxr_bert_shapes(TINY_BERT)))
    (folder / "config.json").write_text(json.dumps({k: v for k, v in TINY_BERT.items() if k != "num_attention_heads"}))

    with pytest.raises(InvalidValue, match=r"config\.json.*num_attention_heads"):
        load_cxr_bert(folder)
