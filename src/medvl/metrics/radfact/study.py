"""RadFact of one study: each phrase with its verdict and evidence, and what the two directions count.

With n phrases of one report, e of them entailed, b with boxes, eb entailed with boxes, s entailed with boxes that are entailed as well:

    logical = e / n        spatial = s / b        grounding = s / eb

NaN where the denominator is 0. Example: the candidate says "Left effusion." with the box (0, 0.5, 0.4, 1) and "A mass."; the reference says
"Left effusion." with (0, 0.5, 0.5, 1) and "Heart normal.". One phrase of two is entailed each way: logical precision and recall 1/2. Of the
candidate's box all lies in the evidence's, of the reference's box four fifths: spatial and grounding precision and recall 1. Precision
counts the candidate's phrases, recall the reference's. The boxes of an entailed phrase are entailed when more than half (strictly) of their
union's area lies in the union of the boxes of all its evidence; so a "recall" of boxes is the precision of the reference's boxes in the
candidate's, as in the official code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from medvl.geometry import raster_overlap, union_overlap
from medvl.judges.judge import Status
from medvl.records import Box, Phrase

SpatialStatus = Literal["no_boxes", "spatial_entailment", "no_spatial_entailment"]
BoxArithmetic = Literal["analytic", "raster-224"]

TOLERANCE = 1e-9  # exactly half must not be more than half for the rounding of areas


@dataclass(frozen=True, slots=True)
class JudgedPhrase:
    """A phrase, what the judge said of it, and whether its boxes agree with those of its evidence.

    Attributes:
        evidence_indices: positions in the other report.
        box_precision: the share of its boxes that lies in the evidence's boxes; ``None`` where nothing was compared.
        failure: why the judge gave no usable answer; ``None`` where it did.
        dropped_evidence: evidence that is nowhere in the other report.
        rewritten: whether the judge repeated the phrase in other words.
        explanation: the judge's own.
    """

    text: str
    boxes: tuple[Box, ...] | None
    status: Status
    spatial_entailment_status: SpatialStatus
    evidence: tuple[Phrase, ...] = ()
    evidence_indices: tuple[int, ...] = ()
    box_precision: float | None = None
    failure: str | None = None
    dropped_evidence: tuple[str, ...] = ()
    rewritten: bool = False
    explanation: str = ""

    @property
    def entailed(self) -> bool:
        """Whether the phrase follows from the other report."""
        return self.status == "entailment"


@dataclass(frozen=True, slots=True)
class Direction:
    """What one report's phrases count: all, entailed, with boxes, entailed with boxes, and those whose boxes are entailed as well."""

    phrases: int
    entailed: int
    boxed: int
    entailed_boxed: int
    spatial: int

    @classmethod
    def of(cls, phrases: Sequence[JudgedPhrase]) -> Direction:
        """The counts of judged phrases."""
        boxed = [phrase for phrase in phrases if phrase.boxes is not None]
        return cls(
            len(phrases),
            sum(phrase.entailed for phrase in phrases),
            len(boxed),
            sum(phrase.entailed for phrase in boxed),
            sum(phrase.spatial_entailment_status == "spatial_entailment" for phrase in boxed),
        )


@dataclass(frozen=True, slots=True)
class StudyScores:
    """The ten official numbers of one study; NaN where undefined."""

    logical_precision: float
    logical_recall: float
    spatial_precision: float
    spatial_recall: float
    grounding_precision: float
    grounding_recall: float
    num_candidate_phrases: int
    num_reference_phrases: int
    num_candidate_phrases_with_boxes: int
    num_reference_phrases_with_boxes: int

    @classmethod
    def of(cls, candidate: Direction, reference: Direction) -> StudyScores:
        """The scores of the two directions' counts."""
        return cls(
            logical_precision=_ratio(candidate.entailed, candidate.phrases),
            logical_recall=_ratio(reference.entailed, reference.phrases),
            spatial_precision=_ratio(candidate.spatial, candidate.boxed),
            spatial_recall=_ratio(reference.spatial, reference.boxed),
            grounding_precision=_ratio(candidate.spatial, candidate.entailed_boxed),
            grounding_recall=_ratio(reference.spatial, reference.entailed_boxed),
            num_candidate_phrases=candidate.phrases,
            num_reference_phrases=reference.phrases,
            num_candidate_phrases_with_boxes=candidate.boxed,
            num_reference_phrases_with_boxes=reference.boxed,
        )


@dataclass(frozen=True, slots=True)
class StudyResult:
    """A study's judged phrases and scores; ``scores`` is ``None`` where it could not be scored, and ``invalid`` says why."""

    study_id: str
    scores: StudyScores | None
    candidate_phrases: tuple[JudgedPhrase, ...] = ()
    reference_phrases: tuple[JudgedPhrase, ...] = ()
    invalid: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values in the official per-sample form with our further fields; undefined is null."""
        scores = self.scores and {name: _or_none(getattr(self.scores, name)) for name in StudyScores.__slots__}
        return {
            "study_id": self.study_id,
            "scores": scores,
            "invalid": self.invalid,
            "candidate_phrases": [_plain(phrase) for phrase in self.candidate_phrases],
            "reference_phrases": [_plain(phrase) for phrase in self.reference_phrases],
        }


def box_precision(boxes: Sequence[Box], evidence: Sequence[Phrase], arithmetic: BoxArithmetic) -> float | None:
    """The share of ``boxes`` inside the evidence's boxes; ``None`` if the evidence has none, NaN if ``boxes`` have no area."""
    evidence_boxes = [box for phrase in evidence for box in phrase.boxes or ()]
    if not evidence_boxes:
        return None
    overlap = union_overlap(boxes, evidence_boxes) if arithmetic == "analytic" else raster_overlap(boxes, evidence_boxes)
    return overlap.precision


def exceeds(precision: float | None, threshold: float) -> bool:
    """Whether a box precision is above the threshold, strictly; an undefined one is not."""
    return precision is not None and precision > threshold + TOLERANCE


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _plain(phrase: JudgedPhrase) -> dict[str, Any]:
    return {
        "text": phrase.text,
        "boxes": _plain_boxes(phrase.boxes),
        "status": phrase.status,
        "spatial_entailment_status": phrase.spatial_entailment_status,
        "evidence": [{"text": item.text, "boxes": _plain_boxes(item.boxes)} for item in phrase.evidence],
        "evidence_indices": list(phrase.evidence_indices),
        "box_precision": None if phrase.box_precision is None else _or_none(phrase.box_precision),
        "failure": phrase.failure,
        "dropped_evidence": list(phrase.dropped_evidence),
        "rewritten": phrase.rewritten,
        "explanation": phrase.explanation,
    }


def _plain_boxes(boxes: tuple[Box, ...] | None) -> list[dict[str, float]] | None:
    return None if boxes is None else [dict(zip(Box.__slots__, box.xyxy, strict=True)) for box in boxes]
