"""WordPiece vocabularies (Wu et al. 2016; BERT's conventions) made from a corpus of reports.

The vocabulary is every character, alone and as a continuation, then the corpus' words by falling count. Departure from the usual
trainer: no pieces between characters and words. The usual trainer breaks ties by the order of a hash table, so that two runs differ;
this one is a pure function of the corpus, and on report language, which repeats few words often, hardly any word is split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_wordpiece(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """A lower-casing WordPiece tokenizer of at most ``vocabulary_size`` pieces; the order of the corpus does not matter.

    Raises:
        ValueError: if the characters alone are more than ``vocabulary_size``.
    """
    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    words = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    pieces = _pieces(words, vocabulary_size)
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")]
    )
    tokenizer.enable_padding(pad_id=0, pad_token=SPECIAL_TOKENS[0])
    return tokenizer


def limit(tokenizer: Tokenizer, *, vocabulary_size: int, max_length: int) -> Tokenizer:
    """The tokenizer, cutting texts at ``max_length`` pieces, for a model with an embedding of ``vocabulary_size`` rows.

    Raises:
        ValueError: if the vocabulary is larger than the embedding.
    """
    if tokenizer.get_vocab_size() > vocabulary_size:
        raise ValueError(f"the tokenizer has {tokenizer.get_vocab_size()} pieces, the model {vocabulary_size}")
    tokenizer.enable_truncation(max_length)
    return tokenizer


def token_batch(tokenizer: Tokenizer, texts: Sequence[str], device: torch.device) -> tuple[Tensor, Tensor]:
    """N texts → token ids and attention mask (1 for tokens, 0 for padding), both (N, T)."""
    encodings = tokenizer.encode_batch(list(texts))
    ids = torch.tensor([e.ids for e in encodings], device=device)
    return ids, torch.tensor([e.attention_mask for e in encodings], device=device)


def _pieces(words: Counter[str], size: int) -> list[str]:
    characters = sorted({character for word in words for character in word})
    fixed = [*SPECIAL_TOKENS, *characters, *(f"##{c}" for c in characters)]
    if len(fixed) > size:
        raise ValueError(f"{len(characters)} characters need {len(fixed)} pieces, the vocabulary may hold {size}")
    ranked = sorted((w for w in words if len(w) > 1), key=lambda word: (-words[word], word))
    return [*fixed, *ranked[: size - len(fixed)]]
