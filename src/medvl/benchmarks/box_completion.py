"""Box completion: the boxes that a model draws for the reference's own phrases, against each reader's boxes (MAIRA-2's task of this name).

A predicted phrase belongs to the reference phrase of the same words (case and space aside); a reference phrase that the prediction does not
repeat, or repeats without boxes, counts as predicted without boxes. So prediction files need the reference's phrases; free reports are
judged by RadFact's grounding and spatial values instead. One row per phrase, aggregated per sample by the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medvl.benchmarks.report_metrics import CannotScore
from medvl.data.report_samples import ReportSample
from medvl.judges.judge import Judge
from medvl.metrics.box_agreement import THRESHOLDS, box_agreement
from medvl.metrics.scores import Scores, scores
from medvl.records import Box


@dataclass(frozen=True)
class BoxCompletion:
    """``box_agreement`` over the phrases of every sample.

    Attributes:
        boxes: exact areas, or pixels of RadFact's raster.
        thresholds: of IoU@t.
    """

    boxes: Literal["analytic", "raster-224"] = "analytic"
    thresholds: Sequence[float] = THRESHOLDS

    def __call__(self, samples: Sequence[ReportSample], judge: Judge | None) -> Scores:
        """Mean agreement per sample.

        Raises:
            CannotScore: if no reference has phrases.
        """
        owners, predicted, references = [], [], []
        for row, sample in enumerate(samples):
            drawn = _boxes_by_text(sample)
            for phrase in sample.reference if isinstance(sample.reference, tuple) else ():
                owners.append(row)
                predicted.append(drawn.get(_plain(phrase.text)))
                references.append(phrase)
        if not references:
            raise CannotScore("box_completion needs references that are phrases")
        by_phrase = box_agreement(predicted, references, boxes=self.boxes, thresholds=self.thresholds)
        columns = {name: _mean_by(np.asarray(owners), column, len(samples)) for name, column in by_phrase.per_sample.items()}
        return scores("box_completion", columns, by_phrase.protocol)


def _boxes_by_text(sample: ReportSample) -> dict[str, tuple[Box, ...] | None]:
    phrases = sample.prediction if isinstance(sample.prediction, tuple) else ()
    return {_plain(phrase.text): phrase.boxes for phrase in phrases}


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _mean_by(owners: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """(count,) the mean of each owner's defined values; NaN where there is none."""
    defined = ~np.isnan(values)
    number = np.bincount(owners[defined], minlength=count)
    total = np.bincount(owners[defined], weights=values[defined], minlength=count)
    return np.divide(total, number, out=np.full(count, np.nan), where=number > 0)
