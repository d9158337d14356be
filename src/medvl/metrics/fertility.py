"""Fertility of a vocabulary: into how many word pieces it splits a report, beside the number of its words.

The table of the CXR-BERT model card: average pieces per report, and by how many percent that exceeds the word count. Its three vocabularies
agree on 57.2 words a report, few enough above the pieces that punctuation must count as words: here a word is what BERT's pre-tokenizer
makes of the lower-cased text, punctuation marks apart. [CLS] and [SEP] do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tokenizers import normalizers, pre_tokenizers

PUBLISHED = {  # CXR-BERT model card, on MIMIC-CXR: vocabulary size, pieces per report, percent above the word count
    "ClinicalBERT": (28996, 78.98, 38.15),
    "PubMedBERT": (28895, 63.55, 11.16),
    "CXR-BERT": (30522, 58.07, 1.59),
}


@dataclass(frozen=True, slots=True)
class Fertility:
    """Averages over reports.

    Attributes:
        reports: how many.
        pieces, words: per report.
    """

    reports: int
    pieces: float
    words: float

    @property
    def above_words(self) -> float:
        """Percent by which pieces exceed words."""
        return 100 * (self.pieces / self.words - 1)


def fertility(texts: Iterable[str], tokenize: Callable[[str], int]) -> Fertility:
    """Count pieces and words of reports; those without a word are left out.

    Args:
        texts: one report each.
        tokenize: text → its number of pieces, without those that are put around it.

    Raises:
        ValueError: if no text has a word.
    """
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    reports = pieces = words = 0
    for text in texts:
        if counted := len(splitter.pre_tokenize_str(normalizer.normalize_str(text))):
            reports, pieces, words = reports + 1, pieces + tokenize(text), words + counted
    if not reports:
        raise ValueError("no text has a word to count")
    return Fertility(reports, pieces / reports, words / reports)
