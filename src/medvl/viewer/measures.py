"""Figures from ``results.json`` as a reader meets them: a plain name, what it means, trained beside untrained, on one axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from medvl.viewer.meanings import HEADLINES, meaning

LOWER_IS_BETTER = ("_median_rank", "_absolute_error")
"""How the names of metrics end whose low values are good."""

REPORT_NAMES = {
    "bleu_bleu_1": "BLEU-1",
    "bleu_bleu_4": "BLEU-4",
    "rouge_l_rouge_l": "ROUGE-L",
    "meteor_meteor": "METEOR, exact words and stems",
    "cider_cider": "CIDEr-D",
    "chexpert_f1_rules_micro_f1_14": "CheXpert F1 by rules, micro, 14 findings",
    "chexpert_f1_rules_macro_f1_14": "CheXpert F1 by rules, macro, 14 findings",
    "chexpert_f1_rules_micro_f1_5": "CheXpert F1 by rules, micro, 5 findings",
    "temporal_entities_temporal_f1": "Temporal entity F1",
    "prior_reference_prior_reference_rate": "Share that refer to an earlier study",
    "length_and_repetition_words": "Words a report",
    "radfact_logical_precision": "RadFact logical precision",
    "radfact_logical_recall": "RadFact logical recall",
    "radfact_logical_f1": "RadFact logical F1",
}
"""Statistic of retrieved reports → printed name. Others are printed under their own name."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval and the samples behind it; ``None`` where undefined."""

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Row:
    """Trained beside untrained: one line of a table."""

    name: str
    trained: Interval
    untrained: Interval | None = None
    lower_is_better: bool = False

    @property
    def clearly_better(self) -> bool:
        """Whether the two intervals do not overlap, the trained one on the better side."""
        if self.untrained is None:
            return False
        worse, better = (self.trained, self.untrained) if self.lower_is_better else (self.untrained, self.trained)
        return worse.high is not None and better.low is not None and better.low > worse.high


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric: its headline row, a row per finding, and the axis that shows them all."""

    headline: Row
    benchmark: str = ""
    meaning: str = ""
    findings: tuple[Row, ...] = ()
    axis: tuple[float, float] = (0.0, 1.0)
    chance: float | None = None

    @property
    def name(self) -> str:
        """The printed name."""
        return self.headline.name


@dataclass(frozen=True, slots=True)
class ReportFigure:
    """A metric of reports that were retrieved: by the trained model, by the untrained one, and of one report for everybody."""

    name: str
    retrieved: Interval
    untrained: Interval | None
    constant: Interval


def measures(results: Mapping[str, Any]) -> list[Measure]:
    """The metrics of ``results.json`` in order, findings from the best to the weakest; those of reports are ``report_figures``."""
    entries = {name: entry for name, entry in results["metrics"].items() if "constant" not in entry}
    found = [_measure(name, entry, results.get("per_finding", {}).get(name, {})) for name, entry in entries.items()]
    chosen_on = results.get("protocol", {}).get("phrase_grounding", {}).get("best_threshold_chosen_on")
    if chosen_on is None:
        return found
    best = meaning("grounding_miou_best_threshold").name
    return [replace(m, meaning=f"{m.meaning} Chosen on {chosen_on}.") if m.name == best else m for m in found]


def by_benchmark(found: Iterable[Measure]) -> list[list[Measure]]:
    """Metrics of the same benchmark together, benchmarks in order; the first of each stands for it."""
    groups: dict[str, list[Measure]] = {}
    for measure in found:
        groups.setdefault(measure.benchmark or measure.name, []).append(measure)
    headlines = {meaning(name).name for name in HEADLINES}
    return [sorted(group, key=lambda measure: measure.name not in headlines) for group in groups.values()]


def report_figures(results: Mapping[str, Any]) -> list[ReportFigure]:
    """The metrics of ``results.json`` that have a constant report beside them, in order."""
    entries = {name: entry for name, entry in results["metrics"].items() if "constant" in entry}
    return [
        ReportFigure(_report_name(name.removeprefix("reports_")), row.trained, row.untrained, _interval(entry["constant"]))
        for name, entry in entries.items()
        for row in [_row(name, entry)]
    ]


def what_was_learned(results: Mapping[str, Any]) -> list[str]:
    """A plain sentence on each benchmark whose first figure has an untrained model beside it."""
    return [sentence for first, *_ in by_benchmark(measures(results)) for sentence in _sentences(first)]


def _report_name(name: str) -> str:
    return REPORT_NAMES.get(name, spoken(name))


def _sentences(measure: Measure) -> Iterator[str]:
    row = measure.headline
    if row.untrained is None or row.trained.value is None or row.untrained.value is None:
        return
    verb = "rose" if row.trained.value > row.untrained.value else "went"
    verdict = "the intervals do not overlap" if row.clearly_better else "the intervals overlap: not a clear gain"
    yield (
        f"{measure.name} {verb} from {row.untrained.value:.2f} before training to {row.trained.value:.2f} after "
        f"(95 % interval {row.trained.low:.2f} to {row.trained.high:.2f}); {verdict}."
    )


def _measure(name: str, entry: Mapping[str, Any], per_finding: Mapping[str, Mapping[str, Any]]) -> Measure:
    told = meaning(name)
    if "_beside_" in name:  # two arms on the same samples: their difference, with its paired interval
        entry, per_finding = entry["difference"], {finding: each["difference"] for finding, each in per_finding.items()}
    rows = tuple(sorted((_row(spoken(f), e) for f, e in per_finding.items()), key=_weakest_last))
    headline = replace(_row(told.name, entry), lower_is_better=name.endswith(LOWER_IS_BETTER))
    return Measure(headline, told.benchmark, told.text, rows, _axis([headline, *rows], told.chance), told.chance)


def spoken(finding: str) -> str:
    """A finding's name as prose: ``pleural_effusion`` → ``Pleural effusion``."""
    words = finding.replace("_", " ")
    return words[:1].upper() + words[1:]


def _row(name: str, entry: Mapping[str, Any]) -> Row:
    untrained = entry.get("untrained")
    return Row(name, _interval(entry), _interval(untrained) if untrained else None)


def _interval(entry: Mapping[str, Any]) -> Interval:
    return Interval(entry["value"], entry["ci_low"], entry["ci_high"], entry["n"])


def _weakest_last(row: Row) -> float:
    return math.inf if row.trained.value is None else -row.trained.value


def _axis(rows: list[Row], chance: float | None) -> tuple[float, float]:
    """Tenths around everything shown, zero or chance included."""
    intervals = [i for row in rows for i in (row.trained, row.untrained) if i is not None]
    shown = [v for i in intervals for v in (i.value, i.low, i.high) if v is not None]
    anchors = [0.0 if chance is None else chance]
    low, high = math.floor(min(shown + anchors) * 10) / 10, math.ceil(max(shown + anchors) * 10) / 10
    return low, max(high, low + 0.1)
