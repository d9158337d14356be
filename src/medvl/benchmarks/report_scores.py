"""Scoring reports: several metrics over the same samples, one matrix of resamples, everything needed to rebuild and to compare.

    samples (prediction beside reference)  →  metric → Scores  →  value, percentile interval over patients

Every figure comes from columns per sample that are kept, so a table is rebuilt and two systems are compared from files alone
(``report_folder``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from medvl.benchmarks.metric_configs import named_metrics
from medvl.benchmarks.report_metrics import CannotScore, OnChat, RadFact, ReportMetric
from medvl.data.report_samples import ReportSample, is_empty
from medvl.judges.judge import Judge
from medvl.metrics.bootstrap import Estimate, estimate, resample
from medvl.metrics.radfact.study import StudyResult
from medvl.metrics.scores import Scores
from medvl.records import PrivacyPolicy
from medvl.runtime.privacy import strictest


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn.

    Attributes:
        replicates: resamples of the patients.
        seed: of the draw.
    """

    replicates: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Result:
    """What scoring found.

    Attributes:
        samples: those scored, with both sides.
        scores: metric → columns and statistics.
        figures: metric → statistic → value with its interval.
        counts: samples, patients, what was missing or empty, and what a judge lost or invented.
        judge: its name, prompt hash and whatever it was allowed; ``None`` if none was asked.
        phrases: RadFact's judged phrases per study, where it ran.
        official: RadFact's official table, where it ran in compat mode.
        bootstrap: how intervals were drawn.
    """

    samples: tuple[ReportSample, ...] = field(repr=False)
    scores: Mapping[str, Scores]
    figures: Mapping[str, Mapping[str, Estimate]]
    counts: Mapping[str, float]
    judge: Mapping[str, Any] | None = None
    phrases: tuple[StudyResult, ...] = field(default=(), repr=False)
    official: Mapping[str, float] | None = None
    bootstrap: Bootstrap = field(default_factory=Bootstrap)

    @property
    def privacy(self) -> PrivacyPolicy:
        """The strictest policy of the samples."""
        return strictest(sample.privacy for sample in self.samples)

    def to_json(self) -> dict[str, Any]:
        """The content of ``results.json``: figures by ``metric/statistic``, protocols, counts, judge."""
        return {
            "schema_version": 1,
            "metrics": {f"{m}/{name}": asdict(e) for m, figures in self.figures.items() for name, e in figures.items()},
            "protocol": {name: {**scores.protocol, "signature": scores.signature} for name, scores in self.scores.items()},
            "counts": dict(self.counts),
            "judge": self.judge,
            "bootstrap": {**asdict(self.bootstrap), "unit": "patient" if any(s.patient_id for s in self.samples) else "sample"},
            "privacy": self.privacy,
        }


def score(
    samples: Sequence[ReportSample],
    *,
    metrics: Mapping[str, ReportMetric] | Sequence[str],
    judge: Judge | None = None,
    bootstrap: Bootstrap | None = None,
    counts: Mapping[str, int] | None = None,
) -> Result:
    """Score predictions against references.

    Args:
        samples: with both sides; see ``report_samples.join``.
        metrics: names of files in ``configs/metric``, with their own options; or name → metric (``metric_configs.named_metrics``).
        judge: asked by the metrics that need one.
        bootstrap: 1,000 replicates of seed 0 by default; the unit is the patient, or the sample where no patient is known.
        counts: of the samples left out before, to be reported.

    Raises:
        CannotScore: without a sample or a metric, or if a metric lacks what it needs.
        PrivacyError: if the judge may not see the samples.
    """
    if not samples or not metrics:
        raise CannotScore("scoring needs at least one sample and one metric")
    if not isinstance(metrics, Mapping):
        metrics = named_metrics(metrics)
    drawn = bootstrap or Bootstrap()
    found = {name: metric(samples, judge) for name, metric in metrics.items()}
    asked = [metric for metric in metrics.values() if isinstance(metric, RadFact | OnChat)]
    radfact = [metric for metric in asked if isinstance(metric, RadFact)]
    return Result(
        samples=tuple(samples),
        scores=found,
        figures=figures_of(found, units(samples), drawn),
        counts={**_counts(samples), **(counts or {}), **{k: v for metric in asked for k, v in metric.counters.items()}},
        judge=_described(judge) if judge is not None and asked else None,
        phrases=tuple(result for metric in radfact[:1] for result in metric.results),
        official=next((metric.official for metric in radfact if metric.official), None),
        bootstrap=drawn,
    )


def figures_of(scores: Mapping[str, Scores], clusters: Sequence[str], bootstrap: Bootstrap) -> dict[str, dict[str, Estimate]]:
    """Metric → statistic → estimate, all on one matrix of resamples."""
    weights = resample(clusters, replicates=bootstrap.replicates, seed=bootstrap.seed)
    return {metric: {name: estimate(s, weights) for name, s in of.statistics.items()} for metric, of in scores.items()}


def units(samples: Sequence[ReportSample]) -> list[str]:
    """What the bootstrap draws: each sample's patient, or the sample itself where no patient is known."""
    return [sample.patient_id or f"sample {sample.example_id}" for sample in samples]


def _counts(samples: Sequence[ReportSample]) -> dict[str, int]:
    return {
        "samples": len(samples),
        "patients": len(set(units(samples))),
        "empty_predictions": sum(is_empty(sample.prediction or "") for sample in samples),
        "empty_references": sum(is_empty(sample.reference or "") for sample in samples),
    }


def _described(judge: Judge) -> dict[str, Any]:
    return {"name": judge.name, "prompt_hash": judge.prompt_hash, "allowances": getattr(judge, "allowances", [])}
