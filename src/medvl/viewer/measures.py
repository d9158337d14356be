"""Figures from ``results.json`` as a reader meets them: a plain name, what it means, trained beside untrained, on one axis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

MEANINGS: dict[str, tuple[str, str, float | None]] = {
    "zero_shot_auroc": (
        "Zero-shot AUROC",
        "The chance that a film with the finding scores above one without it, from sentences alone. Chance is 0.5.",
        0.5,
    ),
    "zero_shot_auprc": (
        "Zero-shot average precision",
        "Precision averaged over recall; chance is the share of films with the finding.",
        None,
    ),
    "grounding_miou": (
        "Phrase grounding, mIoU",
        "Overlap of the heat map with the reference boxes, averaged over cosine thresholds 0.1 to 0.5.",
        None,
    ),
    "grounding_miou_best_threshold": (
        "Phrase grounding, best-threshold mIoU",
        "The same overlap at the one threshold that suits the model best, so that its scale of cosines does not matter.",
        None,
    ),
    "grounding_cnr": (
        "Phrase grounding, CNR",
        "Contrast between inside and outside the boxes, in units of noise. Signed: below 0 the map avoids the boxes.",
        0.0,
    ),
    "grounding_cnr_absolute": (
        "Phrase grounding, absolute CNR",
        "The same without its sign, as papers print it.",
        None,
    ),
    "grounding_cnr_per_box": (
        "Phrase grounding, CNR per box",
        "The same for each box of a phrase against all the rest, then averaged.",
        0.0,
    ),
    "grounding_coverage": (
        "Phrase grounding, coverage",
        "How much of the reference boxes lies in the part of the film that the model is shown.",
        None,
    ),
    "grounding_pointing_game": (
        "Phrase grounding, pointing game",
        "How often the hottest point of the map lies in a box.",
        None,
    ),
    "retrieval_image_to_text_recall_at_5": (
        "Retrieval, report of a film, recall at 5",
        "How often a film's own report, or one of the same words, is among the five nearest of the test reports.",
        None,
    ),
    "retrieval_text_to_image_recall_at_5": (
        "Retrieval, film of a report, recall at 5",
        "How often a report's own film is among the five nearest of the test films.",
        None,
    ),
    "sentence_similarity_accuracy": (
        "Sentences about change, accuracy",
        "Pairs told apart as paraphrase or contradiction by their cosine, at a threshold from other pairs (MS-CXR-T).",
        None,
    ),
    "sentence_similarity_auroc": (
        "Sentences about change, AUROC",
        "The chance that a paraphrase is nearer than a contradiction. Chance is 0.5.",
        0.5,
    ),
    "radnli_two_class_accuracy": (
        "Inference between sentences, accuracy",
        "Pairs told apart as entailment or contradiction by their cosine, at a threshold from other pairs (RadNLI).",
        None,
    ),
    "radnli_two_class_auroc": (
        "Inference between sentences, AUROC",
        "The chance that an entailed sentence is nearer than a contradicted one. Chance is 0.5.",
        0.5,
    ),
    "progression_P0_macro_accuracy": (
        "Progression from two films, macro accuracy",
        "Improving, stable or worsening, told from both films after fine-tuning on silver labels. Chance is one in three.",
        1 / 3,
    ),
}
"""Metric → printed name, meaning, the value of chance. Others are printed under their own name."""

LOWER_IS_BETTER = ("_median_rank",)
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
    best = MEANINGS["grounding_miou_best_threshold"][0]
    return [replace(m, meaning=f"{m.meaning} Chosen on {chosen_on}.") if m.name == best else m for m in found]


def report_figures(results: Mapping[str, Any]) -> list[ReportFigure]:
    """The metrics of ``results.json`` that have a constant report beside them, in order."""
    entries = {name: entry for name, entry in results["metrics"].items() if "constant" in entry}
    return [
        ReportFigure(_report_name(name.removeprefix("reports_")), row.trained, row.untrained, _interval(entry["constant"]))
        for name, entry in entries.items()
        for row in [_row(name, entry)]
    ]


def what_was_learned(results: Mapping[str, Any]) -> list[str]:
    """Plain sentences on each headline figure that has an untrained model beside it."""
    return [sentence for measure in measures(results) for sentence in _sentences(measure)]


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
    title, meaning, chance = MEANINGS.get(name, (name.replace("_", " "), "", None))
    rows = tuple(sorted((_row(spoken(f), e) for f, e in per_finding.items()), key=_weakest_last))
    headline = replace(_row(title, entry), lower_is_better=name.endswith(LOWER_IS_BETTER))
    return Measure(headline, meaning, rows, _axis([headline, *rows], chance), chance)


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
