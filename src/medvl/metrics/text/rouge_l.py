"""ROUGE-L (Lin 2004): F-measure of the longest common subsequence of words, per report, then averaged.

    F_β = (1 + β²) · P · R / (R + β² · P),   P = LCS / |prediction|,   R = LCS / |reference|

Two implementations by name. ``coco`` is ``pycocoevalcap``: β = 1.2, which favours recall, words as the tokeniser gives them; two empty
reports score 1, as there. ``rouge_score`` is Google's package (RadEval, Hugging Face ``evaluate``): β = 1, lower case, runs of letters and
digits, with the Porter stem of words longer than three letters where ``stemmer`` says so; its tokeniser is its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from medvl.metrics.scores import Scores, paired, scores
from medvl.metrics.text.porter import stem
from medvl.metrics.text.tokenizers import Tokenizer, tokenize, tokenizer_name
from medvl.runtime.errors import UserError

COCO_BETA = 1.2


def rouge_l(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    tokenizer: Tokenizer = "whitespace",
    implementation: Literal["coco", "rouge_score"] = "coco",
    stemmer: bool = False,
) -> Scores:
    """ROUGE-L of predictions against one reference each.

    Example: "no effusion seen today" against "no pleural effusion": the common subsequence is "no effusion", P = 2/4, R = 2/3;
    β = 1: 2 · 1/2 · 2/3 / (7/6) = 4/7; β = 1.2: 2.44 · 1/3 / (2/3 + 0.72) = 0.58654.

    Args:
        predictions, references: N reports each.
        tokenizer: for ``coco``; ``rouge_score`` has its own.
        implementation: see above.
        stemmer: for ``rouge_score``.

    Returns:
        ``rouge_l`` in [0, 1]; the corpus value is the mean.

    Raises:
        ValueError: if the lists differ in length or are empty.
        UserError: if a stemmer is asked of ``coco``.
    """
    paired("rouge_l", predictions, references)
    if implementation == "coco":
        if stemmer:
            raise UserError("rouge_l: only implementation=rouge_score has a stemmer")
        said, wanted, beta = tokenize(predictions, tokenizer), tokenize(references, tokenizer), COCO_BETA
        # An empty text is one empty word there: a pair of them agrees, and one alone finds nothing.
        said, wanted = [words or [""] for words in said], [words or [""] for words in wanted]
        protocol = {"version": 1, "implementation": implementation, "tokenizer": tokenizer_name(tokenizer), "beta": beta}
    else:
        said, wanted, beta = _rouge_words(predictions, stemmer), _rouge_words(references, stemmer), 1.0
        protocol = {"version": 1, "implementation": implementation, "tokenizer": implementation, "beta": beta, "stemmer": stemmer}
    return scores("rouge_l", {"rouge_l": [_f(p, r, beta) for p, r in zip(said, wanted, strict=True)]}, protocol)


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Its length, with one machine word per word of ``second`` and one addition per word of ``first`` (Hyyrö 2004).

    Example: "a b c d" and "b x d" share "b d": 2.
    """
    places: dict[str, int] = {}
    for i, word in enumerate(second):
        places[word] = places.get(word, 0) | 1 << i
    everything = (1 << len(second)) - 1
    rows = everything  # bit i is 0 where the table grows between columns i and i + 1
    for word in first:
        matched = rows & places.get(word, 0)
        rows = (rows + matched | rows - matched) & everything
    return len(second) - rows.bit_count()


def _f(prediction: list[str], reference: list[str], beta: float) -> float:
    common = longest_common_subsequence(prediction, reference)
    if not common:
        return 0.0
    precision, recall = common / len(prediction), common / len(reference)
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision)


def _rouge_words(texts: Sequence[str], stemmer: bool) -> list[list[str]]:
    words = [re.findall(r"[a-z0-9]+", text.lower()) for text in texts]
    return [[stem(word) if len(word) > 3 else word for word in report] for report in words] if stemmer else words
