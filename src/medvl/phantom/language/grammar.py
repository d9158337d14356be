"""The small grammar of the phrase banks: fills slots, chooses number and gender, takes the marks out.

Notation in ``bank.py``. English needs ``a``/``an`` and number; Spanish needs gender and number of adjectives and the contractions
``al`` and ``del``. Both languages of a template are filled from the same draws, so that they stay parallel sentence by sentence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

Gender = Literal["m", "f", "mp", "fp"]
Forms = str | Mapping[str, str]

SLOT = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
CHOICE = re.compile(r"\[([^|\]]*)\|([^\]]*)\]")
MARK = re.compile(r"[<>~]")
ENTITY = re.compile(r"<([^>]*)>")
CUE = re.compile(r"~([^~]*)~")

GENDERS: tuple[Gender, ...] = ("m", "f", "mp", "fp")
SMALL_WORDS: dict[str, dict[str, str]] = {
    "o": {"m": "o", "f": "a", "mp": "os", "fp": "as"},
    "el": {"m": "el", "f": "la", "mp": "los", "fp": "las"},
    "un": {"m": "un", "f": "una", "mp": "unos", "fp": "unas"},
}
SIDES: dict[str, dict[str, str]] = {
    "left": {"m": "izquierdo", "f": "izquierda", "mp": "izquierdos", "fp": "izquierdas"},
    "right": {"m": "derecho", "f": "derecha", "mp": "derechos", "fp": "derechas"},
    "bilateral": {"m": "bilateral", "f": "bilateral", "mp": "bilaterales", "fp": "bilaterales"},
}


def slots(template: str) -> frozenset[str]:
    """The names of a template's slots."""
    return frozenset(name for name, _ in SLOT.findall(template))


def fill(template: str, values: Mapping[str, Forms], *, plural: bool, gender: Gender = "m") -> str:
    """The phrase, marks still in place; a slot without a value vanishes, one with several forms agrees with ``gender``."""

    def word(match: re.Match[str]) -> str:
        forms = SMALL_WORDS.get(match[1]) or values.get(match[1], "")
        return forms if isinstance(forms, str) else forms[match[2] or gender]

    return SLOT.sub(word, CHOICE.sub(lambda m: m[2] if plural else m[1], template))


def agreeing(masculine: str, feminine: str) -> dict[str, str]:
    """The four forms of a Spanish adjective; a phrase with *de* has one form only."""
    return {"m": masculine, "f": feminine, "mp": _plural(masculine), "fp": _plural(feminine)}


def _plural(word: str) -> str:
    if not word or word.startswith("de "):
        return word
    return word + ("s" if word[-1] in "aeo" else "es")


def finish(text: str, language: str) -> str:
    """A clean sentence: marks out, spaces single, articles right, first letter large."""
    text = re.sub(r"\s+", " ", MARK.sub("", text)).strip()
    text = re.sub(r"[\s,]*\s+([,.])", r"\1", text)
    if language == "en":
        text = re.sub(r"\b([Aa]) (?=[aeiou]|ET|NG)", r"\1n ", text)
    else:
        text = re.sub(r"\b([Aa]|[Dd]e) el\b", lambda m: m[1] + "l", text)
        text = re.sub(r"\by (?=h?i[^e])", "e ", text)
    return re.sub(r"(?:^|(?<=[.?] ))[a-zñáéíóú]", lambda m: m[0].upper(), text)


def entity(text: str) -> tuple[str, ...]:
    """The marked entities of an English phrase in their order, lower case."""
    return tuple(" ".join(e.split()).lower() for e in ENTITY.findall(text))


def cue(text: str) -> str | None:
    """The marked word for the change, lower case."""
    found = CUE.search(text)
    return found[1].lower() if found else None
