"""The engine that people use: files and arrays in, similarities, findings and maps out."""

import numpy as np
import pytest
import torch
from PIL import Image

from medvl.benchmarks.inference import ImageTextInference, UnusableInput
from medvl.benchmarks.similarity_maps import similarity_map
from medvl.data.dicom import UnreadableRadiograph, read_radiograph
from medvl.data.transforms import center_crop, to_tensor
from medvl.geometry import Frame
from medvl.models.biovil_t import BioVilTImageModel
from medvl.models.cxr_bert import CxrBert
from medvl.models.image_text import ImageTextModel
from medvl.models.resnet import SmallResNet
from medvl.models.tokenizer import train_wordpiece

SENTENCES = ["No pleural effusion.", "Small left pleural effusion.", "The heart is enlarged.", "The heart is normal."]


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    image = BioVilTImageModel(SmallResNet((8, 8, 16, 16)), projection_size=16, width=16, heads=2, blocks=1)
    text = CxrBert(vocabulary_size=128, width=16, layers=1, heads=2, feed_forward=32, max_length=12, projection_size=16)
    model = ImageTextModel(image, text).eval()
    model.set_tokenizer(train_wordpiece(SENTENCES, 128))
    return model


@pytest.fixture
def engine(model):
    return ImageTextInference(model, crop=64, short_side=72)


@pytest.fixture(scope="module")
def films():
    """Three films of 80 × 100, uint8."""
    return [np.random.default_rng(seed).integers(0, 255, (80, 100)).astype(np.uint8) for seed in range(3)]


def test_similarity_is_the_cosine_of_image_and_text(engine, model, films):
    found = engine.similarity(films, SENTENCES)

    square = center_crop(films[1], Frame.identity((80, 100)), 64, short_side=72)[0]
    with torch.inference_mode():
        whole = model.embed_images(to_tensor(square)[None]).projected_global_embedding
        expected = whole @ model.embed_texts(SENTENCES).T
    assert found.shape == (3, 4)
    assert found[1] == pytest.approx(expected[0].numpy(), abs=1e-5)


def test_an_ensemble_is_the_mean_of_projections_as_in_biovils_engine(engine, model, films):
    found = engine.similarity(films[:1], [SENTENCES[:2], SENTENCES[0]])

    with torch.inference_mode():
        mean = model.embed_texts(SENTENCES[:2], unit_length=False).mean(dim=0)
        whole = engine.similarity(films[:1], SENTENCES[:1])
    direction = (mean / mean.norm()).numpy()
    assert found[0, 1] == pytest.approx(whole[0, 0])
    square = center_crop(films[0], Frame.identity((80, 100)), 64, short_side=72)[0]
    with torch.inference_mode():
        image = model.embed_images(to_tensor(square)[None]).projected_global_embedding[0].numpy()
    assert found[0, 0] == pytest.approx(image @ direction, abs=1e-5)


def test_files_and_arrays_give_the_same(engine, films, tmp_path):
    stretched = films[0].copy()
    stretched[0, :2] = (0, 255)  # so that reading from lowest to highest changes nothing
    Image.fromarray(stretched).save(tmp_path / "a.png")

    found = engine.similarity([tmp_path / "a.png", str(tmp_path / "a.png"), stretched, stretched / np.float32(255)], SENTENCES)

    assert found[1:] == pytest.approx(np.tile(found[0], (3, 1)), abs=1e-6)


def test_batches_do_not_change_anything(model, films):
    one, many = (ImageTextInference(model, crop=64, batch_size=size).similarity(films, SENTENCES) for size in (1, 16))

    assert one == pytest.approx(many, abs=1e-5)


def test_a_finding_is_the_softmax_over_its_two_sides(engine, films):
    prompts = {
        "effusion": {"positive": [SENTENCES[1]], "negative": [SENTENCES[0]]},
        "heart": {"positive": SENTENCES[2:3], "negative": SENTENCES[3:]},
    }

    found = engine.classify(films, prompts)

    cosines = engine.similarity(films, SENTENCES)
    assert found["effusion"] == pytest.approx(np.exp(cosines[:, 1]) / (np.exp(cosines[:, 0]) + np.exp(cosines[:, 1])), abs=1e-5)
    assert list(found) == ["effusion", "heart"]


def test_images_are_encoded_once_for_all_findings_and_texts_once_for_good(brightness_model, films):
    model = brightness_model()
    engine = ImageTextInference(model, crop=64, short_side=None)
    prompts = {name: {"positive": ["dense area"], "negative": ["clear", "no dense area"]} for name in ("a", "b", "c")}

    engine.classify(films, prompts)
    engine.similarity(films, ["clear", "dense area"])

    assert model.images_seen == 6
    assert sorted(model.texts_seen) == ["clear", "dense area", "no dense area"]


