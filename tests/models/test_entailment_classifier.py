"""The inference head on CXR-BERT, and its folder."""

import json

import pytest
import torch

from medvl.models.checkpoints import load_cxr_bert
from medvl.models.cxr_bert import CxrBert
from medvl.models.entailment import EntailmentClassifier, load_entailment, save_entailment
from medvl.models.tokenizer import train_wordpiece
from medvl.runtime.errors import InvalidValue, MissingFile

PAIRS = [("There is no effusion.", "Effusion."), ("The heart is large.", "There is cardiomegaly today.")]


@pytest.fixture
def classifier():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    text = CxrBert(200, width=16, layers=1, heads=2, feed_forward=32, max_length=24, projection_size=8)
    text.set_tokenizer(train_wordpiece([sentence for pair in PAIRS for sentence in pair], 200))
    return EntailmentClassifier(text).eval()


def test_a_pair_is_one_text_of_two_types(classifier):
    ids, mask, types = classifier.tokenize(PAIRS[:1])

    tokens = [classifier.text.tokenizer.id_to_token(i) for i in ids[0].tolist()]
    assert tokens == ["[CLS]", "there", "is", "no", "effusion", ".", "[SEP]", "effusion", ".", "[SEP]"]
    assert types[0].tolist() == [0] * 7 + [1] * 3
    assert mask.bool().all()


def test_probabilities_sum_to_one_whatever_the_batch(classifier):
    together, alone = classifier.probabilities(PAIRS), classifier.probabilities(PAIRS, batch_size=1)

    assert together.shape == (2, 3)
    assert torch.allclose(together.sum(dim=1), torch.ones(2))
    assert torch.allclose(together, alone, atol=1e-6)
    assert classifier.probabilities([]).shape == (0, 3)


def test_premise_and_hypothesis_are_told_apart(classifier):
    forth, back = classifier.probabilities([PAIRS[0], PAIRS[0][::-1]])

    assert not torch.allclose(forth, back)


def test_a_saved_classifier_answers_as_before_and_lends_its_text_model(classifier, tmp_path):
    save_entailment(classifier, tmp_path)

    loaded = load_entailment(tmp_path)

    assert torch.equal(loaded.probabilities(PAIRS), classifier.probabilities(PAIRS))
    text = load_cxr_bert(tmp_path)
    assert torch.equal(text.embed_texts(["effusion"]), classifier.text.embed_texts(["effusion"]))


@pytest.mark.parametrize(
    ("pair", "what"), [(("", "Effusion."), "is empty"), (("Effusion.", "Large [SEP] heart"), r"special token \[SEP\]")]
)
def test_a_text_that_is_none_is_named(classifier, pair, what):
    with pytest.raises(ValueError, match=f"pair 3 of 3.* {what}"):
        classifier.probabilities([*PAIRS, pair])


def test_a_pair_that_is_too_long_is_an_error(classifier):
    with pytest.raises(ValueError, match="27 word pieces, the model reads 24"):
        classifier.probabilities([("effusion " * 12, "effusion " * 12)])


def test_a_classifier_in_training_mode_does_not_answer(classifier):
    with pytest.raises(ValueError, match="training mode"):
        classifier.train().probabilities(PAIRS)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingFile, match=r"nowhere/model\.safetensors does not exist"):
        load_entailment(tmp_path / "nowhere")


def test_a_folder_of_another_model_is_named(classifier, tmp_path):
    save_entailment(classifier, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architecture": "cxr_bert"}))

    with pytest.raises(InvalidValue, match="is 'cxr_bert', expected 'entailment'"):
        load_entailment(tmp_path)
