"""Words of a sentence and the longest known terms among them.

A tree over folded words: case, accents, articles, hyphens and plurals (Spanish: gender as well) are folded on both sides, so that a term
listed once is found in all its forms. Matching is greedy, longest first, from left to right: O(words × longest term).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

Language = Literal["en", "es"]

WORD = re.compile(r"\d+(?:[.,]\d+)?|[^\W\d_]+(?:['’][^\W\d_]+)*|[^\w\s-]")
ARTICLES = {"en": frozenset(("the", "a", "an")), "es": frozenset(("el", "la", "los", "las", "un", "una", "unos", "unas"))}
SHORTEST_FOLDED = 4  # letters that must remain of a Spanish word when its last vowel goes: masa and más stay apart


@dataclass(frozen=True, slots=True)
class Word:
    """One word or mark of punctuation: its folded form and its characters [start, end) in the text."""

    folded: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Match:
    """Words [start, end) of a sentence that are a term, and what the term can mean: kind → value."""

    start: int
    end: int
    meanings: dict[str, str]


def words(text: str, language: Language, *, offset: int = 0) -> list[Word]:
    """The words of a text in order; positions are counted from ``offset``."""
    return [Word(fold(m[0], language), offset + m.start(), offset + m.end()) for m in WORD.finditer(text)]


@lru_cache(maxsize=65536)
def fold(word: str, language: Language) -> str:
    """A word without case, accents, plural and (Spanish) gender; not a dictionary form, only the same for all forms."""
    plain = "".join(c for c in unicodedata.normalize("NFD", word.lower()) if not unicodedata.combining(c)).replace("’", "'")
    return _fold_spanish(plain) if language == "es" else _fold_english(plain)


def _fold_english(word: str) -> str:
    word = word.removesuffix("'s")
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1]


def _fold_spanish(word: str) -> str:
    if len(word) > 3 and word[-1] == "s" and word[-2] in "aeio":
        word = word[:-1]
    return word[:-1] if len(word) > SHORTEST_FOLDED and word[-1] in "aeo" else word


def alternatives(pattern: str) -> Iterator[str]:
    """The terms of a pattern: ``(left|right|) lung`` → ``left lung``, ``right lung``, ``lung``."""
    opening = pattern.find("(")
    if opening < 0:
        yield " ".join(pattern.split())
        return
    closing = pattern.index(")", opening)
    for choice in pattern[opening + 1 : closing].split("|"):
        yield from alternatives(pattern[:opening] + choice + pattern[closing + 1 :])


class TermTree:
    """All terms of one language and what they mean; the first meaning of a kind stays."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._articles = ARTICLES[language]
        self._root: dict[str, Any] = {}

    def add(self, patterns: Iterable[str], kind: str, value: str) -> None:
        """Every term of the patterns means ``value`` as a ``kind``."""
        for pattern in patterns:
            for term in alternatives(pattern):
                node = self._root
                for word in words(term, self.language):
                    node = node.setdefault(word.folded, {})
                node.setdefault("", {}).setdefault(kind, value)

    def matches(self, sentence: list[Word]) -> list[Match]:
        """The longest terms from left to right; none overlap. Articles inside a term may be there or not."""
        found = []
        position = 0
        while position < len(sentence):
            match = self._longest(sentence, position)
            if match is not None:
                found.append(match)
            position = match.end if match else position + 1
        return found

    def _longest(self, sentence: list[Word], start: int) -> Match | None:
        node, best, position = self._root, None, start
        while position < len(sentence):
            folded = sentence[position].folded
            deeper = node.get(folded)
            if deeper is not None:
                node = deeper
                if "" in node:
                    best = Match(start, position + 1, node[""])
            elif position == start or folded not in self._articles:
                break
            position += 1
        return best
