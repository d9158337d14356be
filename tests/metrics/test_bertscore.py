"""BERTScore: the formula on vectors by hand, and a tiny encoder from a local folder."""

import math
import os

import numpy as np
import pytest
import torch

from medvl.metrics.text.bertscore import EncodedText, LocalEncoder, bertscore
from medvl.runtime.errors import MissingFile, UserError

VECTORS = {"x": (1.0, 0.0), "y": (0.0, 2.0), "z": (3.0, 4.0)}
BEGIN, END = (0, (-1.0, 0.0)), (1, (0.0, -1.0))


def encoder(texts):
    """Each letter a piece, between two special ones."""
    encoded = []
    for text in texts:
        pieces = [BEGIN, *((ord(letter), VECTORS[letter]) for letter in text), END]
        encoded.append(EncodedText(tuple(p for p, _ in pieces), np.array([v for _, v in pieces], np.float32)))
    return encoded


def test_two_pieces_against_one():
    corpus = bertscore(["xy"], ["x"], encoder=encoder).corpus

    assert corpus["precision"] == pytest.approx(1 / 2)
    assert corpus["recall"] == pytest.approx(1)
    assert corpus["f1"] == pytest.approx(2 / 3)


def test_similarity_is_the_cosine_of_the_best_partner():
    corpus = bertscore(["z"], ["xy"], encoder=encoder).corpus

    assert corpus["precision"] == pytest.approx(4 / 5)
    assert corpus["recall"] == pytest.approx((3 / 5 + 4 / 5) / 2)


def test_idf_weighs_rare_pieces_of_the_references():
    result = bertscore(["xy", "x"], ["xz", "x"], encoder=encoder, idf=True)

    rare, unseen = math.log(3 / 2), math.log(3)
    # Reference "xz": x is in both references and weighs nothing, z is in one; its best partner in "xy" is y.
    assert result.per_sample["recall"][0] == pytest.approx(rare * 4 / 5 / rare)
    # Prediction "xy": only y weighs, which no reference has; its best partner is z.
    assert result.per_sample["precision"][0] == pytest.approx(unseen * 4 / 5 / unseen)
    assert np.isnan(result.per_sample["f1"][1])


def test_the_baseline_becomes_zero():
    corpus = bertscore(["xy"], ["x"], encoder=encoder, baseline=(0.5, 0.5, 0.5)).corpus

    assert corpus["precision"] == pytest.approx(0)
    assert corpus["f1"] == pytest.approx((2 / 3 - 1 / 2) / (1 / 2))


def test_an_empty_text_scores_zero():
    assert bertscore(["", "x"], ["x", ""], encoder=encoder).per_sample["f1"].tolist() == [0, 0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random BERT of two layers with its vocabulary."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    path = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "no", "effusion", "edema", "clear", "lungs", "."]
    (path / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, max_position_embeddings=16
    )
    BertModel(config).save_pretrained(path)
    BertTokenizerFast(vocab=str(path / "vocab.txt")).save_pretrained(path)
    return path


def test_a_local_encoder_gives_the_hidden_states_of_its_layer(folder):
    from transformers import AutoModel

    text = LocalEncoder(folder, layer=1)(["no effusion"])[0]

    assert text.pieces == (2, 5, 6, 3)
    with torch.inference_mode():
        hidden = AutoModel.from_pretrained(folder)(torch.tensor([[2, 5, 6, 3]]), output_hidden_states=True).hidden_states
    np.testing.assert_allclose(text.vectors, hidden[1][0], atol=1e-6)


def test_a_score_does_not_depend_on_its_batch(folder):
    predictions, references = ["no effusion", "clear lungs . no edema"], ["effusion .", "clear"]

    together = bertscore(predictions, references, encoder=LocalEncoder(folder, layer=2))
    alone = [bertscore([p], [r], encoder=LocalEncoder(folder, layer=2)) for p, r in zip(predictions, references, strict=True)]

    np.testing.assert_allclose(together.per_sample["f1"], [a.corpus["f1"] for a in alone], atol=1e-6)


def test_equal_texts_score_one_and_long_ones_are_cut(folder):
    text = "no effusion . clear lungs " * 10

    assert bertscore([text], [text], encoder=LocalEncoder(folder, layer=2)).corpus["f1"] == pytest.approx(1, abs=1e-6)


def test_a_folder_without_a_model_and_a_layer_too_many_are_refused(folder, tmp_path):
    with pytest.raises(MissingFile, match=r"config\.json"):
        LocalEncoder(tmp_path, layer=1)
    with pytest.raises(UserError, match="has 2 layers"):
        LocalEncoder(folder, layer=3)


@pytest.mark.parametrize(
    ("said", "wanted", "expected"),
    [
        (
            [[1, 0, 2], [3, 1, 0], [0, 2, 1], [1, 1, 1], [2, 0, 1]],
            [[1, 0, 1], [2, 1, 0], [0, 1, 1], [1, 0, 2]],
            (0.9183764575464688, 0.9693163958558402, 0.9431591122076219),
        ),
        (
            [[1, 0, 2], [0, 1, 3], [2, 0, 1]],
            [[1, 1, 2], [0, 1, 2], [3, 0, 1], [1, 2, 0], [2, 1, 1]],
            (0.9899494936611666, 0.7932996624407777, 0.8807816860224852),
        ),
    ],
)
def test_matching_equals_the_packages(said, wanted, expected):
    """Expected: ``greedy_cos_idf`` of bert-score 0.3.13 in double precision, the first and the last piece weighing 0."""
    texts = {"p": said, "r": wanted}

    found = bertscore(
        ["p"], ["r"], encoder=lambda names: [EncodedText(tuple(range(len(texts[n]))), np.array(texts[n], np.float32)) for n in names]
    )

    assert tuple(found.corpus[name] for name in ("precision", "recall", "f1")) == pytest.approx(expected, abs=1e-12)


MINILM = os.environ.get("MEDVL_MINILM")


@pytest.mark.skipif(not MINILM, reason="MEDVL_MINILM names no folder of sentence-transformers/all-MiniLM-L6-v2")
@pytest.mark.parametrize(
    ("idf", "expected"),
    [
        (False, ((0.895508, 0.921611, 0.908372), (0.681942, 0.895734, 0.774353), (0.816810, 0.816875, 0.816842))),
        (True, ((0.793036, 0.885642, 0.836785), (0.572890, 0.850221, 0.684533), (0.765771, 0.801101, 0.783038))),
    ],
)
def test_a_real_model_scores_as_with_the_package(idf, expected):
    """Expected: ``BERTScorer`` of bert-score 0.3.13, layer 4, with all six references as the idf corpus."""
    predictions = [
        "No pleural effusion is seen.",
        "Small left pleural effusion with adjacent atelectasis, unchanged from prior.",
        "Heart size is normal. The lungs are clear.",
        "Right-sided PICC terminates in the SVC.",
        "effusion",
        "The cardiomediastinal silhouette is within normal limits; no pneumothorax, consolidation or edema.",
    ]
    references = [
        "There is no pleural effusion.",
        "Moderate right pleural effusion.",
        "The heart is mildly enlarged and the lungs are clear.",
        "Right PICC tip at the cavoatrial junction, in good position.",
        "Large bilateral pleural effusions, increased.",
        "No acute cardiopulmonary process.",
    ]

    found = bertscore(predictions, references, encoder=LocalEncoder(MINILM, layer=4), idf=idf).per_sample

    for i, row in enumerate(expected):
        assert tuple(found[name][i] for name in ("precision", "recall", "f1")) == pytest.approx(row, abs=2e-6)
