"""Boxes of phrases: how well predicted boxes agree with those that readers drew for the same phrases.

For a phrase whose boxes are known, the union P of the predicted boxes and the union R of a reader's:

    IoU = |P ∩ R| / |P ∪ R|     precision = |P ∩ R| / |P|     recall = |P ∩ R| / |R|     IoU@t = [IoU ≥ t]

the "pixel" precision and recall of box completion (MAIRA-2, Bannur et al. 2024), on exact areas; ``raster-224`` gives them in pixels as
RadFact's code does. A phrase is compared with each reader alone (``reader_1/iou``), with all readers' boxes together (``union/iou``),
and, where two or more drew, with each of them on average (``readers/iou``) beside what the readers reach among themselves
(``ceiling/iou``, the mean over pairs of readers): the last two are over the same phrases and may be compared.

A groundable phrase without any prediction has IoU and recall 0 and no precision. A phrase that nobody grounded enters ``suppressed`` alone:
1 if no box was predicted for it. ``found`` is 1 for a groundable phrase with any prediction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain, combinations
from typing import Literal

from medvl.geometry import Overlap, raster_overlap, union_overlap
from medvl.metrics.scores import Scores, paired, scores
from medvl.records import Box, Phrase

VERSION = 1
THRESHOLDS = (0.1, 0.3, 0.5)


def box_agreement(
    predictions: Sequence[Sequence[Box] | None],
    references: Sequence[Phrase],
    *,
    boxes: Literal["analytic", "raster-224"] = "analytic",
    thresholds: Sequence[float] = THRESHOLDS,
) -> Scores:
    """Agreement of N phrases' predicted boxes with their readers'.

    Example: predicted (0, 0, 0.5, 1), reader 1 (0, 0, 0.25, 1), reader 2 (0.25, 0, 0.5, 1): IoU 1/2 with each, 1 with their union,
    ceiling 0.

    Args:
        predictions: boxes per phrase, ``None`` or empty for none; in the frame of the references.
        references: the phrases with the readers' boxes; where no reader is named, ``boxes`` count as the union.
        boxes: exact areas, or pixels of RadFact's raster.
        thresholds: of IoU@t.

    Returns:
        Scores whose corpus values are means over the phrases where the value is defined.

    Raises:
        ValueError: if the lengths differ, or there is no phrase.
    """
    paired("box_agreement", predictions, references)
    overlap = union_overlap if boxes == "analytic" else raster_overlap
    rows = []
    for predicted, phrase in zip(predictions, references, strict=True):
        row = {"found" if _union(phrase) else "suppressed": float(bool(predicted) == bool(_union(phrase)))}
        readers = {name: overlap(predicted or (), drawn) for name, drawn in phrase.boxes_by_reader.items() if drawn}
        if _union(phrase):
            row |= _measures("union", overlap(predicted or (), _union(phrase)), thresholds)
        for name, agreement in readers.items():
            row |= _measures(name, agreement, thresholds)
        if len(readers) > 1:
            row["readers/iou"] = sum(agreement.iou for agreement in readers.values()) / len(readers)
            row["ceiling/iou"] = inter_reader_iou(phrase, boxes=boxes)
        rows.append(row)
    names = dict.fromkeys(chain(("found", "suppressed"), *rows))
    columns = {name: [row.get(name, math.nan) for row in rows] for name in names}
    return scores("box_agreement", columns, {"version": VERSION, "boxes": boxes, "thresholds": tuple(thresholds)})


def inter_reader_iou(phrase: Phrase, *, boxes: Literal["analytic", "raster-224"] = "analytic") -> float:
    """The mean IoU of all pairs of readers of a phrase; NaN with fewer than two."""
    overlap = union_overlap if boxes == "analytic" else raster_overlap
    pairs = list(combinations([drawn for drawn in phrase.boxes_by_reader.values() if drawn], 2))
    return sum(overlap(*pair).iou for pair in pairs) / len(pairs) if pairs else math.nan


def _union(phrase: Phrase) -> tuple[Box, ...]:
    return tuple(chain.from_iterable(phrase.boxes_by_reader.values())) or phrase.boxes or ()


def _measures(name: str, agreement: Overlap, thresholds: Sequence[float]) -> Mapping[str, float]:
    reached = {f"{name}/iou@{threshold:g}": float(agreement.iou >= threshold) for threshold in thresholds}
    return {f"{name}/iou": agreement.iou, f"{name}/precision": agreement.precision, f"{name}/recall": agreement.recall, **reached}
