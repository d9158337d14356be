"""Which metrics see which errors: the drop of each metric when one known error enters each report, paired by study.

A case holds a reference, a sound prediction that says the same in other words, and the sound prediction with one error. Sound and erroneous
predictions are scored against the same references, and for each statistic

    drop = sound − erroneous        with its paired interval over patients

so that a metric sees an error where the interval lies above 0 (for a statistic of which less is better, the sign is turned). A control
belongs beside the errors: the same sentence once more in other words, which no metric ought to mind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medvl.benchmarks.report_metrics import CannotScore, ReportMetric
from medvl.data.report_samples import Report, ReportSample
from medvl.judges.judge import Judge
from medvl.metrics.bootstrap import Estimate, Statistic, estimate, paired_difference, resample


@dataclass(frozen=True, slots=True)
class Case:
    """One report and its erroneous twin.

    Attributes:
        study_id, patient_id: whose it is; the patient is the unit of resampling.
        reference: what is true.
        sound: the same, told in other words.
        erroneous: ``sound`` with one error.
    """

    study_id: str
    patient_id: str
    reference: Report
    sound: Report
    erroneous: Report


@dataclass(frozen=True, slots=True)
class Drop:
    """What one error does to one statistic.

    Attributes:
        error: its name.
        statistic: ``metric/statistic``.
        cases: reports with this error, whether the statistic is defined for them or not.
        sound: value of the sound predictions.
        drop: sound − erroneous with its paired interval; the sign is turned where lower is better.
    """

    error: str
    statistic: str
    cases: int
    sound: float | None
    drop: Estimate

    @property
    def seen(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.drop.ci_low is not None and self.drop.ci_low > 0


def sensitivity(
    cases: Mapping[str, Sequence[Case]],
    metrics: Mapping[str, ReportMetric],
    statistics: Sequence[str],
    judge: Judge | None = None,
    *,
    language: str = "en",
    replicates: int = 1000,
    seed: int = 0,
) -> list[Drop]:
    """Every statistic's drop under every error, errors first.

    Args:
        cases: error → its cases, each study at most once; an error without cases is left out.
        metrics: name → metric, see ``report_metrics.score``.
        statistics: ``metric/statistic``, those of the table.
        judge: asked by the metrics that need one.
        language: of the reports.
        replicates, seed: of the bootstrap over patients.

    Raises:
        CannotScore: for a statistic that no metric gives.
    """
    drops = []
    for error, of in cases.items():
        if not of:
            continue
        sound, erroneous = (
            _statistics([_sample(case, report, language) for case, report in pairs], metrics, judge)
            for pairs in ([(case, case.sound) for case in of], [(case, case.erroneous) for case in of])
        )
        weights = resample([case.patient_id for case in of], replicates=replicates, seed=seed)
        for name in statistics:
            if name not in sound:
                raise CannotScore(f"statistics: no metric gives {name!r}")
            (before, lower), (after, _) = sound[name], erroneous[name]
            pair = (after, before) if lower else (before, after)
            drops.append(Drop(error, name, len(of), estimate(before, weights).value, paired_difference(*pair, weights)))
    return drops


def table(drops: Sequence[Drop], claims: Mapping[str, Sequence[str]]) -> str:
    """A Markdown table, errors by statistics: the drop with its interval, bold where seen; ``!`` where one that claims to see it does not.

    Args:
        drops: from ``sensitivity``.
        claims: error → statistics that claim to see it.
    """
    statistics = list(dict.fromkeys(drop.statistic for drop in drops))
    rows: dict[str, dict[str, str]] = {}
    for drop in drops:
        rows.setdefault(drop.error, {})[drop.statistic] = _cell(drop, drop.statistic in claims.get(drop.error, ()))
    lines = [f"| error | n | {' | '.join(statistics)} |", f"|---|---|{'---|' * len(statistics)}"]
    numbers = {drop.error: drop.cases for drop in drops}
    lines += [f"| {error} | {numbers[error]} | {' | '.join(cells[s] for s in statistics)} |" for error, cells in rows.items()]
    return "\n".join(lines) + "\n"


def broken_claims(drops: Sequence[Drop], claims: Mapping[str, Sequence[str]]) -> list[Drop]:
    """The drops that are not seen although a metric claims to see them."""
    return [drop for drop in drops if drop.statistic in claims.get(drop.error, ()) and not drop.seen]


def _cell(drop: Drop, claimed: bool) -> str:
    value, low, high = drop.drop.value, drop.drop.ci_low, drop.drop.ci_high
    if value is None or low is None or high is None:
        return "–"
    text = f"{value:.3f} ({low:.3f} … {high:.3f})"
    return f"**{text}**" if drop.seen else f"{text} !" if claimed else text


def _statistics(
    samples: Sequence[ReportSample], metrics: Mapping[str, ReportMetric], judge: Judge | None
) -> dict[str, tuple[Statistic, bool]]:
    """``metric/statistic`` → the statistic, and whether lower is better."""
    scored = {name: metric(samples, judge) for name, metric in metrics.items()}
    return {f"{m}/{name}": (statistic, name in of.lower_is_better) for m, of in scored.items() for name, statistic in of.statistics.items()}


def _sample(case: Case, prediction: Report, language: str) -> ReportSample:
    return ReportSample(case.study_id, prediction, case.reference, case.patient_id, language=language, privacy="public")
