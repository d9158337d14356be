"""Report samples: a prediction beside its reference, wherever either comes from, with what statistics and privacy need to know of them.

Predictions and references are read apart (``report_files``, or studies of any reader) and joined by identifier. What does not match is an
error, or left out and counted where the caller allows it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medvl.records import Phrase, PrivacyPolicy, Study
from medvl.runtime.errors import UserError
from medvl.runtime.privacy import strictest

Report = str | tuple[Phrase, ...]


class UnpairedReports(UserError):
    """Predictions and references that are not of the same examples."""


@dataclass(frozen=True, slots=True)
class ReportSample:
    """One example: a predicted and a reference report, each text or phrases; ``None`` where a file has only the other side.

    Attributes:
        example_id: as in the files, as a string.
        patient_id: the unit of resampling; ``None`` if no file tells it.
        dataset: whence the reference comes, if known.
        language: of both reports.
        privacy: what may leave the machine of either.
        meta: whatever else the files say of the example.
    """

    example_id: str
    prediction: Report | None = None
    reference: Report | None = None
    patient_id: str | None = None
    dataset: str | None = None
    language: str | None = None
    privacy: PrivacyPolicy = "local_only"
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JoinedSamples:
    """Samples that have both sides, in the predictions' order, and how many there were of what else.

    Attributes:
        counts: ``missing_predictions``, ``missing_references`` (left out), ``empty_predictions``, ``empty_references`` (kept).
    """

    samples: tuple[ReportSample, ...]
    counts: Mapping[str, int]


def plain_text(report: Report) -> str:
    """The report as text: phrases are joined by a space."""
    return report if isinstance(report, str) else " ".join(phrase.text.strip() for phrase in report)


def is_empty(report: Report) -> bool:
    """Whether the report says nothing."""
    return not plain_text(report).strip()


def from_studies(studies: Iterable[Study], *, section: str | None = "findings") -> list[ReportSample]:
    """The studies' own reports as references: phrases where the dataset has any, else the section, else the whole text.

    Args:
        studies: of any reader; those without report and phrases (priors, say) are left aside.
        section: the section of a plain report to take where there is one; ``None`` for the whole text.
    """
    samples = []
    for study in studies:
        report: Report | None = study.phrases or None
        if report is None and study.report is not None:
            report = study.report.sections.get(section or "", study.report.text)
        if report is not None:
            language = study.report.language if study.report else None
            samples.append(ReportSample(study.study_id, None, report, study.patient_id, study.dataset, language, study.privacy))
    return samples


def join(predictions: Sequence[ReportSample], references: Sequence[ReportSample], *, allow_missing: bool = False) -> JoinedSamples:
    """Each prediction with the reference of the same identifier.

    A sample may already hold both sides: give the same samples twice. What both sides tell (patient, dataset, language) the references
    tell; privacy is the stricter of the two; ``meta`` is merged.

    Raises:
        UnpairedReports: naming the first example that one side lacks, unless ``allow_missing``; always if none has both.
    """
    predicted = {sample.example_id: sample for sample in predictions if sample.prediction is not None}
    referenced = {sample.example_id: sample for sample in references if sample.reference is not None}
    missing = {
        "prediction": [name for name in referenced if name not in predicted],
        "reference": [name for name in predicted if name not in referenced],
    }
    for side, names in missing.items():
        if names and not allow_missing:
            raise UnpairedReports(
                f"{len(names)} of {len(names) + len(predicted.keys() & referenced.keys())} examples have no {side}, first {names[0]!r}; "
                "check the identifiers, or give allow_missing=true to score the others"
            )
    samples = tuple(_merged(sample, referenced[name]) for name, sample in predicted.items() if name in referenced)
    if not samples:
        raise UnpairedReports("no example has both a prediction and a reference")
    counts = {f"missing_{side}s": len(names) for side, names in missing.items()}
    for side in ("prediction", "reference"):
        counts[f"empty_{side}s"] = sum(is_empty(getattr(sample, side)) for sample in samples)
    return JoinedSamples(samples, counts)


def _merged(predicted: ReportSample, referenced: ReportSample) -> ReportSample:
    return dataclasses.replace(
        referenced,
        prediction=predicted.prediction,
        patient_id=referenced.patient_id or predicted.patient_id,
        dataset=referenced.dataset or predicted.dataset,
        language=referenced.language or predicted.language,
        privacy=strictest((predicted.privacy, referenced.privacy)),
        meta={**predicted.meta, **referenced.meta},
    )
