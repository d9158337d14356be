"""CIDEr-D (Vedantam et al. 2015) as ``pycocoevalcap`` computes it: agreement of n-grams weighted by how rare they are in the references.

    CIDEr = 10 · mean_n [ exp(−(c − r)² / 2σ²) · Σ_ω min(g(ω), h(ω)) · h(ω) / (‖g‖ ‖h‖) ],   σ = 6, n = 1 … 4

with g, h the counts of n-grams of prediction and reference, each times log(N / document frequency), and c, r their lengths in word pairs.
The document frequency counts the references that are evaluated: a report's value depends on all others, and a single pair scores 0.
A resample of the bootstrap averages these values; it does not count documents again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from medvl.metrics.scores import Scores, paired, scores
from medvl.metrics.text.tokenizers import Tokenizer, tokenize, tokenizer_name

ORDERS = (1, 2, 3, 4)
SIGMA = 6.0
Ngrams = Counter[tuple[str, ...]]


def cider(predictions: Sequence[str], references: Sequence[str], *, tokenizer: Tokenizer = "whitespace") -> Scores:
    """CIDEr-D of predictions against one reference each.

    Example: references "clear lungs" and "large effusion", predictions the same: each word and word pair occurs in one of two documents
    and agrees fully, there are no longer n-grams: 10 · (1 + 1 + 0 + 0) / 4 = 5 for each.

    Args:
        predictions, references: N reports each.
        tokenizer: a name of ``tokenizers.py`` or a function.

    Returns:
        ``cider`` in [0, 10]; the corpus value is the mean.

    Raises:
        ValueError: if the lists differ in length or are empty.
    """
    count = paired("cider", predictions, references)
    said = [_ngrams(words) for words in tokenize(predictions, tokenizer)]
    wanted = [_ngrams(words) for words in tokenize(references, tokenizer)]
    documents: Ngrams = Counter(ngram for report in wanted for ngram in report)
    rarity = {ngram: math.log(count) - math.log(frequency) for ngram, frequency in documents.items()}
    unseen = math.log(count)
    values = [
        _similarity(_weighted(p, rarity, unseen), _weighted(r, rarity, unseen), _pairs(p) - _pairs(r))
        for p, r in zip(said, wanted, strict=True)
    ]
    protocol = {"version": 1, "variant": "cider_d", "tokenizer": tokenizer_name(tokenizer), "sigma": SIGMA, "documents": count}
    return scores("cider", {"cider": values}, protocol)


def _ngrams(words: list[str]) -> Ngrams:
    return Counter(ngram for n in ORDERS for ngram in zip(*(words[i:] for i in range(n)), strict=False))


def _pairs(ngrams: Ngrams) -> int:
    """Word pairs, which the official code takes for the length."""
    return sum(count for ngram, count in ngrams.items() if len(ngram) == 2)


def _weighted(ngrams: Ngrams, rarity: dict[tuple[str, ...], float], unseen: float) -> list[dict[tuple[str, ...], float]]:
    """Count times rarity, a vector for each order."""
    vectors: list[dict[tuple[str, ...], float]] = [{} for _ in ORDERS]
    for ngram, count in ngrams.items():
        vectors[len(ngram) - 1][ngram] = count * rarity.get(ngram, unseen)
    return vectors


def _similarity(said: list[dict[tuple[str, ...], float]], wanted: list[dict[tuple[str, ...], float]], difference: int) -> float:
    total = 0.0
    for prediction, reference in zip(said, wanted, strict=True):
        shared = sum(min(weight, reference.get(ngram, 0.0)) * reference.get(ngram, 0.0) for ngram, weight in prediction.items())
        norm = math.hypot(*prediction.values()) * math.hypot(*reference.values())
        total += shared / norm if norm else shared
    return 10 * total / len(ORDERS) * math.exp(-(difference**2) / (2 * SIGMA**2))
