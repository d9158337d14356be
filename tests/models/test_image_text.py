"""The small image-text model: shapes, unit lengths, strict files."""

import json

import pytest
import torch

from medvl.models.checkpoints import load_image_text, save_image_text
from medvl.models.image_text import ImageTextModel
from medvl.models.tokenizer import train_wordpiece
from medvl.runtime.errors import InvalidValue, MissingFile

CORPUS = ["No pleural effusion.", "Small left pleural effusion.", "The heart is enlarged."]
SMALL = {"projection_size": 16, "image_widths": (8, 8, 16, 16), "vocabulary_size": 128, "text_width": 16, "text_layers": 1, "text_heads": 2}


@pytest.fixture
def model():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = ImageTextModel(**SMALL, max_length=12).eval()
    model.set_tokenizer(train_wordpiece(CORPUS, 128))
    return model


def test_embeddings_have_unit_length_and_the_map_has_stride_sixteen(model):
    images = model.embed_images(torch.rand(2, 1, 96, 64))

    assert images.projected_patch_embeddings.shape == (2, 16, 6, 4)
    assert torch.allclose(images.projected_patch_embeddings.norm(dim=1), torch.ones(2, 6, 4), atol=1e-5)
    assert torch.allclose(images.projected_global_embedding.norm(dim=1), torch.ones(2), atol=1e-5)


def test_a_text_does_not_depend_on_its_neighbours_in_the_batch(model):
    alone = model.embed_texts([CORPUS[0]])
    together = model.embed_texts(CORPUS)

    assert torch.allclose(alone[0], together[0], atol=1e-5)


def test_long_texts_are_cut_and_empty_ones_refused(model):
    assert model.embed_texts(["effusion " * 100]).shape == (1, 16)
    with pytest.raises(ValueError, match="text 1 of 2 is empty"):
        model.embed_texts(["effusion", " "])


def test_a_saved_model_loads_with_equal_outputs(model, tmp_path):
    save_image_text(model, tmp_path)

    loaded = load_image_text(tmp_path)

    pixels = torch.rand(1, 1, 64, 64)
    assert torch.equal(loaded.embed_images(pixels)[0], model.embed_images(pixels)[0])
    assert torch.equal(loaded.embed_texts(CORPUS), model.embed_texts(CORPUS))


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(MissingFile, match=r"model\.safetensors"):
        load_image_text(tmp_path)


def test_weights_of_another_shape_are_refused(model, tmp_path):
    save_image_text(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "projection_size": 8}))

    with pytest.raises(InvalidValue, match=r"model\.safetensors"):
        load_image_text(tmp_path)


def test_the_vocabulary_does_not_depend_on_the_order_of_the_corpus():
    assert train_wordpiece(CORPUS, 128).get_vocab() == train_wordpiece(CORPUS[::-1], 128).get_vocab()


def test_a_vocabulary_larger_than_the_embedding_is_refused():
    with pytest.raises(ValueError, match="pieces"):
        ImageTextModel(**{**SMALL, "vocabulary_size": 8}).set_tokenizer(train_wordpiece(CORPUS, 128))


def test_group_normalisation_is_free_of_the_batch():
    torch.manual_seed(0)
    model = ImageTextModel(**SMALL, norm="group").train()
    pixels = torch.rand(3, 1, 64, 64)

    assert torch.allclose(model.embed_images(pixels)[0][:1], model.embed_images(pixels[:1])[0], atol=1e-5)
