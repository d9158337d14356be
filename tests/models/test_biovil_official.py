"""Our models beside the live official package, hi-ml-multimodal 0.2.2, of whose installation the user names the folder."""

import os
from pathlib import Path

import pytest
import torch
from deterministic_weights import deterministic_state, pixels, shapes_of, uniform
from official_layouts import PUBLISHED_BERT, TINY_BERT, biovil_shapes, biovil_t_shapes, cxr_bert_shapes, text_state, write_text_folder
from torch.nn.functional import normalize

from bench import official_biovil as official
from medvl.benchmarks.similarity_maps import map_in_original, patch_similarity
from medvl.geometry import Frame
from medvl.models.checkpoints import load_biovil, load_biovil_t, load_cxr_bert

FOLDER = os.environ.get("MEDVL_HI_ML")
pytestmark = [
    pytest.mark.skipif(not FOLDER, reason="MEDVL_HI_ML names no folder in which hi-ml-multimodal 0.2.2 is installed"),
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
]
PROMPTS = ["No evidence of pneumonia.", "left basilar consolidation seen", "findings consistent with [MASK]!?", "?", "opacity , acute"]


@pytest.fixture(scope="module", autouse=True)
def package():
    torch.set_num_threads(1)
    official.import_package(Path(FOLDER))
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def image_pair(tmp_path_factory, package):
    return both(official.image_model(), biovil_shapes, load_biovil, tmp_path_factory.mktemp("biovil"))


@pytest.fixture(scope="module")
def multi_image_pair(tmp_path_factory, package):
    return both(official.multi_image_model(), biovil_t_shapes, load_biovil_t, tmp_path_factory.mktemp("biovil_t"))


@pytest.fixture(scope="module")
def text_pair(tmp_path_factory, package):
    folder = write_text_folder(tmp_path_factory.mktemp("text"), TINY_BERT, text_state(TINY_BERT))
    theirs = official.text_model(TINY_BERT)
    theirs.load_state_dict(text_state(TINY_BERT))
    return official.text_engine(theirs, folder / "vocab.txt"), load_cxr_bert(folder)


def both(theirs, shapes, load, folder):
    """The official model and ours, with the same weights."""
    state = deterministic_state(shapes())
    theirs.load_state_dict(state)
    torch.save(state, folder / "weights.pt")
    return theirs, load(folder / "weights.pt")


def three(name, *size):
    return pixels(name, *size).expand(-1, 3, -1, -1)


def assert_equal(ours, theirs):
    """To 1e-5, or to 1e-5 of an output's largest number where that is above 1."""
    for field, tensor in ours._asdict().items():
        expected = getattr(theirs, field)
        assert (tensor - expected).abs().max() <= 1e-5 * max(1, expected.abs().max()), field


def test_the_listed_names_shapes_and_types_are_those_of_the_official_classes(image_pair, multi_image_pair):
    assert shapes_of(image_pair[0].state_dict()) == biovil_shapes()
    assert shapes_of(multi_image_pair[0].state_dict()) == biovil_t_shapes()
    with torch.device("meta"):
        assert shapes_of(official.text_model(PUBLISHED_BERT).state_dict()) == cxr_bert_shapes()


@pytest.mark.parametrize("size", [(224, 224), (480, 480), (200, 333)], ids=str)
def test_biovil_on_any_size(image_pair, size):
    theirs, ours = image_pair

    assert_equal(ours(pixels("current", *size)), theirs(three("current", *size)))


@pytest.mark.parametrize("size", [(448, 448), (512, 512), (200, 333)], ids=str)
def test_biovil_t_without_a_film_before_on_any_size(multi_image_pair, size):
    theirs, ours = multi_image_pair

    assert_equal(ours(pixels("current", *size)), theirs(three("current", *size)))


def test_biovil_t_with_a_film_before(multi_image_pair):
    theirs, ours = multi_image_pair
    current, previous = (torch.cat([three(f"{when} {n}", 448, 448) for n in range(2)]) for when in ("current", "previous"))

    expected = theirs(current, previous)

    assert_equal(ours(current, previous), expected)
    assert_equal(ours(current, previous_features=ours.encode_static(previous)), expected)


def test_patchwise_projections_of_unit_length(image_pair):
    theirs, ours = image_pair

    found = normalize(ours(pixels("current", 224, 224)).projected_patch_embeddings, dim=1).permute(0, 2, 3, 1)

    torch.testing.assert_close(found, theirs.get_patchwise_projected_embeddings(three("current", 224, 224), normalize=True))


@pytest.mark.parametrize("unit_length", [True, False])
def test_prompts(text_pair, unit_length):
    engine, ours = text_pair
    prompts = [prompt for prompt in PROMPTS if prompt != "?"]  # nothing is left of it: the official engine embeds that, ours refuses

    found = ours.embed_texts(prompts, unit_length=unit_length)

    torch.testing.assert_close(found, engine.get_embeddings_from_prompt(prompts, normalize=unit_length), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("prompt", ["[CLS]", "hello [PAD]", "opacity " * 30])
def test_what_the_official_text_engine_refuses_ours_refuses(text_pair, prompt):
    engine, ours = text_pair

    with pytest.raises(ValueError):
        engine.get_embeddings_from_prompt([prompt])
    with pytest.raises(ValueError):
        ours.embed_texts([prompt])


def test_masked_words_are_filled_with_the_same_pieces(text_pair):
    engine, ours = text_pair
    prompts = ["no evidence of [MASK]", "[MASK] basilar [MASK] seen"]

    ids, mask = ours.tokenize(prompts)
    best = ours.predict_tokens(ours(ids, mask)).argmax(dim=-1)
    found = [
        [ours.tokenizer.id_to_token(piece) for piece in row[token == ours.tokenizer.token_to_id("[MASK]")].tolist()]
        for row, token in zip(best, ids, strict=True)
    ]

    assert found == engine.predict_masked_tokens(prompts)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("size", [(400, 600), (500, 600), (650, 600), (650, 401), (513, 513)], ids=str)
def test_similarity_maps_in_the_original_image(size, interpolation):
    patches, text = normalize(uniform("patches", (14, 14, 128)), dim=-1), normalize(uniform("text", (1, 128)), dim=-1)
    frame = Frame.identity(size).short_side(512).center_cropped((448, 448))

    smoothed = patch_similarity(patches.permute(2, 0, 1), text)[0]
    found = map_in_original(smoothed, frame, interpolation=interpolation, geometry="official")

    expected = official.resized_map(official.smoothed_map(patches, text), size, 448, interpolation)
    assert found.shape == size
    torch.testing.assert_close(torch.from_numpy(found), torch.from_numpy(expected), atol=1e-5, rtol=0, equal_nan=True)
