"""Reports as they are handed in → the phrases of each study, candidates and references alike.

A report is a string, which a judge splits into phrases, or a list of phrases in any form that ``records.phrase_of`` takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from medvl.judges.judge import Judge
from medvl.records import Phrase, phrase_of
from medvl.runtime.errors import UserError

Reports = Mapping[str, "str | tuple[Phrase, ...]"]


class InvalidReport(UserError):
    """A report is neither text nor a list of phrases, or is of the wrong one of the two."""


class MismatchedStudies(UserError):
    """Candidates and references are not of the same studies, or one study comes twice."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """One side's reports as phrases.

    Attributes:
        phrases: study → phrases; a study whose text the judge could not split is absent.
        failures: study → why it could not be split.
        asked: studies that the judge was asked to split.
        empty_phrases: phrases without any text that were left out.
    """

    phrases: Mapping[str, tuple[Phrase, ...]]
    failures: Mapping[str, str]
    asked: int
    empty_phrases: int

    @property
    def successes(self) -> int:
        """Studies that were split."""
        return self.asked - len(self.failures)


def read_reports(reports: Mapping[Any, Any], *, side: str, narrative: bool | None) -> dict[str, str | tuple[Phrase, ...]]:
    """Reports by study, each text or phrases.

    Args:
        reports: study → report; identifiers become strings.
        side: what messages call these reports, e.g. ``candidate``.
        narrative: true, every report is text (phrases are joined); false, every one is phrases; ``None``, each as it is.

    Raises:
        InvalidReport: naming the study.
        MismatchedStudies: if two identifiers are one as strings.
    """
    converted: dict[str, str | tuple[Phrase, ...]] = {}
    for key, report in reports.items():
        study = str(key)
        if study in converted:
            raise MismatchedStudies(f"{side} study {study!r} comes twice")
        converted[study] = _report(report, f"{side} of study {study!r}", narrative)
    return converted


def _report(report: Any, what: str, narrative: bool | None) -> str | tuple[Phrase, ...]:
    if isinstance(report, str):
        if narrative is False:
            raise InvalidReport(f"{what} is plain text where phrases are expected; is_narrative_text=True splits it into phrases")
        return report
    if not isinstance(report, Iterable) or isinstance(report, (Mapping, bytes)):
        raise InvalidReport(f"{what} is neither text nor a list of phrases, but {type(report).__name__}")
    try:
        phrases = tuple(map(phrase_of, report))
    except (ValueError, TypeError) as error:
        raise InvalidReport(f"{what}: {error}") from error
    return " ".join(phrase.text.strip() for phrase in phrases) if narrative else phrases


def common_studies(candidates: Reports, references: Reports, *, allow_missing: bool) -> list[str]:
    """The studies of both sides, in the candidates' order.

    Raises:
        MismatchedStudies: naming the first study that one side lacks, unless ``allow_missing``; always, if no study is common.
    """
    common = [study for study in candidates if study in references]
    alone = [("reference", study) for study in candidates if study not in references]
    alone += [("candidate", study) for study in references if study not in candidates]
    if alone and not allow_missing:
        side, study = alone[0]
        raise MismatchedStudies(
            f"there is no {side} for study {study!r}: {len(alone)} studies are on one side only; "
            f"allow_missing=True scores the {len(common)} common ones"
        )
    if not common:
        raise MismatchedStudies("candidates and references have no study in common")
    return common


def to_phrases(reports: Reports, judge: Judge, *, language: str, ask_for_empty: bool) -> Conversion:
    """Texts split by the judge, phrases as they are.

    Args:
        reports: of one side.
        judge: splits the texts, all in one call.
        language: of the texts.
        ask_for_empty: as RadFact: the judge is asked to split empty texts too, and phrases without text are kept.
    """
    texts = {study: report for study, report in reports.items() if isinstance(report, str) and (ask_for_empty or report.strip())}
    answers = judge.split(list(texts.values()), language=language) if texts else []
    split = dict(zip(texts, answers, strict=True))
    failures = {study: answer.failure for study, answer in split.items() if answer.failure is not None}
    phrases: dict[str, tuple[Phrase, ...]] = {}
    empty = 0
    for study, report in reports.items():
        if study in failures:
            continue
        found = report if not isinstance(report, str) else tuple(map(Phrase, split[study].phrases)) if study in split else ()
        kept = found if ask_for_empty else tuple(phrase for phrase in found if phrase.text.strip())
        empty += len(found) - len(kept)
        phrases[study] = kept
    return Conversion(phrases, failures, len(texts), empty)
