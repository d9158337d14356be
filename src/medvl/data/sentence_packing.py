"""Sentences packed into sequences of word pieces, across documents: RoBERTa's FULL-SENTENCES (Liu et al. 2019, section 4.2).

    [CLS] sentence sentence [SEP] sentence … [SEP]

A [SEP] stands between documents and at the end. A sequence is full when the next sentence does not fit; a sentence that is longer than a
whole sequence is cut into several.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from medvl.data.report_text import split_sentences
from medvl.runtime.errors import UserError

CHUNK = 1000  # documents that are tokenised at once


class PackedSequences(NamedTuple):
    """The pieces of all sequences one after another, and where each sequence ends."""

    pieces: NDArray[np.uint32]
    ends: NDArray[np.int64]


def pack_sentences(documents: Iterable[str], tokenizer: Tokenizer, *, max_length: int) -> PackedSequences:
    """Greedily fill sequences of at most ``max_length`` pieces with sentences, in the order given.

    Raises:
        UserError: if a sequence is too short for a piece between [CLS] and [SEP].
    """
    if max_length < 3:
        raise UserError(f"a sequence of {max_length} pieces has no room between [CLS] and [SEP]")
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.no_padding()
    vocabulary = tokenizer.get_vocab()
    first, last = vocabulary["[CLS]"], vocabulary["[SEP]"]
    pieces, ends = array("I"), array("q")
    length = 0  # of the sequence under way, with its [CLS]
    for begins, sentence in _sentences(documents, tokenizer, longest=max_length - 2):
        separator = [last] if begins and length else []
        if length and length + len(separator) + len(sentence) + 1 > max_length:
            pieces.append(last)
            ends.append(len(pieces))
            separator, length = [], 0
        if not length:
            separator = [first]
        pieces.extend(separator)
        pieces.extend(sentence)
        length += len(separator) + len(sentence)
    if length:
        pieces.append(last)
        ends.append(len(pieces))
    return PackedSequences(np.array(pieces, np.uint32), np.array(ends, np.int64))


def _sentences(documents: Iterable[str], tokenizer: Tokenizer, longest: int) -> Iterator[tuple[bool, list[int]]]:
    """Each sentence's pieces, at most ``longest`` together, and whether a document begins with it."""
    remaining = iter(documents)
    while chunk := [split_sentences(text) for text in itertools.islice(remaining, CHUNK)]:
        flat = [(i == 0, sentence) for sentences in chunk for i, sentence in enumerate(sentences)]
        encoded = tokenizer.encode_batch([sentence for _, sentence in flat], add_special_tokens=False) if flat else []
        for (begins, _), encoding in zip(flat, encoded, strict=True):
            for start in range(0, len(encoding.ids), longest):
                yield begins and start == 0, encoding.ids[start : start + longest]
