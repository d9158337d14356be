"""Temporal entity matching: its variants, and that they are not the same number."""

import numpy as np
import pytest

from medvl.metrics.temporal_entities import KEYWORDS, keywords, temporal_entities


def test_the_published_list_has_44_words():
    assert len(KEYWORDS) == 44


def test_libra_gives_the_value_that_its_readme_prints():
    predictions = [
        "The pleural effusion has progressively worsened since previous scan.",
        "The pleural effusion is noted again on the current scan.",
    ]
    references = ["Compare with prior scan, pleural effusion has worsened.", "Pleural effusion has worsened."]

    assert temporal_entities(predictions, references).corpus["temporal_f1"] == pytest.approx(0.500000000075, abs=1e-14)


def test_one_shared_word_of_two_and_one():
    result = temporal_entities(["The effusion has worsened and is larger."], ["Worsened effusion."], variant="strict")

    assert result.corpus["temporal_f1"] == pytest.approx(2 / 3)


def test_reports_without_change_score_one_in_libra_and_are_left_out_in_strict():
    pairs = ["No effusion.", "New effusion."], ["Clear lungs.", "Unchanged effusion."]

    assert temporal_entities(*pairs).per_sample["temporal_f1"] == pytest.approx([1, 0], abs=1e-9)
    strict = temporal_entities(*pairs, variant="strict")
    assert np.isnan(strict.per_sample["temporal_f1"][0])
    assert strict.corpus["temporal_f1"] == 0


def test_a_word_that_only_the_prediction_has_scores_epsilon_in_libra_and_zero_in_strict():
    pair = ["New effusion."], ["Effusion."]

    assert temporal_entities(*pair).per_sample["temporal_f1"].tolist() == [1e-10]
    assert temporal_entities(*pair, variant="strict").per_sample["temporal_f1"].tolist() == [0]


def test_micro_sums_words_over_reports():
    result = temporal_entities(["new", "stable larger"], ["new", "stable"])

    assert result.corpus["temporal_f1_micro"] == pytest.approx(2 * 2 / (2 * 2 + 1))


def test_words_are_whole_and_joined_words_are_split_at_hyphens():
    assert keywords("Renewed, newly; STABLE-appearing") == {"stable"}


def test_libra_glues_words_at_a_slash_and_strict_does_not():
    assert keywords("new/larger") == set()
    assert keywords("new/larger", variant="strict") == {"new", "larger"}


def test_a_tagger_alone_is_the_papers_definition():
    result = temporal_entities(
        ["Stable new effusion."], ["New effusion."], tagger=lambda text: {"new", "effusion"}, with_words=False, variant="strict"
    )

    assert result.corpus["temporal_f1"] == 1


def test_without_words_and_tagger_nothing_is_left_to_compare():
    with pytest.raises(ValueError, match="tagger"):
        temporal_entities(["a"], ["a"], with_words=False)
