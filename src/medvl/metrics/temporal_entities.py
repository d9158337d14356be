"""Temporal entity matching (TEM, temporal F1): do prediction and reference use the same words of change?

Bannur et al. (BioViL-T, CVPR 2023): the set of temporal words of each report, from a list of 44, compared by F1 and averaged over
reports. The variants differ in what counts as a word and in reports without any; their numbers must not be compared with each other:

    libra   the released code of Libra (also RadEval's, where entities of a tagger join in): whole words by regular expression; both sets
            empty scores 1, only the reference's empty 1e-10, and 1e-10 stands in every numerator and denominator. Reports without change
            dominate: a model that never speaks of change scores the share of such references.
    strict  ours: reports where neither side has a temporal word are left out (NaN); no constants.

The paper's own words come from a tagger (Stanza's radiology model; observations and their modifiers), which ``tagger`` may be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from medvl.metrics.bootstrap import Statistic, mean_of
from medvl.metrics.scores import Columns, Scores, f1_of, function_name, paired, scores

_WORDS = """
    bigger change cleared constant decrease decreased decreasing elevated elevation enlarged enlargement enlarging expanded greater growing
    improved improvement improving increase increased increasing larger new persistence persistent persisting progression progressive
    reduced removal resolution resolved resolving smaller stability stable stably unchanged unfolded worse worsen worsened worsening
    unaltered
"""
KEYWORDS = frozenset(_WORDS.split())
EPSILON = 1e-10
_KEYWORD = re.compile(rf"\b(?:{'|'.join(sorted(KEYWORDS))})\b")

Tagger = Callable[[str], set[str]]


def temporal_entities(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    variant: Literal["libra", "strict"] = "libra",
    tagger: Tagger | None = None,
    with_words: bool = True,
) -> Scores:
    """F1 of the temporal words of predictions against those of the references.

    Example: "The effusion has worsened and is larger." against "Worsened effusion.": one word shared of two said and one wanted:
    F1 = 2 · 1 / (2 + 1) = 2/3.

    Args:
        predictions, references: N reports each, English.
        variant: see above.
        tagger: a report's entities in lower case; those that are keywords count.
        with_words: whether keywords found in the text count as well; without them and with a tagger it is the paper's definition.

    Returns:
        ``temporal_f1`` per report and its mean, ``temporal_f1_micro`` of summed counts (ours).

    Raises:
        ValueError: if the lists differ in length or are empty, or no source of words is left.
    """
    paired("temporal_entities", predictions, references)
    if tagger is None and not with_words:
        raise ValueError("temporal_entities needs a tagger, the words of the text, or both")

    def words_of(text: str) -> set[str]:
        tagged = {entity for entity in tagger(text) if entity in KEYWORDS} if tagger else set()
        return tagged | keywords(text, variant=variant) if with_words else tagged

    said, wanted = [words_of(text) for text in predictions], [words_of(text) for text in references]
    f1 = _libra_f1 if variant == "libra" else _strict_f1
    counts = {
        "shared": [len(p & r) for p, r in zip(said, wanted, strict=True)],
        "only_predicted": [len(p - r) for p, r in zip(said, wanted, strict=True)],
        "only_referenced": [len(r - p) for p, r in zip(said, wanted, strict=True)],
    }
    protocol = {"version": 1, "variant": variant, "words": with_words, "tagger": function_name(tagger) if tagger else None}
    values = [f1(p, r) for p, r in zip(said, wanted, strict=True)]
    return scores("temporal_entities", {"temporal_f1": values}, protocol, counts=counts, aggregate=corpus_temporal_f1)


def corpus_temporal_f1(columns: Columns, protocol: Mapping[str, Any]) -> dict[str, Statistic]:
    """The mean over reports, and F1 of the counts summed over reports (NaN without any temporal word)."""
    micro = f1_of(columns["shared"], columns["only_predicted"], columns["only_referenced"], empty=math.nan)
    return {"temporal_f1": mean_of(columns["temporal_f1"]), "temporal_f1_micro": micro}


def keywords(text: str, *, variant: Literal["libra", "strict"] = "libra") -> set[str]:
    """The temporal words of a text.

    ``libra`` deletes other marks than ``. , : ; ( )`` before it looks, so that "new/larger" has none; ``strict`` reads both.
    """
    apart = re.sub(r"[_-]+", " ", text.lower())
    return set(_KEYWORD.findall(re.sub(r"[^\w\s.,:;()]", "", apart) if variant == "libra" else apart))


def _libra_f1(said: set[str], wanted: set[str]) -> float:
    if not wanted:
        return EPSILON if said else 1.0
    shared = len(said & wanted) + EPSILON
    precision, recall = shared / (len(said) + EPSILON), shared / (len(wanted) + EPSILON)
    return 2 * precision * recall / (precision + recall + EPSILON)


def _strict_f1(said: set[str], wanted: set[str]) -> float:
    return 2 * len(said & wanted) / (len(said) + len(wanted)) if said or wanted else math.nan
