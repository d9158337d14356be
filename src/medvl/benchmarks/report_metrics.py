"""Metrics as scoring reports applies them: to samples that hold a prediction beside its reference.

A metric is a function of texts (``OnTexts`` hands it the reports as text), asks a judge about phrases (``RadFact``), or has prompts of its
own for a judge that is a language model (``OnChat``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from medvl.data.report_samples import ReportSample, plain_text
from medvl.judges.judge import CannotChat, ChatJudge, Judge
from medvl.metrics.radfact.metric import RadFactMetric
from medvl.metrics.radfact.study import BoxArithmetic, StudyResult
from medvl.metrics.scores import Scores, function_name
from medvl.runtime.errors import UserError
from medvl.runtime.privacy import strictest


class CannotScore(UserError):
    """A metric needs what the samples or the call do not have."""


class ReportMetric(Protocol):
    """One metric over report samples that have both sides."""

    def __call__(self, samples: Sequence[ReportSample], judge: Judge | None) -> Scores:
        """Scores in the order of the samples."""


@dataclass(frozen=True)
class OnTexts:
    """A metric of two lists of texts; phrases are joined by a space.

    Attributes:
        metric: e.g. ``medvl.metrics.text.bleu`` with its options filled in.
    """

    metric: Callable[[Sequence[str], Sequence[str]], Scores]

    def __call__(self, samples: Sequence[ReportSample], judge: Judge | None) -> Scores:
        """The metric of the samples' texts; the judge is not asked."""
        return self.metric(*_texts(samples))


class OnChat:
    """A metric whose prompts the judge answers, a language model (GREEN- and CheXprompt-style counts of errors).

    Args:
        metric: e.g. ``medvl.metrics.green.green``; gets the reports as text, and ``chat``.

    Attributes:
        counters: reports whose reply could not be read, of the last call.
    """

    def __init__(self, metric: Callable[..., Scores]) -> None:
        self.metric = metric
        self.counters: dict[str, float] = {}

    def __call__(self, samples: Sequence[ReportSample], judge: Judge | None) -> Scores:
        """Ask about every pair of reports.

        Raises:
            CannotScore: without a judge.
            CannotChat: if the judge is no language model.
            PrivacyError: if the judge may not see the samples.
        """
        if judge is None:
            raise CannotScore(f"{function_name(self.metric)} asks a language model: give judge=endpoint or judge=local")
        if not isinstance(judge, ChatJudge):
            raise CannotChat(judge.name)
        judge.admit(**_terms(samples))
        found = self.metric(*_texts(samples), chat=judge.ask)
        unread = int(np.isnan(found.per_sample["significant_errors"]).sum())
        self.counters = {f"{found.name}_failures": unread}
        return found


class RadFact:
    """RadFact with the judge of the call.

    Args:
        compat: ``radfact`` for the official numbers, faults included.
        boxes: ``analytic`` or ``raster-224``; the default follows ``compat``.
        box_precision_threshold: boxes are entailed above this share.

    Attributes:
        results: each study's judged phrases, of the last call.
        counters: what was lost, invented or rewritten on the way, of the last call.
        official: the official table of the last call; only with ``compat``.
    """

    def __init__(
        self, compat: Literal["radfact"] | None = None, boxes: BoxArithmetic | None = None, box_precision_threshold: float = 0.5
    ) -> None:
        self.compat, self.boxes, self.box_precision_threshold = compat, boxes, box_precision_threshold
        self.results: list[StudyResult] = []
        self.counters: dict[str, float] = {}
        self.official: dict[str, float] | None = None

    def __call__(self, samples: Sequence[ReportSample], judge: Judge | None) -> Scores:
        """Judge every phrase of every sample, both ways.

        Raises:
            CannotScore: without a judge, or if the samples are of several languages.
            PrivacyError: if the judge may not see the samples.
        """
        if judge is None:
            raise CannotScore("radfact needs a judge: give judge=rules, judge=endpoint, …")
        languages = {sample.language or "en" for sample in samples}
        if len(languages) > 1:
            raise CannotScore(f"radfact judges reports of one language at a time, these are in {', '.join(sorted(languages))}")
        terms = _terms(samples)
        metric = RadFactMetric(
            judge,
            self.compat,
            boxes=self.boxes,
            box_precision_threshold=self.box_precision_threshold,
            language=languages.pop(),
            privacy=terms["policy"],
            dataset=terms["dataset"],
        )
        predictions = {sample.example_id: sample.prediction for sample in samples}
        references = {sample.example_id: sample.reference for sample in samples}
        self.results = metric.compute_results_per_sample(predictions, references)
        self.counters = metric.counters
        self.official = metric.aggregate_results(self.results)[1] if self.compat else None
        return metric.scores()


def _texts(samples: Sequence[ReportSample]) -> tuple[list[str], list[str]]:
    """Predictions and references as text."""
    return [plain_text(s.prediction or "") for s in samples], [plain_text(s.reference or "") for s in samples]


def _terms(samples: Sequence[ReportSample]) -> dict[str, Any]:
    """What a judge is told before it sees samples: the strictest policy, and the names of their datasets."""
    dataset = ", ".join(sorted({sample.dataset or "reports" for sample in samples}))
    return {"policy": strictest(sample.privacy for sample in samples), "dataset": dataset}
