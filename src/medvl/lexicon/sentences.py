"""Sentences of a report: where one ends, and which section it stands in.

A full stop ends a sentence unless it stands in a decimal, after an abbreviation, after a list number, or after a unit of length with a
small letter to follow (*2 cm. above the carina*); texts in lower case throughout are split alike. ``?``, ``!``, a blank line, a new item
of a numbered or dashed list, and a section header end one as well. Lines wrapped at a fixed width go on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from medvl.lexicon.concepts import Cues, load_cues
from medvl.lexicon.terms import Language

BREAK = re.compile(
    r"(?P<stop>[.!?]+)(?=[\s\"')\]]|$)|(?P<blank>\n[ \t]*\n)"
    r"|(?P<item>\n[ \t]*(?:\d{1,2}[.)]|[-•*])[ \t]+)|(?P<dense>[.!?](?=[A-ZÁÉÍÓÚÑ][a-záéíóúñ]))"
)
LIST_NUMBER = re.compile(r"(?:^|\n)[ \t]*(?:\d{1,2}[.)]|[-•*])[ \t]+")
UNITS = ("cm", "mm")
LAST_WORD = re.compile(r"([^\W_]+(?:\.[^\W_]+)*)$")


@dataclass(frozen=True, slots=True)
class Sentence:
    """Characters [start, end) of the text; ``section`` is hist, find, impr, none (technique, comparison, …) or ``None`` without headers."""

    text: str
    start: int
    end: int
    section: str | None = None


def split_sentences(text: str, language: Language = "en") -> list[Sentence]:
    """The sentences of a report in order; list numbers and section headers belong to none.

    Args:
        text: a whole report, a section or a sentence.
        language: whose abbreviations and headers count.
    """
    cues = load_cues(language)
    sentences = []
    for section, start, end in _sections(text, language):
        position = start
        for stop in [*_stops(text, start, end, cues), end]:
            sentence = _trimmed(text, position, stop, section)
            if sentence is not None:
                sentences.append(sentence)
            position = stop
    return sentences


def _sections(text: str, language: Language) -> list[tuple[str | None, int, int]]:
    """(section, start, end) of each stretch of text between headers."""
    headers = [(_header_section(m[1], language), m.start(), m.end()) for m in _header_pattern(language).finditer(text)]
    starts: list[tuple[str | None, int]] = [(None, 0), *((section, end) for section, _, end in headers)]
    ends = [*(begin for _, begin, _ in headers), len(text)]
    return [(section, start, end) for (section, start), end in zip(starts, ends, strict=True)]


def _header_section(header: str, language: Language) -> str:
    return load_cues(language).headers[" ".join(header.lower().split())]


@cache
def _header_pattern(language: Language) -> re.Pattern[str]:
    names = sorted(load_cues(language).headers, key=len, reverse=True)
    spelled = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in names)
    return re.compile(rf"(?:^|(?<=[\n.]))[ \t]*({spelled})[ \t]*:", re.IGNORECASE)


def _stops(text: str, start: int, end: int, cues: Cues) -> list[int]:
    stops = []
    for match in BREAK.finditer(text, start, end):
        if match["stop"] and not _ends_sentence(text, match, end, cues):
            continue
        stops.append(match.start() if match["item"] else match.end())
    return stops


def _ends_sentence(text: str, match: re.Match[str], end: int, cues: Cues) -> bool:
    if match["stop"] != ".":
        return True
    line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
    if line.strip().isdigit():  # the number of a list
        return False
    after = text[match.end() : end].lstrip()
    last = LAST_WORD.search(text[max(0, match.start() - 30) : match.start()])
    word = last[1].lower() if last else ""
    if word in UNITS and after[:1].islower():
        return False
    return not (word in cues.abbreviations and after)


def _trimmed(text: str, start: int, end: int, section: str | None) -> Sentence | None:
    number = LIST_NUMBER.match(text, start, end)
    if number:
        start = number.end()
    while start < end and text[start] in " \t\n\r_":
        start += 1
    while end > start and text[end - 1] in " \t\n\r_":
        end -= 1
    if not any(c.isalnum() for c in text[start:end]):
        return None
    return Sentence(text[start:end], start, end, section)