def test_maps_are_those_of_similarity_map_over_the_original(engine, model, films):
    maps = engine.ground(films[0], SENTENCES[:2])

    square, frame = center_crop(films[0], Frame.identity((80, 100)), 64, short_side=72)
    with torch.inference_mode():
        expected = similarity_map(model.image, model.embed_texts(SENTENCES[:2]), to_tensor(square)[None], frame=frame)
    assert maps.shape == (2, 80, 100)
    assert np.allclose(maps, expected, atol=1e-5, equal_nan=True)
    assert np.isnan(maps).mean() == pytest.approx(1 - (80 * 64 / 72) ** 2 / 8000, abs=0.02)


def test_the_film_before_changes_maps_and_similarities(engine, films):
    alone, after = engine.ground(films[0], SENTENCES[:1]), engine.ground(films[0], SENTENCES[:1], previous=films[1])
    mixed = engine.similarity(films[:2], SENTENCES, previous=[films[1], None])

    assert np.nanmax(np.abs(alone - after)) > 1e-3
    assert mixed[1] == pytest.approx(engine.similarity(films[1:2], SENTENCES)[0], abs=1e-5)
    assert np.abs(mixed[0] - engine.similarity(films[:1], SENTENCES)[0]).max() > 1e-4


@pytest.mark.parametrize(
    ("options", "unseen"), [({}, True), ({"outside": "lowest"}, False), ({"fit": "pad"}, False), ({"fit": "stretch"}, False)]
)
def test_what_the_model_did_not_see_is_nan_unless_chosen_otherwise(model, films, options, unseen):
    maps = ImageTextInference(model, crop=64, short_side=72, **options).ground(films[0], SENTENCES[:1])

    assert np.isnan(maps).any() == unseen


def test_the_map_of_a_file_lies_over_its_stored_pixels(engine, films, tmp_path):
    Image.fromarray(films[0]).save(tmp_path / "a.png")

    assert engine.ground(tmp_path / "a.png", SENTENCES[:1]).shape[1:] == read_radiograph(tmp_path / "a.png").frame.source


def test_half_precision_stays_near(model, films):
    exact, half = (ImageTextInference(model, crop=64, precision=p).similarity(films, SENTENCES) for p in ("float32", "bfloat16"))

    assert not np.array_equal(exact, half)
    assert half == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[CLS] effusion", "special token"), ("effusion " * 40, "word pieces"), ("...", "is empty"), (" ", "is empty"), ("", "is empty")],
)
def test_texts_that_the_model_refuses_are_named(engine, films, text, message):
    with pytest.raises(ValueError, match=message):
        engine.ground(films[0], [text])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda engine, film: engine.similarity([], ["effusion"]), "list of at least one image"),
        (lambda engine, film: engine.similarity("film.png", ["effusion"]), "list of at least one image"),
        (lambda engine, film: engine.similarity([film], "effusion"), "list of at least one text"),
        (lambda engine, film: engine.similarity([film], []), "list of at least one text"),
        (lambda engine, film: engine.ground(film, [["effusion"], []]), "list of at least one text"),
        (lambda engine, film: engine.similarity([film], ["effusion"], previous=[film, film]), "1 images and 2 films before"),
        (lambda engine, film: engine.classify([film], {"edema": {"positive": ["edema"]}}), "prompts.edema has no negative"),
        (lambda engine, film: engine.similarity([film[None]], ["effusion"]), r"array \(H, W\), got \(1, 80, 100\)"),
        (lambda engine, film: engine.similarity([film * 4.0], ["effusion"]), "float in"),
        (lambda engine, film: engine.similarity([np.full((8, 8), np.nan, np.float32)], ["effusion"]), "without NaN"),
        (lambda engine, film: engine.similarity([film.astype(np.int16)], ["effusion"]), "got int16"),
    ],
)
def test_inputs_that_cannot_be_used_are_named(engine, films, call, message):
    with pytest.raises(UnusableInput, match=message):
        call(engine, films[0])


def test_a_file_that_is_no_radiograph_is_named(engine, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")

    with pytest.raises(UnreadableRadiograph, match=r"a\.png"):
        engine.similarity([tmp_path / "a.png"], ["effusion"])


def test_a_model_in_training_mode_is_refused(model):
    model.train()
    try:
        with pytest.raises(ValueError, match="training mode"):
            ImageTextInference(model, crop=64)
    finally:
        model.eval()
