"""Grounded text as MAIRA-2 writes it → phrases with boxes (Bannur et al. 2024; the conversion of its Hugging Face processor).

    <obj>phrase<box><x10><y20><x30><y40></box><box>…</box></obj><obj>phrase without boxes</obj>

Coordinates are bins of one hundredth; a bin stands for its centre, (bin + 0.5) / 100. Boxes lie in the model's image, the central square of
the original, and are mapped to the original where its size is known, edges truncated to whole pixels as the processor does. Text without
any of the four delimiters is a plain report.

Departures: outer space goes from every phrase, officially from the end of grounded ones only; a box whose edges are in the wrong order is
malformed here (the processor's own boxes may be inside out); and beside the strict reading, which fails on the first fault, there is a
lenient one for generations that were cut off: it keeps every complete phrase, and counts what it left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from medvl.geometry import Frame, Size
from medvl.records import Box, Phrase

BINS = 100
DELIMITERS = ("<obj>", "</obj>", "<box>", "</box>")
OBJECT = re.compile(r"<obj>((?:(?!</?obj>).)*)</obj>", re.S)
BOX = re.compile(r"<box><x(\d{1,2})><y(\d{1,2})><x(\d{1,2})><y(\d{1,2})></box>")


@dataclass(frozen=True, slots=True)
class GroundedText:
    """What a generation says.

    Attributes:
        report: phrases, or the text as it is where nothing is grounded.
        malformed: complete phrases whose boxes could not be read; they are kept without boxes.
        truncated: whether something stands outside complete phrases, as in a generation that was cut off; it is left out.
    """

    report: str | tuple[Phrase, ...]
    malformed: int = 0
    truncated: bool = False


def is_grounded(text: str) -> bool:
    """Whether any of the delimiters occurs."""
    return any(delimiter in text for delimiter in DELIMITERS)


def parse(text: str, *, original: Size | None = None, strict: bool = False) -> GroundedText:
    """Read a decoded generation.

    Args:
        text: as decoded, without the prompt.
        original: (height, width) of the original image, to which boxes are then mapped; ``None`` leaves them in the model's image.
        strict: fail on the first fault, instead of counting it.

    Raises:
        ValueError: when strict, saying what is wrong where.
    """
    if not is_grounded(text):
        return GroundedText(text.strip())
    outside = OBJECT.sub("", text).strip()
    if strict and outside:
        raise ValueError(f"text stands outside complete <obj>…</obj> phrases ({len(outside)} characters)")
    phrases, malformed = [], 0
    for number, match in enumerate(OBJECT.finditer(text)):
        phrase, well_formed = _phrase(match.group(1), original)
        if strict and not well_formed:
            raise ValueError(f"phrase {number} has a box that is not <x…><y…><x…><y…> with rising edges")
        malformed += not well_formed
        phrases.append(phrase)
    return GroundedText(tuple(phrases), malformed, bool(outside))


def to_original(box: Box, size: Size) -> Box:
    """A box in the model's image, the central square of the original → in the original, edges truncated to whole pixels.

    Args:
        box: normalised to the square.
        size: (height, width) of the original in pixels.
    """
    side = min(size)
    frame = Frame.identity(size).center_cropped((side, side))
    corners = frame.points_to_source(np.array([box.xyxy[:2], box.xyxy[2:]]) * side).astype(int)
    (x_min, y_min), (x_max, y_max) = (corners / (size[1], size[0])).tolist()
    return Box(x_min, y_min, x_max, y_max)


def _phrase(content: str, original: Size | None) -> tuple[Phrase, bool]:
    """The phrase, and whether all of its boxes could be read; if not it has none."""
    text, opened, rest = content.partition("<box>")
    bins = BOX.findall(opened + rest)
    well_formed = not BOX.sub("", opened + rest).strip() and "</box>" not in text
    try:
        boxes = tuple(Box(*((int(value) + 0.5) / BINS for value in values)) for values in bins)
    except ValueError:
        well_formed = False
    if not well_formed:
        return Phrase(text.replace("</box>", "").strip()), False
    return Phrase(text.strip(), boxes=tuple(to_original(box, original) if original else box for box in boxes) or None), True
