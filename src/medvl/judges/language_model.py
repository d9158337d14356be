"""A judge that asks a language model: what endpoint and local models share.

Questions are rendered, asked once each however often they come, looked up in the cache, sent to the model (``complete``, the one thing a
subclass adds), read, and complained of where they cannot be used. All questions about one reference stand next to each other, so that a
server's prefix cache holds their common beginning.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from medvl.judges import prompts, replies
from medvl.judges.cache import Answer, AnswerCache
from medvl.judges.judge import EntailmentQuery, SplitReport, Verdict
from medvl.judges.prompts import CHAT, Prompt, Task
from medvl.records import PrivacyPolicy

UNPARSEABLE = "unparseable"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, after which prompt, and how a reply to it is read (see ``replies``)."""

    prompt: Prompt
    text: str
    read: Callable[[str], dict[str, Any]] = field(compare=False)


@dataclass(slots=True)
class Exchange:
    """One question on its way.

    Attributes:
        question: what is asked.
        key: of its answer in the cache.
        retries: how many unusable replies are complained of before giving up.
        unusable: replies that could not be used, and why.
        answer: once there is one.
        failure: why there will be none.
    """

    question: Question
    key: str
    retries: int
    unusable: list[tuple[str, str]] = field(default_factory=list)
    usage: Counter[str] = field(default_factory=Counter)
    answer: Answer | None = None
    failure: str | None = None

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to ask."""
        return self.answer is not None or self.failure is not None

    def take(self, raw: str, usage: Mapping[str, int]) -> None:
        """Read a reply: it becomes the answer, or a complaint, or with no retry left a failure.

        A reply that only breaks a rule becomes the answer when no retry is left: the metric counts what it broke.
        """
        self.usage.update(usage)
        said = (*(reply for reply, _ in self.unusable), raw)
        try:
            self.answer = Answer(self.question.read(raw), said, dict(self.usage))
        except replies.UnusableReply as problem:
            self.unusable.append((raw, str(problem)))
            if len(self.unusable) <= self.retries:
                return
            if problem.readable is not None:
                self.answer = Answer(problem.readable, said, dict(self.usage))
            else:
                self.failure = UNPARSEABLE


class LanguageModelJudge(ABC):
    """Splits reports and judges entailment by asking a language model.

    Attributes:
        name, prompt_hash: see ``Judge``.
        allowances: datasets that the user allowed to leave the machine, and under which terms; belongs in the results.
        counters: since the judge was made: ``asked`` queries and reports, ``cached`` questions, ``calls``, ``retried`` replies,
            ``failed`` questions, and tokens as the server counts them.
    """

    def __init__(
        self,
        name: str,
        model: str,
        *,
        settings: Mapping[str, Any],
        retries: int,
        batch: int,
        cache: Path | str | None,
        prompt_folder: Path | str | None,
    ) -> None:
        """Keep what shapes the answers.

        Args:
            name: what results call the judge.
            model: the model's name or path, part of every key.
            settings: all else that shapes answers; plain JSON values, part of every key.
            retries: how many unusable replies to one question are complained of.
            batch: hypotheses per question; 1 is RadFact's way, more is cheaper and must show its fidelity (``benchmarks``).
            cache: the file of answers; ``None`` for none.
            prompt_folder: the user's prompts instead of ours, see ``prompts.load``.
        """
        if batch < 1 or retries < 0:
            raise ValueError(f"needs batch >= 1 and retries >= 0, got {batch} and {retries}")
        self.name, self.model, self.retries, self.batch = name, model, retries, batch
        self.prompt_folder = Path(prompt_folder) if prompt_folder is not None else None
        self.cache = Path(cache) if cache is not None else None
        self.allowances: dict[str, str] = {}
        self.counters: Counter[str] = Counter()
        self._shape = {"form": replies.FORM_VERSION, "model": model, "settings": dict(settings), "retries": retries, "batch": batch}
        shape = {**self._shape, "prompts": self._prompt_hashes()}
        self.prompt_hash = hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()

    @abstractmethod
    def admit(self, policy: PrivacyPolicy, *, dataset: str) -> None:
        """See ``Judge``."""

    def entail(self, queries: Sequence[EntailmentQuery]) -> list[Verdict]:
        """One verdict per query; raises as ``complete`` of the subclass does, with every answer so far in the cache."""
        if self.batch > 1:
            return self._entail_in_batches(queries)
        asked = {query: self._single(query) for query in _by_reference(queries)}
        answers = self._ask(list(asked.values()), asked=len(queries))
        return [_verdict(answers[asked[query]], query.hypothesis) for query in queries]

    def split(self, reports: Sequence[str], *, language: str = "en") -> list[SplitReport]:
        """One split report per report; raises as ``entail``."""
        prompt = self._prompt("split", language)
        asked = {report: Question(prompt, report, replies.read_sentences) for report in reports}
        answers = self._ask(list(asked.values()), asked=len(reports))
        found = [answers[asked[report]] for report in reports]
        return [replies.split_of(e.answer.content) if e.answer else SplitReport(failure=e.failure) for e in found]

    def ask(self, prompts: Sequence[str], *, usable: Callable[[str], bool] | None = None) -> list[str | None]:
        """One reply per prompt, see ``ChatJudge``; raises as ``entail``."""
        asked = {text: Question(CHAT, text, partial(replies.read_text, usable=usable)) for text in prompts}
        answers = self._ask(list(asked.values()), asked=len(prompts))
        return [_text(answers[asked[text]]) for text in prompts]

    @abstractmethod
    def complete(self, exchanges: Sequence[Exchange], finished: Callable[[Exchange], None]) -> None:
        """Ask the model until every exchange is finished; ``finished`` is called with each as soon as it is."""

    def _entail_in_batches(self, queries: Sequence[EntailmentQuery]) -> list[Verdict]:
        groups: dict[tuple[tuple[str, ...], str], list[str]] = {}
        for query in dict.fromkeys(queries):
            groups.setdefault((query.reference, query.language), []).append(query.hypothesis)
        asked: dict[EntailmentQuery, tuple[Question, int]] = {}
        for (reference, language), hypotheses in groups.items():
            for start in range(0, len(hypotheses), self.batch):
                some = hypotheses[start : start + self.batch]
                read = partial(replies.read_verdicts, reference=reference, hypotheses=some)
                question = Question(self._prompt("entailment_batch", language), prompts.batch_question(reference, some), read)
                asked |= {EntailmentQuery(reference, text, language): (question, place) for place, text in enumerate(some)}
        answers = self._ask([question for question, _ in asked.values()], asked=len(queries))
        verdicts = {query: _verdict(answers[question], query.hypothesis, place) for query, (question, place) in asked.items()}
        return [verdicts[query] for query in queries]

    def _single(self, query: EntailmentQuery) -> Question:
        read = partial(replies.read_verdict, reference=query.reference)
        return Question(self._prompt("entailment", query.language), prompts.entailment_question(query.reference, query.hypothesis), read)

    def _prompt(self, task: Task, language: str) -> Prompt:
        return prompts.load(task, language, self.prompt_folder)

    def _prompt_hashes(self) -> list[str]:
        task: Task = "entailment_batch" if self.batch > 1 else "entailment"
        if self.prompt_folder is None:
            return [self._prompt(t, language).hash for t in (task, "split") for language in prompts.LANGUAGES]
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(self.prompt_folder.glob("*.yaml"))]

    def _ask(self, questions: Sequence[Question], *, asked: int) -> dict[Question, Exchange]:
        """Every question with its answer or failure: from the cache, or from the model and then kept in the cache."""
        distinct = list(dict.fromkeys(questions))
        self.counters["asked"] += asked
        exchanges = {question: Exchange(question, self._key(question), self.retries) for question in distinct}
        cache = AnswerCache(self.cache) if self.cache is not None else None
        try:
            known = cache.find([exchange.key for exchange in exchanges.values()]) if cache else {}
            for exchange in exchanges.values():
                exchange.answer = known.get(exchange.key)
            self.counters["cached"] += len(known)
            if waiting := [exchange for exchange in exchanges.values() if not exchange.finished]:
                self.complete(waiting, partial(self._finish, cache))
        finally:
            if cache:
                cache.close()
        return exchanges

    def _finish(self, cache: AnswerCache | None, exchange: Exchange) -> None:
        self.counters.update(exchange.usage)
        self.counters["retried"] += max(0, len(exchange.unusable) - (exchange.failure is not None))
        self.counters["failed"] += exchange.failure is not None
        if cache and exchange.answer is not None:
            question = exchange.question
            cache.put(exchange.key, exchange.answer, model=self.model, prompt_hash=question.prompt.hash, question=question.text)

    def _key(self, question: Question) -> str:
        shape = {**self._shape, "prompt": question.prompt.hash, "question": question.text}
        return hashlib.sha256(json.dumps(shape, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _by_reference(queries: Iterable[EntailmentQuery]) -> list[EntailmentQuery]:
    """Distinct queries, those of one reference together, in order of first appearance."""
    groups: dict[tuple[tuple[str, ...], str], list[EntailmentQuery]] = {}
    for query in dict.fromkeys(queries):
        groups.setdefault((query.reference, query.language), []).append(query)
    return [query for group in groups.values() for query in group]


def _verdict(exchange: Exchange, hypothesis: str, place: int | None = None) -> Verdict:
    """The verdict of an exchange, or the one at ``place`` of a batch; a failure carries the last reply as its explanation."""
    if exchange.answer is None:
        last = exchange.unusable[-1][0] if exchange.unusable else ""
        return Verdict("not_entailment", failure=exchange.failure, explanation=last)
    content = exchange.answer.content
    return replies.verdict_of(content if place is None else content["verdicts"][place], hypothesis)


def _text(exchange: Exchange) -> str | None:
    """The reply to a chat; where none was usable the last one, ``None`` where there is none."""
    if exchange.answer is not None:
        return str(exchange.answer.content["text"])
    return exchange.unusable[-1][0] if exchange.unusable else None
