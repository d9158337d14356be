"""BLEU-1 … BLEU-4 (Papineni et al. 2002) of a corpus and of each report, one reference each.

    BLEU-n = BP · (Π_k≤n p_k)^(1/n),   p_k = matched k-grams / k-grams of the prediction,   BP = min(1, exp(1 − r / c))

Two implementations by name. ``coco`` is ``pycocoevalcap`` (R2Gen and its descendants, RadEval): no smoothing but constants 1e-15 and 1e-9
that keep a zero from dividing, so that a report without a matching 4-gram scores nearly 0; in [0, 1]. ``sacrebleu`` is sacrebleu with
its defaults (exponential smoothing; for single reports with effective order): BLEU-4 only, in [0, 100], usually with tokenizer ``13a``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medvl.metrics.bootstrap import Statistic
from medvl.metrics.scores import Columns, Scores, paired, scores
from medvl.metrics.text.tokenizers import Tokenizer, tokenize, tokenizer_name

ORDERS = (1, 2, 3, 4)
_TINY, _SMALL = 1e-15, 1e-9
_COUNTS = (*(f"match_{n}" for n in ORDERS), *(f"total_{n}" for n in ORDERS), "length", "reference_length")


def bleu(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    tokenizer: Tokenizer = "whitespace",
    implementation: Literal["coco", "sacrebleu"] = "coco",
) -> Scores:
    """BLEU of predictions against one reference each.

    Example: "no pleural effusion seen" against "no effusion seen today": three of four words and one of three word pairs match, equal
    lengths: BLEU-1 = 3/4, BLEU-2 = √(3/4 · 1/3) = 1/2.

    Args:
        predictions, references: N reports each.
        tokenizer: a name of ``tokenizers.py`` or a function. ``whitespace`` equals the implementation on text that is tokenised already.
        implementation: see above.

    Returns:
        ``bleu_1`` … ``bleu_4`` (``sacrebleu``: ``bleu``); counts of matches, n-grams and lengths, from which any resample is aggregated.

    Raises:
        ValueError: if the lists differ in length or are empty.
    """
    paired("bleu", predictions, references)
    counts = np.array(
        [
            _counts(prediction, reference)
            for prediction, reference in zip(tokenize(predictions, tokenizer), tokenize(references, tokenizer), strict=True)
        ],
        np.float64,
    )
    protocol = {"version": 1, "tokenizer": tokenizer_name(tokenizer), "implementation": implementation}
    if implementation == "coco":
        values = _coco(counts)  # (N, 4)
        per_sample = {f"bleu_{n}": values[:, n - 1] for n in ORDERS}
    else:
        per_sample = {"bleu": _sacrebleu(counts, effective_order=True)}
    return scores("bleu", per_sample, protocol, counts=dict(zip(_COUNTS, counts.T, strict=True)), aggregate=corpus_bleu)


def corpus_bleu(columns: Columns, protocol: Mapping[str, Any]) -> dict[str, Statistic]:
    """BLEU of the corpus: counts are summed first, so it is not the mean of the reports' values."""
    counts = np.stack([columns[name] for name in _COUNTS], axis=1)  # (N, 10)
    if protocol["implementation"] == "sacrebleu":
        return {"bleu": lambda weights: _sacrebleu(weights @ counts, effective_order=False)}

    def of_order(n: int) -> Statistic:
        return lambda weights: _coco(weights @ counts)[:, n - 1]

    return {f"bleu_{n}": of_order(n) for n in ORDERS}


def _counts(prediction: list[str], reference: list[str]) -> list[int]:
    """Clipped matches of each order, n-grams of each order, both lengths: (10,)."""
    matches = []
    for n in ORDERS:
        said, wanted = _ngrams(prediction, n), _ngrams(reference, n)
        matches.append(sum(min(count, wanted[ngram]) for ngram, count in said.items()))
    totals = [max(0, len(prediction) - n + 1) for n in ORDERS]
    return [*matches, *totals, len(prediction), len(reference)]


def _ngrams(tokens: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


def _coco(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…, 10) summed counts → (…, 4) BLEU-1 … BLEU-4."""
    matches, totals, length, reference_length = counts[:, :4], counts[:, 4:8], counts[:, 8], counts[:, 9]
    products = np.cumprod((matches + _TINY) / (totals + _SMALL), axis=1)
    values = products ** (1 / np.array(ORDERS))
    ratio = (length + _TINY) / (reference_length + _SMALL)
    with np.errstate(over="ignore"):  # an empty prediction: 1 / ratio is huge and the penalty 0
        penalty = np.where(ratio < 1, np.exp(1 - 1 / ratio), 1.0)
    return values * penalty[:, None]


def _sacrebleu(counts: NDArray[np.float64], *, effective_order: bool) -> NDArray[np.float64]:
    """(…, 10) summed counts → (…,) BLEU-4 in percent, exponential smoothing."""
    return np.array([_sacrebleu_of_one(row, effective_order=effective_order) for row in counts])


def _sacrebleu_of_one(row: NDArray[np.float64], *, effective_order: bool) -> float:
    matches, totals, length, reference_length = row[:4], row[4:8], row[8], row[9]
    if not matches.any():
        return 0.0
    logarithms, smoothing = [], 1.0
    for matched, total in zip(matches, totals, strict=True):
        if total == 0:
            if not effective_order:
                return 0.0  # the geometric mean then has a precision of 0
            break
        if matched == 0:
            smoothing *= 2
            matched = 1 / smoothing
        logarithms.append(np.log(100 * matched / total))
    penalty = min(1.0, float(np.exp(1 - reference_length / length)))
    return penalty * float(np.exp(np.sum(logarithms) / len(logarithms)))
