"""Whole words are chosen and masked as BERT's are, by draws of the text alone; the loss looks at chosen pieces only."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from medvl.objectives.masked_language import IGNORED, mask_words, masked_language_loss, word_pieces

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "heart", "##s", "lung", "clear", "##ing", "."]
PAD, UNK, CLS, SEP, MASK, HEART, S, LUNG, CLEAR, ING, STOP = range(11)
PIECES = word_pieces(Tokenizer(WordPiece({piece: i for i, piece in enumerate(VOCABULARY)}, unk_token="[UNK]")))
TEXT = [CLS, HEART, S, S, LUNG, CLEAR, ING, STOP, UNK, SEP]
WORDS = [{1, 2, 3}, {4}, {5, 6}, {7}]  # positions of each word of TEXT


def masked(text, seed=0, **options):
    return mask_words(torch.tensor([text]), PIECES, [np.random.default_rng(seed)], **options)


def chosen(text, seed=0, **options):
    return set((masked(text, seed, **options).targets[0] != IGNORED).nonzero()[:, 0].tolist())


def test_the_vocabulary_says_what_continues_a_word_and_what_stands_for_none():
    assert PIECES.continuation.nonzero()[:, 0].tolist() == [S, ING]
    assert PIECES.special.nonzero()[:, 0].tolist() == [PAD, UNK, CLS, SEP, MASK]
    assert PIECES.mask_id == MASK


@pytest.mark.parametrize("seed", range(20))
def test_words_are_chosen_whole_and_special_pieces_never(seed):
    found = chosen(TEXT, seed, share=0.5)

    words = [word for word in WORDS if word & found]
    assert len(words) == 2
    assert set().union(*words) == found


def test_a_continuation_after_a_special_piece_begins_a_word():
    assert chosen([CLS, S, SEP, ING, SEP], share=1.0) == {1, 3}


@pytest.mark.parametrize("text", [[CLS, LUNG, SEP], [CLS, LUNG, CLEAR, STOP, SEP]])
def test_every_text_has_at_least_one_chosen_word(text):
    assert len(chosen(text, share=0.01)) == 1


def test_a_text_without_words_is_left_as_it_is():
    text = [CLS, SEP, PAD]

    assert masked(text).token_ids.tolist() == [text]
    assert chosen(text) == set()


def test_targets_are_the_true_pieces_and_other_pieces_are_untouched():
    ids, targets = masked(TEXT, share=0.5)
    at = targets[0] != IGNORED

    assert torch.equal(targets[0][at], torch.tensor(TEXT)[at])
    assert torch.equal(ids[0][~at], torch.tensor(TEXT)[~at])


def test_eighty_percent_of_words_are_hidden_ten_replaced_ten_left_and_all_pieces_of_a_word_alike():
    text = [CLS, *[HEART, S] * 4000, SEP]

    ids = masked(text, share=1.0).token_ids[0, 1:-1].view(-1, 2)

    hidden, kept = (ids == MASK).all(dim=1), (ids == torch.tensor([HEART, S])).all(dim=1)
    replaced = ids[~hidden & ~kept]
    assert hidden.float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert len(replaced) / 4000 == pytest.approx(0.1 * (1 - 1 / 36), abs=0.02)  # one in 6 × 6 draws gives the word itself
    assert kept.float().mean().item() == pytest.approx(0.1 * (1 + 1 / 36), abs=0.02)
    assert not PIECES.special[replaced].any()


def test_the_share_is_of_the_words():
    text = [CLS, *[HEART, S, LUNG] * 500, SEP]

    found = chosen(text, share=0.15)

    assert sum(text[position] in (HEART, LUNG) for position in found) == 150


@given(st.lists(st.sampled_from(range(5, 11)), min_size=1, max_size=12), st.integers(0, 50), st.integers(0, 8))
def test_masks_depend_on_the_texts_own_draws_not_on_neighbours_or_padding(words, seed, padding):
    alone = masked([CLS, *words, SEP], seed)
    rows = torch.tensor([[CLS, *words, SEP, *[PAD] * padding], [CLS, *[LUNG] * (len(words) + padding), SEP]])

    together = mask_words(rows, PIECES, [np.random.default_rng(seed), np.random.default_rng(seed + 1)])

    assert torch.equal(together.token_ids[0, : len(words) + 2], alone.token_ids[0])
    assert torch.equal(together.targets[0, : len(words) + 2], alone.targets[0])
    assert (together.targets[0, len(words) + 2 :] == IGNORED).all()


def test_another_generator_chooses_other_words():
    assert len({frozenset(chosen(TEXT, seed)) for seed in range(20)}) > 1


def test_the_loss_is_the_mean_over_chosen_pieces_and_sees_no_others():
    seen = []

    def predict(hidden):
        seen.append(hidden.shape)
        return torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])

    found = masked_language_loss(torch.zeros(2, 3, 4), torch.tensor([[IGNORED, 1, IGNORED], [0, IGNORED, IGNORED]]), predict)

    assert seen == [(2, 4)]
    assert found.loss.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)
    assert (found.correct.item(), found.pieces) == (1, 2)


def test_over_several_processes_the_sum_is_divided_by_their_mean_number_of_pieces():
    targets, hidden = torch.tensor([[1, 0, 1, IGNORED]]), torch.randn(1, 4, 2)

    whole = masked_language_loss(hidden, targets, lambda h: h).loss
    parts = [masked_language_loss(hidden[:, s], targets[:, s], lambda h: h, total=1.5).loss for s in (slice(0, 1), slice(1, 4))]

    assert (sum(parts) / 2).item() == pytest.approx(whole.item())


def test_no_chosen_piece_is_a_loss_of_zero_with_a_gradient():
    hidden = torch.ones(1, 2, 3, requires_grad=True)

    loss = masked_language_loss(hidden, torch.full((1, 2), IGNORED), lambda h: h).loss
    loss.backward()

    assert loss.item() == 0
    assert not hidden.grad.any()


def test_wrong_inputs_are_refused():
    with pytest.raises(ValueError, match="2 texts need as many generators, got 1"):
        mask_words(torch.tensor([TEXT, TEXT]), PIECES, [np.random.default_rng(0)])
    with pytest.raises(ValueError, match="above 0 and at most 1, got 0"):
        masked(TEXT, share=0.0)
    with pytest.raises(ValueError, match=r"no \[MASK\]"):
        word_pieces(Tokenizer(WordPiece({"[UNK]": 0}, unk_token="[UNK]")))
