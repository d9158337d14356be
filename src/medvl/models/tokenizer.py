"""WordPiece vocabularies (Wu et al. 2016; BERT's conventions) made from a corpus of reports.

The vocabulary is every character, alone and as a continuation, then the corpus' words by falling count, until it is full or they run out.
Departure from the usual trainer: no pieces between characters and words. The trainer of the ``tokenizers`` library breaks ties by a hash
table that each process seeds anew: on one corpus, in one thread, three runs of version 0.23 gave three vocabularies. This one is a pure
function of the corpus, and on report language, which repeats few words often, hardly any word is split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from medvl.runtime.errors import InvalidValue, MissingFile

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_wordpiece(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """A lower-casing WordPiece tokenizer of at most ``vocabulary_size`` pieces; the order of the corpus does not matter.

    Raises:
        ValueError: if the characters alone are more than ``vocabulary_size``.
    """
    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    words = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    return _wordpiece({piece: i for i, piece in enumerate(_pieces(words, vocabulary_size))})


def read_vocabulary(path: Path) -> Tokenizer:
    """The lower-casing WordPiece tokenizer of a ``vocab.txt``, one piece a line, as BERT's releases have it.

    Raises:
        MissingFile: if it is not there.
        InvalidValue: naming the special token that it lacks.
    """
    if not path.is_file():
        raise MissingFile(path, "the vocabulary of the text model, one word piece a line")
    pieces = path.read_text(encoding="utf-8").split("\n")
    vocabulary = {piece: number for number, piece in enumerate(pieces) if piece}
    if absent := [token for token in SPECIAL_TOKENS if token not in vocabulary]:
        raise InvalidValue(path, "word pieces", f"no {absent[0]} among {len(vocabulary)}")
    return _wordpiece(vocabulary)


def fit_to_model(tokenizer: Tokenizer, *, vocabulary_size: int) -> Tokenizer:
    """The tokenizer, if a model with an embedding of ``vocabulary_size`` rows can read what it writes.

    Raises:
        ValueError: if the vocabulary is larger than the embedding.
    """
    if tokenizer.get_vocab_size() > vocabulary_size:
        raise ValueError(f"the tokenizer has {tokenizer.get_vocab_size()} pieces, the model {vocabulary_size}")
    return tokenizer


def token_batch(tokenizer: Tokenizer, texts: Sequence[str], device: torch.device, *, max_length: int) -> tuple[Tensor, Tensor]:
    """N texts → token ids and attention mask (1 for tokens, 0 for padding), both (N, T), T at most ``max_length``."""
    tokenizer.enable_truncation(max_length)
    encodings = tokenizer.encode_batch(list(texts))
    tokenizer.no_truncation()
    ids = torch.tensor([e.ids for e in encodings], device=device)
    return ids, torch.tensor([e.attention_mask for e in encodings], device=device)


def _wordpiece(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.enable_padding(pad_id=vocabulary["[PAD]"], pad_token="[PAD]")
    return tokenizer


def _pieces(words: Counter[str], size: int) -> list[str]:
    characters = sorted({character for word in words for character in word})
    fixed = [*SPECIAL_TOKENS, *characters, *(f"##{c}" for c in characters)]
    if len(fixed) > size:
        raise ValueError(f"{len(characters)} characters need {len(fixed)} pieces, the vocabulary may hold {size}")
    ranked = sorted((w for w in words if len(w) > 1), key=lambda word: (-words[word], word))
    return [*fixed, *ranked[: size - len(fixed)]]
