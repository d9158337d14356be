"""CXR-BERT's prompts: what is stripped, padded and refused, as in the official text engine and its tests."""

import pytest
import torch
from official_layouts import TINY_BERT, WORDS, text_state, write_text_folder

from medvl.models.checkpoints import load_cxr_bert
from medvl.models.cxr_bert import CxrBert
from medvl.models.tokenizer import read_vocabulary


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_cxr_bert(write_text_folder(tmp_path_factory.mktemp("text"), TINY_BERT, text_state(TINY_BERT)))


@pytest.fixture(autouse=True)
def one_thread_without_gradients():
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("ending", [".", "!", "?", "?!.", "...", " .", ". "])
def test_punctuation_at_the_end_does_not_count(model, ending):
    plain, ended = model.embed_texts(["no evidence of pneumonia", "no evidence of pneumonia" + ending])

    assert torch.allclose(plain, ended, atol=1e-6)


def test_punctuation_within_a_prompt_counts(model):
    plain, dotted = model.embed_texts(["no pneumonia no opacity", "no pneumonia. no opacity"])

    assert (plain - dotted).abs().max() > 1e-2


@pytest.mark.parametrize("prompt", ["[CLS]", "hello [PAD]", "opacity [SEP] seen", "[UNK]"])
def test_prompts_with_special_tokens_are_refused(model, prompt):
    with pytest.raises(ValueError, match=r"text 2 of 2.*special token"):
        model.embed_texts(["opacity seen", prompt])


def test_a_masked_word_is_allowed_and_read_as_one_piece(model):
    ids, _ = model.tokenize(["left [MASK] seen"])

    assert ids.tolist() == [[2, WORDS.index("left"), WORDS.index("[MASK]"), WORDS.index("seen"), 3]]
    assert model.embed_texts(["left [MASK] seen"]).shape == (1, 16)


def test_a_prompt_of_just_the_maximum_length_is_read_and_a_longer_one_refused_or_cut(model):
    longest = TINY_BERT["max_position_embeddings"] - 2  # beside [CLS] and [SEP]
    fitting, too_long = " ".join(["opacity"] * longest), " ".join(["opacity"] * (longest + 1))

    assert model.embed_texts([fitting]).isfinite().all()
    with pytest.raises(ValueError, match=r"text 1 of 1.*25 word pieces.*reads 24"):
        model.embed_texts([too_long])
    assert torch.allclose(model.embed_texts([too_long], truncate=True), model.embed_texts([fitting]), atol=1e-6)


@pytest.mark.parametrize("prompt", ["", "   ", "?!."])
def test_a_prompt_of_which_nothing_is_left_is_refused(model, prompt):
    with pytest.raises(ValueError, match="empty"):
        model.embed_texts(["opacity", prompt])


def test_embeddings_have_unit_length_unless_told_otherwise(model):
    prompts = ["no pneumonia", "left basilar consolidation seen"]

    unit, plain = model.embed_texts(prompts), model.embed_texts(prompts, unit_length=False)

    assert torch.allclose(unit.norm(dim=1), torch.ones(2))
    assert torch.allclose(unit, plain / plain.norm(dim=1, keepdim=True), atol=1e-6)
    assert (plain.norm(dim=1) - 1).abs().min() > 0.1


def test_padding_does_not_change_an_embedding(model):
    short = "no pneumonia"

    alone, padded = model.embed_texts([short])[0], model.embed_texts([short, "left basilar consolidation seen, no opacity there"])[0]

    assert torch.allclose(alone, padded, atol=1e-5)


def test_letters_are_lower_cased_and_words_split_into_known_pieces(model):
    ids, mask = model.tokenize(["Findings, unheard", "NO"])

    pieces = [WORDS[number] for number in ids[0].tolist()]
    assert pieces == ["[CLS]", "find", "##ings", ",", "[UNK]", "[SEP]"]
    assert ids[1].tolist() == [2, WORDS.index("no"), 3, 0, 0, 0]
    assert mask.sum(dim=1).tolist() == [6, 3]


def test_token_logits_are_over_the_vocabulary_at_every_token(model):
    ids, mask = model.tokenize(["no [MASK] seen"])

    assert model.predict_tokens(model(ids, mask)).shape == (1, 5, 40)


def test_a_vocabulary_larger_than_the_embedding_is_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    small = CxrBert(vocabulary_size=len(WORDS) - 1, width=16, layers=1, heads=2, feed_forward=16, max_length=8, projection_size=4)

    with pytest.raises(ValueError, match=str(len(WORDS))):
        small.set_tokenizer(read_vocabulary(tmp_path / "vocab.txt"))


def test_a_model_without_vocabulary_embeds_no_texts():
    model = CxrBert(vocabulary_size=16, width=16, layers=1, heads=2, feed_forward=16, max_length=8, projection_size=4).eval()

    with pytest.raises(ValueError, match="no tokenizer"):
        model.embed_texts(["opacity"])
