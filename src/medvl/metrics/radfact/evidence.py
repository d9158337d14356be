"""Evidence: which phrases of the other report a judge's evidence strings stand for.

A judge answers in strings; boxes hang on phrases. A string stands for a phrase when both are equal after normalisation. RadFact's
normalisation, in its order: lower case, outer space stripped, runs of space made one, every hyphen and dash deleted, one final ``.``,
``:``, ``!`` or ``?`` deleted. Its rule that should delete the space before punctuation never fires ("effusion ." becomes "effusion ",
which is not "effusion"), and of several equal phrases it always takes the first.

Ours, in the default mode: that space goes as well, with any run of final punctuation, and a string stands for every equal phrase.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

SPACE = re.compile(r"\s+")
DASHES = re.compile("[-–—]")
FINAL = re.compile(r"[.:!?]$")
SPACE_BEFORE_PUNCTUATION = re.compile(r"\s+(?=[.:!?,;])")

Normalise = Callable[[str], str]


def normalise_as_radfact(text: str) -> str:
    """RadFact's normalisation with its quirks. Example: ``"Right-sided effusion ."`` → ``"rightsided effusion "``."""
    return FINAL.sub("", DASHES.sub("", SPACE.sub(" ", text.lower().strip())))


def normalise(text: str) -> str:
    """What RadFact's normalisation means to do. Example: ``"Right-sided effusion ."`` → ``"rightsided effusion"``."""
    without_dashes = SPACE.sub(" ", DASHES.sub("", text.lower()))
    return SPACE_BEFORE_PUNCTUATION.sub("", without_dashes).rstrip(" .:!?").strip()


def positions(evidence: Sequence[str], phrases: Sequence[str], normalised: Normalise) -> list[list[int]]:
    """For each evidence string the positions of the phrases that it equals after normalisation, in order; none for an invented one."""
    known = [normalised(phrase) for phrase in phrases]
    return [[number for number, phrase in enumerate(known) if phrase == wanted] for wanted in map(normalised, evidence)]
