"""Fertility counts word pieces beside words, punctuation marks as words."""

import pytest

from medvl.metrics.fertility import PUBLISHED, fertility


def test_pieces_and_words_are_averages_over_reports_and_punctuation_counts():
    found = fertility(["No effusion.", "Clear", "  "], tokenize=lambda text: 2 * len(text.split()))

    assert (found.reports, found.words, found.pieces) == (2, 2.0, 3.0)  # (3 + 1) / 2 words, (4 + 2) / 2 pieces
    assert found.above_words == pytest.approx(50.0)


def test_the_published_rows_agree_on_the_number_of_words():
    words = [pieces / (1 + above / 100) for _, pieces, above in PUBLISHED.values()]

    assert max(words) - min(words) < 0.02


def test_texts_without_a_word_are_refused():
    with pytest.raises(ValueError, match="no text has a word"):
        fertility(["", " "], len)
