"""Image and text model together: shapes, unit lengths, strict files."""

import json

import pytest
import torch

from medvl.models.biovil import BioVilImageModel
from medvl.models.biovil_t import BioVilTImageModel
from medvl.models.checkpoints import load_biovil, load_biovil_t, load_cxr_bert, load_image_text, save_image_text
from medvl.models.cxr_bert import CxrBert
from medvl.models.image_text import ImageTextModel
from medvl.models.resnet import SmallResNet
from medvl.models.tokenizer import train_wordpiece
from medvl.runtime.errors import InvalidValue, MissingFile

CORPUS = ["No pleural effusion.", "Small left pleural effusion.", "The heart is enlarged."]
TEXT = {"vocabulary_size": 128, "width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "max_length": 12, "projection_size": 16}


def small(norm="batch", **text):
    image = BioVilTImageModel(SmallResNet((8, 8, 16, 16), norm=norm), projection_size=16, width=16, heads=2, blocks=1)
    return ImageTextModel(image, CxrBert(**{**TEXT, **text}))


@pytest.fixture
def model():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = small().eval()
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


def test_long_texts_are_refused_unless_they_may_be_cut(model):
    with pytest.raises(ValueError, match="text 1 of 1 has 102 word pieces, the model reads 12"):
        model.embed_texts(["effusion " * 100])
    assert model.embed_texts(["effusion " * 100], truncate=True).shape == (1, 16)


@pytest.mark.parametrize("text", ["", " ", " .", "?!"])
def test_empty_texts_are_refused(model, text):
    with pytest.raises(ValueError, match="text 2 of 2 is empty"):
        model.embed_texts(["effusion", text])


@pytest.mark.parametrize("token", ["[CLS]", "[SEP]", "[PAD]", "[UNK]"])
def test_special_tokens_in_a_text_are_refused_but_for_the_mask(model, token):
    with pytest.raises(ValueError, match="special token"):
        model.embed_texts([f"effusion {token}"])
    model.embed_texts(["small left [MASK] effusion"])


def test_the_last_full_stop_does_not_count(model):
    assert torch.equal(model.embed_texts(["no pleural effusion"]), model.embed_texts(["No pleural effusion.!?"]))


def test_a_batch_may_mix_studies_with_and_without_a_film_before(model):
    films, before = torch.rand(4, 1, 64, 64), torch.rand(4, 1, 64, 64)
    present = torch.tensor([True, False, True, False])

    mixed = model.embed_images(films, before, present)[0]

    assert torch.allclose(mixed[present], model.embed_images(films, before)[0][present], atol=1e-6)
    assert torch.allclose(mixed[~present], model.embed_images(films)[0][~present], atol=1e-6)
    assert not torch.allclose(mixed[present], model.embed_images(films)[0][present], atol=1e-3)


def test_both_orders_are_what_each_order_gives_alone(model):
    current, previous, has_previous = torch.rand(3, 1, 64, 64), torch.rand(3, 1, 64, 64), torch.tensor([True, False, True])

    in_order, exchanged = model.embed_both_orders(current, previous, has_previous)

    expected = model.embed_images(current, previous, has_previous), model.embed_images(previous, current)
    for found, alone in zip(in_order, expected[0], strict=True):
        assert torch.allclose(found, alone, atol=1e-5)
    for found, alone in zip(exchanged, expected[1], strict=True):
        assert torch.allclose(found[has_previous], alone[has_previous], atol=1e-5)
        assert not found[1].any()


def test_a_model_of_single_films_has_no_order():
    static = ImageTextModel(BioVilImageModel(SmallResNet((8, 8, 16, 16)), projection_size=16), CxrBert(**TEXT))

    with pytest.raises(ValueError, match="one film at a time"):
        static.embed_both_orders(torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32), torch.tensor([True]))


def test_cached_maps_stand_for_the_films_before(model):
    films, before = torch.rand(2, 1, 64, 48), torch.rand(2, 1, 64, 48)

    cached = model.image(films, previous_features=model.image.encode_static(before))

    assert torch.allclose(cached.projected_global_embedding, model.image(films, before).projected_global_embedding, atol=1e-6)


def test_films_that_do_not_fit_each_other_are_refused(model):
    films = torch.rand(2, 1, 64, 64)
    with pytest.raises(ValueError, match="shapes must be equal"):
        model.image(films, torch.rand(2, 1, 64, 48))
    with pytest.raises(ValueError, match="previous_features are"):
        model.image(films, previous_features=torch.rand(2, 16, 3, 4))
    with pytest.raises(ValueError, match="not both"):
        model.image(films, films, previous_features=torch.rand(2, 16, 4, 4))


def test_a_projection_of_two_sizes_is_refused():
    with pytest.raises(ValueError, match="sizes must be equal"):
        small(projection_size=8)


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
    config["text"]["width"] = 8
    (tmp_path / "config.json").write_text(json.dumps(config))

    with pytest.raises(InvalidValue, match=r"model\.safetensors, tensors: \d+ of another shape"):
        load_image_text(tmp_path)


def test_each_half_loads_alone(model, tmp_path):
    save_image_text(model, tmp_path)
    pixels = torch.rand(1, 1, 64, 64)

    assert torch.equal(load_biovil_t(tmp_path)(pixels)[2], model.image(pixels)[2])
    assert torch.equal(load_cxr_bert(tmp_path).embed_texts(CORPUS), model.embed_texts(CORPUS))
    with pytest.raises(InvalidValue, match="'biovil_t'; load it by its own function"):
        load_biovil(tmp_path)


def test_the_vocabulary_does_not_depend_on_the_order_of_the_corpus():
    assert train_wordpiece(CORPUS, 128).get_vocab() == train_wordpiece(CORPUS[::-1], 128).get_vocab()


def test_a_vocabulary_larger_than_the_embedding_is_refused():
    with pytest.raises(ValueError, match="pieces"):
        small(vocabulary_size=8).set_tokenizer(train_wordpiece(CORPUS, 128))


def test_group_normalisation_is_free_of_the_batch():
    torch.manual_seed(0)
    trunk = SmallResNet((8, 8, 16, 16), norm="group").train()
    pixels = torch.rand(3, 1, 64, 64)

    assert torch.allclose(trunk(pixels)[:1], trunk(pixels[:1]), atol=1e-5)
