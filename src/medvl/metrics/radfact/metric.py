"""RadFact: factuality of a report against a reference, judged phrase by phrase (Bannur et al. 2024, "MAIRA-2: Grounded Radiology Report
Generation"; official code microsoft/RadFact, commit 72463ac).

    report → phrases → entailed by the other report? with which evidence? → boxes inside the evidence's? → precision, recall, F1

``compat="radfact"`` gives every official number, faults included. The default mends these faults; each is counted where it occurs:

1. Evidence that nobody wrote: dropped; only an entailment left without evidence fails (officially the whole study leaves the means).
2. Equal phrases: each keeps its own verdict, evidence stands for all phrases that it equals (officially the first, for both).
3. Space before punctuation no longer makes two phrases different.
4. F1 is 0 where precision and recall are (officially a crash; in compat ``official.UndefinedF1``).
5. Boxes: exact areas of unions (``analytic``); officially pixels of a 224 × 224 raster, in which thin boxes vanish.
6. Text has no boxes: its spatial and grounding values are undefined, officially 0.
7. A text that cannot be split leaves the means, as officially, but is kept, counted as invalid, and 0 in the worst-case rows.
8. Studies that only one side has are an error, or counted (``allow_missing``); officially references without a candidate are ignored.
9. Empty texts and empty phrases state nothing and are counted; officially the judge is asked about them. Nor is it asked whether a phrase
   follows from an empty report: nothing does.
10. Micro averages stand beside the macro averages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from medvl.judges.judge import Judge, Verdict
from medvl.metrics.radfact import aggregate, official
from medvl.metrics.radfact.entailment import BoxRule, InventedEvidence, attach, attach_as_radfact, failure_of, questions
from medvl.metrics.radfact.reports import Conversion, Reports, common_studies, read_reports, to_phrases
from medvl.metrics.radfact.study import BoxArithmetic, Direction, StudyResult, StudyScores
from medvl.metrics.scores import Scores, scores
from medvl.records import Phrase, PrivacyPolicy
from medvl.runtime.errors import UserError

VERSION = 1
NOTHING_FOLLOWS = Verdict("not_entailment", explanation="the other report states nothing")


class RadFactMetric:
    """Scores candidates against references with a judge; a drop-in for the official class of this name.

    Attributes:
        per_sample: one ``StudyResult`` per study of the last call.
        counters: of the last call, how often the judge answered, failed, rewrote, invented; studies lost on the way.
    """

    def __init__(
        self,
        judge: Judge,
        compat: Literal["radfact"] | None = None,
        *,
        boxes: BoxArithmetic | None = None,
        box_precision_threshold: float = 0.5,
        is_narrative_text: bool | None = None,
        allow_missing: bool = False,
        language: str = "en",
        privacy: PrivacyPolicy = "local_only",
        dataset: str = "reports",
    ) -> None:
        """Choose the judge and the rules.

        Args:
            judge: answers both questions.
            compat: ``radfact`` for the official numbers and quirks.
            boxes: ``analytic``, or ``raster-224`` as officially; the default follows ``compat``.
            box_precision_threshold: boxes are entailed above this share, strictly.
            is_narrative_text: true, split every report; false, every report is phrases; ``None``, split those that are text.
            allow_missing: score the studies that both sides have, instead of refusing.
            language: of the reports, told to the judge.
            privacy: what may leave the machine of these reports; the judge must admit it before it is asked anything.
            dataset: what messages about privacy call these reports.
        """
        for name, value, allowed in (("compat", compat, (None, "radfact")), ("boxes", boxes, (None, *get_args(BoxArithmetic)))):
            if value not in allowed:
                raise UserError(f"RadFact has no {name}={value!r} (one of: {', '.join(map(str, allowed))})")
        self.judge, self.compat = judge, compat
        self.rule = BoxRule(boxes or ("raster-224" if compat else "analytic"), box_precision_threshold)
        self.is_narrative_text, self.allow_missing = is_narrative_text, allow_missing
        self.language, self.privacy, self.dataset = language, privacy, dataset
        self.per_sample: list[StudyResult] = []
        self.counters: dict[str, float] = {}
        self._narrative = bool(is_narrative_text)

    def compute_metric_score(self, candidates: Mapping[Any, Any], references: Mapping[Any, Any]) -> tuple[float, dict[str, float]]:
        """Logical F1, and every value by its official name (beside ``micro/…``, ``worst_case/…`` and counts of the default mode).

        Args:
            candidates: study → report; text, or phrases as ``Phrase``, ``{"text", "boxes"}``, (text, boxes) or the like.
            references: likewise, of the same studies.

        Raises:
            InvalidReport, MismatchedStudies: naming the study.
            PrivacyError: if the judge may not see these reports.
            UndefinedF1: with ``compat="radfact"`` only, where the official code divides by zero.
        """
        return self.aggregate_results(self.compute_results_per_sample(candidates, references))

    def compute_results_per_sample(self, candidates: Mapping[Any, Any], references: Mapping[Any, Any]) -> list[StudyResult]:
        """One result per study, in the candidates' order; raises as ``compute_metric_score``."""
        self.judge.admit(self.privacy, dataset=self.dataset)
        self.counters = {}
        sides = {
            "candidate": read_reports(candidates, side="candidate", narrative=self.is_narrative_text),
            "reference": read_reports(references, side="reference", narrative=self.is_narrative_text),
        }
        texts = {isinstance(report, str) for reports in sides.values() for report in reports.values()}
        self._narrative = texts == {True} if self.is_narrative_text is None else self.is_narrative_text
        if self.compat:
            self.per_sample = self._official_results(**sides, with_text=True in texts)
        else:
            self.per_sample = self._results(**sides)
        return self.per_sample

    def aggregate_results(self, results: list[StudyResult]) -> tuple[float, dict[str, float]]:
        """Logical F1 and all values of some results, e.g. a part of ``per_sample``."""
        if self.compat:
            table = official.aggregate(results, self.counters, narrative=self._narrative)
        else:
            invalid = sum(result.scores is None for result in results)
            table = {
                **self._scores(results).corpus,
                "num_samples": len(results) - invalid,
                **self.counters,
                "num_invalid_processed_samples": invalid,
            }
        return table["logical_f1"], table

    def bootstrap_official(self, num_samples: int = 500, seed: int = 42) -> dict[str, float]:
        """The official bootstrap of the last call: ``logical_f1/median``, ``…/p2.5th``, … (see ``official.bootstrap``).

        The command line of RadFact draws 10 samples with seed 42.
        """
        return official.bootstrap(self.per_sample, self.counters, narrative=self._narrative, num_samples=num_samples, seed=seed)

    def scores(self) -> Scores:
        """The last call as ``Scores``: columns per study, and statistics for the bootstrap of this project.

        Undefined values are NaN and F1 is 0 where precision and recall are, with ``compat`` too; the official table is that of
        ``aggregate_results`` and ``bootstrap_official``.
        """
        return self._scores(self.per_sample)

    def _scores(self, results: list[StudyResult]) -> Scores:
        if not results:
            raise UserError("RadFact has no study to score")
        protocol = {
            "version": VERSION,
            "compat": self.compat,
            "boxes": self.rule.arithmetic,
            "box_precision_threshold": self.rule.threshold,
            "language": self.language,
            "judge": self.judge.name,
            "prompt_hash": self.judge.prompt_hash,
        }
        return scores("radfact", aggregate.per_sample(results), protocol, counts=aggregate.counts(results), aggregate=aggregate.statistics)

    def _official_results(self, candidate: Reports, reference: Reports, *, with_text: bool) -> list[StudyResult]:
        if with_text:
            sides = self._converted("generations", candidate), self._converted("ground_truth", reference)
            studies = [study for study in sides[0].phrases if study in sides[1].phrases]
            self.counters |= {
                "report_to_phrases/num_dropped_candidates": len(sides[0].phrases) - len(studies),
                "report_to_phrases/num_dropped_references": len(sides[1].phrases) - len(studies),
            }
        else:
            studies = common_studies(candidate, {s: r for s, r in reference.items() if s in candidate}, allow_missing=self.allow_missing)
            sides = self._phrases(candidate), self._phrases(reference)
        return self._judged({study: (sides[0].phrases[study], sides[1].phrases[study]) for study in studies})

    def _results(self, candidate: Reports, reference: Reports) -> list[StudyResult]:
        common = common_studies(candidate, reference, allow_missing=self.allow_missing)
        self.counters |= {
            "num_missing_candidates": len(reference) - len(common),
            "num_missing_references": len(candidate) - len(common),
        }
        candidates = self._converted("generations", {study: candidate[study] for study in common})
        references = self._converted("ground_truth", {study: reference[study] for study in common})
        self.counters["num_empty_phrases"] = candidates.empty_phrases + references.empty_phrases
        self.counters["num_empty_candidates"] = sum(not phrases for phrases in candidates.phrases.values())
        self.counters["num_empty_references"] = sum(not phrases for phrases in references.phrases.values())
        failures = {study: f"reference: {why}" for study, why in references.failures.items()}
        failures |= {study: f"candidate: {why}" for study, why in candidates.failures.items()}
        pairs = {study: (candidates.phrases[study], references.phrases[study]) for study in common if study not in failures}
        judged = {result.study_id: result for result in self._judged(pairs)}
        phrases = [phrase for result in judged.values() for phrase in (*result.candidate_phrases, *result.reference_phrases)]
        self.counters["num_dropped_evidence"] = sum(len(phrase.dropped_evidence) for phrase in phrases)
        self.counters["num_failed_phrases"] = sum(phrase.failure is not None for phrase in phrases)
        return [judged.get(study) or StudyResult(study, None, invalid=failures[study]) for study in common]

    def _converted(self, name: str, reports: Reports) -> Conversion:
        """Reports as phrases, with the official counts of it."""
        converted = self._phrases(reports)
        self.counters |= {
            f"report_to_phrases/{name}/num_failures": len(converted.failures),
            f"report_to_phrases/{name}/num_success": converted.successes,
        }
        return converted

    def _phrases(self, reports: Reports) -> Conversion:
        return to_phrases(reports, self.judge, language=self.language, ask_for_empty=self.compat is not None)

    def _judged(self, pairs: Mapping[str, tuple[tuple[Phrase, ...], tuple[Phrase, ...]]]) -> list[StudyResult]:
        """Every study's result; all questions of all studies reach the judge in one call."""
        asked = [
            questions(mine, other, self.language)
            for candidate, reference in pairs.values()
            for mine, other in ((candidate, reference), (reference, candidate))
        ]
        answered = [self.compat is not None or bool(group and group[0].reference) for group in asked]
        queries = [query for group, ask in zip(asked, answered, strict=True) if ask for query in group]
        replies = iter(self.judge.entail(queries) if queries else ())
        verdicts = [[next(replies) if ask else NOTHING_FOLLOWS for _ in group] for group, ask in zip(asked, answered, strict=True)]
        real = [verdict for group, ask in zip(verdicts, answered, strict=True) if ask for verdict in group]
        failed = sum(failure_of(verdict) is not None for verdict in real)
        self.counters |= {
            "num_llm_failures": failed,
            "num_llm_success": len(real) - failed,
            "num_llm_phrase_rewrites": sum(v.reply_phrase is not None and failure_of(v) is None for v in real),
        }
        halves = iter(verdicts)
        return [self._study(study, *pair, next(halves), next(halves)) for study, pair in pairs.items()]

    def _study(
        self, study: str, candidate: tuple[Phrase, ...], reference: tuple[Phrase, ...], forth: list[Verdict], back: list[Verdict]
    ) -> StudyResult:
        attached = attach_as_radfact if self.compat else attach
        try:
            mine = attached(candidate, reference, forth, self.rule)
            theirs = attached(reference, candidate, back, self.rule)
        except InventedEvidence:
            return StudyResult(study, None, invalid="invented_evidence")
        return StudyResult(study, StudyScores.of(Direction.of(mine), Direction.of(theirs)), mine, theirs)
