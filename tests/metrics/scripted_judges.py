"""Judges that answer by a plain rule: the deterministic rules with which RadFact's expected values were measured."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from medvl.judges.judge import EntailmentQuery, SplitReport, SplitSentence, Verdict


class ScriptedJudge:
    """Answers each entailment question by a function; splits reports at full stops."""

    name, prompt_hash = "scripted", "0"

    def __init__(self, rule: Callable[[EntailmentQuery], Verdict]) -> None:
        self.rule = rule
        self.asked: list[EntailmentQuery] = []
        self.admitted: list[tuple[str, str]] = []

    def admit(self, policy, *, dataset):
        self.admitted.append((policy, dataset))

    def entail(self, queries):
        self.asked += queries
        return [self.rule(query) for query in queries]

    def split(self, reports, *, language="en"):
        return [split_at_full_stops(report) for report in reports]


def split_at_full_stops(report: str) -> SplitReport:
    if "UNSPLITTABLE" in report:
        return SplitReport(failure="unparseable")
    sentences = [sentence.strip() for sentence in re.split(r"(?<=[.])\s+", report)]
    return SplitReport(tuple(SplitSentence(sentence, (sentence,)) for sentence in sentences))


def overlap(query: EntailmentQuery) -> Verdict:
    """Entailed by every reference phrase of which half the words are shared; markers in the hypothesis provoke bad answers."""
    if "BADYAML" in query.hypothesis:
        return Verdict("not_entailment", failure="unparseable")
    if "NOEV" in query.hypothesis:
        return Verdict("entailment")
    if "HALLU" in query.hypothesis:
        return Verdict("entailment", ("not in report",))
    asked = words(query.hypothesis)
    evidence = tuple(phrase for phrase in query.reference if 2 * len(asked & words(phrase)) >= len(asked | words(phrase)) > 0)
    return Verdict("entailment" if evidence else "not_entailment", evidence)


def gold(path: Path) -> Callable[[EntailmentQuery], Verdict]:
    """The radiologists' answers in RadFact's ``test_examples.json``; neutral and contradiction are not entailed."""
    answers = {}
    for example in json.loads(path.read_text("utf-8")):
        for mine, other in (("A", "B"), ("B", "A")):
            for item in example["output"][f"phrases_{mine}_evidenced"]:
                status = "entailment" if item["status"] == "entailment" else "not_entailment"
                key = tuple(example["input"][f"phrases_{other}"]), item["phrase"]
                answers[key] = Verdict(status, tuple(item["evidence"]))
    return lambda query: answers[query.reference, query.hypothesis]


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))
