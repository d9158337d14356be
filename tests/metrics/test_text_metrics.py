"""The hand-worked cases of the text metrics' docstrings, and what their tokenisers do."""

import math

import numpy as np
import pytest

from medvl.metrics.text import bleu, cider, meteor, rouge_l
from medvl.metrics.text.repetition import length_and_repetition
from medvl.metrics.text.rouge_l import longest_common_subsequence
from medvl.metrics.text.tokenizers import tokenize
from medvl.runtime.errors import UserError


def test_bleu_of_three_matching_words_and_one_pair():
    result = bleu(["no pleural effusion seen"], ["no effusion seen today"])

    assert result.corpus["bleu_1"] == pytest.approx(3 / 4, abs=1e-8)
    assert result.corpus["bleu_2"] == pytest.approx(1 / 2, abs=1e-8)


def test_a_short_prediction_pays_the_brevity_penalty():
    result = bleu(["clear lungs"], ["clear lungs no effusion"])

    assert result.corpus["bleu_1"] == pytest.approx(math.exp(1 - 4 / 2), abs=1e-8)


def test_corpus_bleu_is_not_the_mean_of_reports():
    result = bleu(["a b c d e", "x"], ["a b c d e", "y"])

    assert result.corpus["bleu_1"] == pytest.approx(5 / 6, abs=1e-8)
    assert result.per_sample["bleu_1"].mean() == pytest.approx(1 / 2, abs=1e-8)


def test_rouge_l_of_two_common_words():
    pair = ["no effusion seen today"], ["no pleural effusion"]

    assert rouge_l(*pair, implementation="rouge_score").corpus["rouge_l"] == pytest.approx(4 / 7)
    assert rouge_l(*pair).corpus["rouge_l"] == pytest.approx(0.58654, abs=1e-5)


def test_only_rouge_score_has_a_stemmer():
    with pytest.raises(UserError, match="rouge_score has a stemmer"):
        rouge_l(["a"], ["a"], stemmer=True)


def test_the_common_subsequence_keeps_the_order():
    assert longest_common_subsequence(["a", "b", "c", "d"], ["b", "x", "d"]) == 2
    assert longest_common_subsequence(["a", "b"], ["b", "a"]) == 1
    assert longest_common_subsequence([], ["a"]) == 0


def test_cider_of_two_agreeing_reports_of_two_words():
    reports = ["clear lungs", "large effusion"]

    assert cider(reports, reports).per_sample["cider"] == pytest.approx([5, 5])


def test_cider_of_a_single_pair_is_zero():
    assert cider(["clear lungs"], ["clear lungs"]).corpus["cider"] == 0


def test_meteor_matches_stems_and_counts_chunks():
    assert meteor(["small effusions seen"], ["small effusion"]).corpus["meteor"] == pytest.approx((1 - 1 / 16) * 20 / 21)
    assert meteor(["effusion small"], ["small effusion"]).corpus["meteor"] == pytest.approx(1 - 0.5)


def test_meteor_names_its_implementation():
    assert "implementation:exact_stem" in meteor(["a"], ["a"]).signature


def test_length_and_repetition_of_a_report_that_repeats_itself():
    result = length_and_repetition(["Clear lungs. Clear lungs. Clear lungs.", ""], ["Lungs are clear.", "Normal."])

    assert result.per_sample["words"].tolist() == [6, 0]
    assert result.per_sample["repeated_4grams"][0] == pytest.approx(1 / 3)
    assert result.per_sample["repeated_sentences"][0] == pytest.approx(2 / 3)
    assert np.isnan(result.per_sample["repeated_sentences"][1])
    assert result.corpus["length_ratio"] == pytest.approx(6 / 4)
    assert result.corpus["empty"] == 0.5


@pytest.mark.parametrize(
    ("tokenizer", "tokens"),
    [
        ("whitespace", ["No", "(acute)", "change.", "1.", "3.5", "cm."]),
        ("lower", ["no", "(acute)", "change.", "1.", "3.5", "cm."]),
        ("words", ["no", "acute", "change", "1", "3", "5", "cm"]),
        ("words_and_punctuation", ["no", "(", "acute", ")", "change", ".", "1", ".", "3", ".", "5", "cm", "."]),
        ("radcliq", ["no", "(acute)", "change", ".", "1", ".", "3", ".5", "cm", "."]),
        ("r2gen", ["no", "acute", "change", ".", "35", "cm", "."]),
        ("13a", ["No", "(", "acute", ")", "change", ".", "1", ".", "3.5", "cm", "."]),
        ("13a_lower", ["no", "(", "acute", ")", "change", ".", "1", ".", "3.5", "cm", "."]),
        ("coco_ptb_like", ["no", "-lrb-", "acute", "-rrb-", "change", "1", "3.5", "cm"]),
    ],
)
def test_each_tokenizer_splits_as_its_name_says(tokenizer, tokens):
    assert tokenize(["No (acute) change. 1. 3.5 cm."], tokenizer) == [tokens]


def test_r2gen_drops_list_numbers_and_keeps_hyphens():
    text = "1. Right-sided effusion..  2. No pneumothorax, ___ seen.\n3. 'Stable'."

    assert tokenize([text], "r2gen") == [["right-sided", "effusion", ".", "no", "pneumothorax", "seen", ".", "stable", "."]]


def test_a_function_can_split_and_is_named():
    result = bleu(["a-b"], ["a-b"], tokenizer=list)

    assert result.protocol["tokenizer"] == "list"
    assert result.counts["length"].tolist() == [3]


def test_an_unknown_tokenizer_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="did you mean 'whitespace'"):
        tokenize(["a"], "whitspace")
