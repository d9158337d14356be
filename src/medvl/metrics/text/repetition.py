"""Length and repetition of reports: what no score of agreement shows, and what a generator gets wrong first.

Repetition is seq-rep-4 (Welleck et al. 2020): 1 − distinct 4-grams / 4-grams, within one report. Repeated sentences are counted after
lower-casing and without punctuation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from medvl.metrics.bootstrap import Statistic, mean_of
from medvl.metrics.scores import Columns, Scores, paired, ratio_of, scores
from medvl.metrics.text.tokenizers import Tokenizer, tokenize, tokenizer_name

ORDER = 4


def length_and_repetition(predictions: Sequence[str], references: Sequence[str], *, tokenizer: Tokenizer = "words") -> Scores:
    """Words, their ratio to the references', repeated 4-grams and sentences, empty reports.

    Example: "Clear lungs. Clear lungs. Clear lungs." has 6 words; of its 3 word 4-grams two are distinct, a repetition of 1/3; two of its
    three sentences were said before.

    Args:
        predictions, references: N reports each.
        tokenizer: a name of ``tokenizers.py`` or a function.

    Returns:
        ``words``, ``reference_words``, ``length_ratio`` (of summed words), ``repeated_4grams``, ``repeated_sentences`` (shares; NaN for a
        report without any), ``empty`` (share of reports without a word). Lower is better for the last three.

    Raises:
        ValueError: if the lists differ in length or are empty.
    """
    paired("length_and_repetition", predictions, references)
    said = tokenize(predictions, tokenizer)
    ngrams = [list(zip(*(words[i:] for i in range(ORDER)), strict=False)) for words in said]
    per_sample: dict[str, list[float]] = {
        "words": [len(words) for words in said],
        "reference_words": [len(words) for words in tokenize(references, tokenizer)],
        "repeated_4grams": [_repeated(report) for report in ngrams],
        "repeated_sentences": [_repeated(_sentences(text)) for text in predictions],
        "empty": [float(not words) for words in said],
    }
    protocol = {"version": 1, "tokenizer": tokenizer_name(tokenizer), "order": ORDER}
    worse = frozenset(["repeated_4grams", "repeated_sentences", "empty"])
    return scores("length_and_repetition", per_sample, protocol, aggregate=lengths, lower_is_better=worse)


def lengths(columns: Columns, protocol: Mapping[str, Any]) -> dict[str, Statistic]:
    """Means over reports, and the ratio of summed lengths."""
    means = {name: mean_of(columns[name]) for name in ("words", "reference_words", "repeated_4grams", "repeated_sentences", "empty")}
    return {**means, "length_ratio": ratio_of(columns["words"], columns["reference_words"])}


def _sentences(text: str) -> list[str]:
    sentences = (" ".join(re.findall(r"\w+", part)) for part in re.split(r"[.!?](?:\s|$)|\n", text.lower()))
    return [sentence for sentence in sentences if sentence]


def _repeated(items: Sequence[object]) -> float:
    return 1 - len(set(items)) / len(items) if items else math.nan
