"""What a model reads of a report: chosen sections as one line, and their sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

# A full stop, question or exclamation mark ends a sentence where white space and a capital, digit or underscore follow,
# but not after a list number ("1.") or a title ("Dr.").
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\bDr\.)(?<!\bDrs\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\b\d\.)\s+(?=[A-ZÁÉÍÓÚÑ0-9_])")
_LIST_NUMBER = re.compile(r"^\d+\.\s+")


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())


def join_sections(sections: Mapping[str, str], names: Sequence[str]) -> str | None:
    """The named sections in that order as one line; ``None`` if none of them says anything."""
    return " ".join(line for name in names if (line := one_line(sections.get(name, "")))) or None


def split_sentences(text: str) -> list[str]:
    """The sentences of a text; list numbers are left out, and so is what has no letter."""
    return list(_with_letters(_LIST_NUMBER.sub("", part) for part in _SENTENCE_END.split(one_line(text))))


def shuffled_sentences(text: str, draw: np.random.Generator) -> str:
    """The sentences of a text in a drawn order."""
    sentences = split_sentences(text)
    return " ".join(sentences[i] for i in draw.permutation(len(sentences)))


def _with_letters(parts: Iterable[str]) -> Iterable[str]:
    return (part for part in parts if any(character.isalpha() for character in part))
