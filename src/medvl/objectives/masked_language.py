"""Masked language modelling over whole words (Devlin et al. 2019), masks drawn anew at each reading (RoBERTa, Liu et al. 2019).

A share of a text's words is chosen. Of the chosen words 80 % are hidden behind [MASK], 10 % replaced by other pieces and 10 % left as they
are. Over the M word pieces of chosen words

    loss = −1/M · Σ_m log p(x_m | the masked text)

A word is a piece that does not begin with ``##`` and the pieces after it that do. Departures: one fate for all pieces of a word, where
BERT's code draws one for each and so leaves pieces of a hidden word to read it by; no word is replaced by a special token; and the
vocabulary's logits are computed at the M chosen pieces only, which are about a sixth of a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy

IGNORED = -100  # the target of pieces that were not chosen
HIDDEN, REPLACED = 0.8, 0.1  # shares of the chosen words; the rest stays as it is
SPECIAL = re.compile(r"\[\w+\]")  # [CLS], [UNK], …, [unused1]: pieces that stand for no word


class WordPieces(NamedTuple):
    """What masking needs to know of a vocabulary of V pieces.

    Attributes:
        continuation: (V,) bool, pieces that go on with a word (``##``).
        special: (V,) bool, pieces that stand for no word: never chosen, and never a replacement.
        mask_id: the piece that hides.
    """

    continuation: Tensor
    special: Tensor
    mask_id: int


class MaskedTexts(NamedTuple):
    """Token ids as the model reads them, and the true ids at chosen pieces (``IGNORED`` elsewhere), both (N, T)."""

    token_ids: Tensor
    targets: Tensor


class MaskedLanguageLoss(NamedTuple):
    """The loss; how many chosen pieces were predicted rightly; how many were chosen."""

    loss: Tensor
    correct: Tensor
    pieces: int


def word_pieces(tokenizer: Tokenizer) -> WordPieces:
    """What masking needs to know of a WordPiece vocabulary.

    Raises:
        ValueError: if it has no [MASK].
    """
    vocabulary = tokenizer.get_vocab()
    if "[MASK]" not in vocabulary:
        raise ValueError("the vocabulary has no [MASK] to hide words behind")
    size = max(vocabulary.values()) + 1
    continuation, special = torch.zeros(size, dtype=torch.bool), torch.ones(size, dtype=torch.bool)
    for piece, number in vocabulary.items():
        continuation[number] = piece.startswith("##")
        special[number] = SPECIAL.fullmatch(piece) is not None
    return WordPieces(continuation, special, vocabulary["[MASK]"])


def mask_words(token_ids: Tensor, pieces: WordPieces, draws: Sequence[np.random.Generator], *, share: float = 0.15) -> MaskedTexts:
    """Choose words of N texts and mask them; a text's masks depend on its generator alone, not on its neighbours or padding.

    Args:
        token_ids: (N, T), on the CPU.
        pieces: of the vocabulary.
        draws: N generators.
        share: of the words of a text, rounded to whole words; at least one word of every text that has any.

    Raises:
        ValueError: if there is not one generator for each text, or the share is not above 0 and at most 1.
    """
    if len(draws) != len(token_ids):
        raise ValueError(f"{len(token_ids)} texts need as many generators, got {len(draws)}")
    if not 0 < share <= 1:
        raise ValueError(f"the share of words to choose is above 0 and at most 1, got {share}")
    shown, targets = token_ids.numpy().copy(), np.full(token_ids.shape, IGNORED)
    continuation, special = pieces.continuation.numpy(), pieces.special.numpy()
    ordinary = np.flatnonzero(~special)
    for ids, target, draw in zip(shown, targets, draws, strict=True):
        positions, fates = _choose(_words(ids, continuation, special), draw, share)
        target[positions] = ids[positions]
        ids[positions[fates < HIDDEN]] = pieces.mask_id
        replaced = positions[(fates >= HIDDEN) & (fates < HIDDEN + REPLACED)]
        ids[replaced] = draw.choice(ordinary, len(replaced))
    return MaskedTexts(torch.from_numpy(shown), torch.from_numpy(targets))


def masked_language_loss(
    hidden: Tensor, targets: Tensor, predict_tokens: Callable[[Tensor], Tensor], *, total: Tensor | float | None = None
) -> MaskedLanguageLoss:
    """Mean cross-entropy of the chosen pieces; 0 if none was chosen.

    Args:
        hidden: (N, T, W) hidden states of the masked texts.
        targets: (N, T) of ``mask_words``.
        predict_tokens: hidden states (M, W) → logits (M, V).
        total: divide the sum by this number instead of M: over several processes, the mean M of a process.
    """
    chosen = targets != IGNORED
    truth = targets[chosen]  # (M,)
    logits = predict_tokens(hidden[chosen]).float()  # (M, V)
    loss = cross_entropy(logits, truth, reduction="sum") / (max(len(truth), 1) if total is None else total)
    return MaskedLanguageLoss(loss, (logits.argmax(dim=-1) == truth).sum(), len(truth))


def _words(ids: NDArray[np.int64], continuation: NDArray[np.bool_], special: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(T,) the number of the word that each piece belongs to; −1 for special pieces."""
    spoken = ~special[ids]
    follows = np.append(False, spoken[:-1])
    begins = spoken & ~(continuation[ids] & follows)
    return np.where(spoken, np.cumsum(begins) - 1, -1)


def _choose(words: NDArray[np.int64], draw: np.random.Generator, share: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The positions of the pieces of chosen words, and a number in [0, 1) for each, the same for all pieces of a word."""
    count = int(words.max(initial=-1)) + 1
    fate = np.full(count + 1, np.nan)  # the last is that of special pieces, whose number is −1
    chosen = draw.permutation(count)[: max(1, round(share * count))]
    fate[chosen] = draw.random(len(chosen))
    positions = np.flatnonzero(~np.isnan(fate[words]))
    return positions, fate[words[positions]]
