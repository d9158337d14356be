"""Recorded answers: a judge that answers from a JSON table, and a wrapper that records what any judge answers into such a table.

    {"nli": [{"reference": [phrases], "hypothesis": str, "status": "entailment" | "not_entailment", "evidence": [str]}],
     "report_to_phrases": [{"report": str, "sentence_list": [{"orig": str, "new": [str]}]}],
     "chat": [{"prompt": str, "reply": str | null}]}

An entry may carry ``raw_reply``, an answer that could not be parsed, word for word; it needs no other answer and counts as a failure. An
entry of ``nli`` may carry ``reply_phrase``, the hypothesis as the judge repeated it. ``failure`` and ``explanation`` say what they say in a
``Verdict``; an entry with a ``language`` answers questions in it alone. ``chat`` holds replies to prompts of a metric's own, ``null`` where
the judge had none. A question that is not in the table is an error, never a guess.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from medvl.judges.judge import CannotChat, ChatJudge, EntailmentQuery, Judge, SplitReport, SplitSentence, Status, Verdict
from medvl.records import PrivacyPolicy
from medvl.runtime.errors import InvalidValue, MissingFile, UserError
from medvl.runtime.files import write_json

UNPARSEABLE = "unparseable"
ANY = ""  # the language of entries that name none


class MissingAnswer(UserError):
    """A question that the table of recorded answers does not hold."""


class RecordedJudge:
    """Answers from a table; nothing leaves the machine.

    Raises:
        MissingFile, InvalidValue: if the file is not there or is not such a table; two different answers to one question are invalid.
    """

    def __init__(self, table: Path | str | Mapping[str, Any]) -> None:
        where = str(table) if isinstance(table, (Path, str)) else "recorded answers"
        content = _read(Path(table)) if isinstance(table, (Path, str)) else table
        self.name = "recorded"
        self.prompt_hash = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        self._verdicts: dict[EntailmentQuery, Verdict] = {}
        self._splits: dict[tuple[str, str], SplitReport] = {}
        self._replies: dict[str, str | None] = {}
        for number, entry in enumerate(_entries(content, "nli", where)):
            _add(self._verdicts, _query, _verdict, entry, where, f"nli entry {number}")
        for number, entry in enumerate(_entries(content, "report_to_phrases", where)):
            _add(self._splits, _report, _split, entry, where, f"report_to_phrases entry {number}")
        for number, entry in enumerate(_entries(content, "chat", where)):
            _add(self._replies, _prompt, _reply, entry, where, f"chat entry {number}")

    def admit(self, policy: PrivacyPolicy, *, dataset: str) -> None:
        """Any policy: the answers are at hand."""

    def entail(self, queries: Sequence[EntailmentQuery]) -> list[Verdict]:
        """The recorded verdicts.

        Raises:
            MissingAnswer: if there is none, saying for how many questions.
        """
        found = [self._verdicts.get(query) or self._verdicts.get(replace(query, language=ANY)) for query in queries]
        missing = [query for query, verdict in zip(queries, found, strict=True) if verdict is None]
        if missing:
            raise MissingAnswer(f"{len(missing)} of {len(queries)} entailment questions have no recorded answer ({_shape(missing[0])})")
        return [verdict for verdict in found if verdict is not None]

    def split(self, reports: Sequence[str], *, language: str = "en") -> list[SplitReport]:
        """The recorded split reports; raises as ``entail``."""
        found = [self._splits.get((report, language)) or self._splits.get((report, ANY)) for report in reports]
        missing = [report for report, answer in zip(reports, found, strict=True) if answer is None]
        if missing:
            what = f"the first has {len(missing[0])} characters, {language}"
            raise MissingAnswer(f"{len(missing)} of {len(reports)} reports have no recorded phrases ({what})")
        return [answer for answer in found if answer is not None]

    def ask(self, prompts: Sequence[str], *, usable: Callable[[str], bool] | None = None) -> list[str | None]:
        """The recorded replies, usable or not.

        Raises:
            CannotChat: if the table holds none at all.
            MissingAnswer: as ``entail``.
        """
        if not self._replies:
            raise CannotChat(self.name)
        if missing := [prompt for prompt in prompts if prompt not in self._replies]:
            what = f"the first has {len(missing[0])} characters"
            raise MissingAnswer(f"{len(missing)} of {len(prompts)} prompts have no recorded reply ({what})")
        return [self._replies[prompt] for prompt in prompts]


class Recorder:
    """A judge that asks another and keeps every answer; ``write`` leaves the table that ``RecordedJudge`` reads."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.name, self.prompt_hash = judge.name, judge.prompt_hash
        self._nli: dict[EntailmentQuery, Verdict] = {}
        self._reports: dict[tuple[str, str], SplitReport] = {}
        self._chat: dict[str, str | None] = {}

    @property
    def allowances(self) -> Mapping[str, str]:
        """What the recorded judge was allowed, see ``LanguageModelJudge``."""
        return getattr(self.judge, "allowances", {})

    def admit(self, policy: PrivacyPolicy, *, dataset: str) -> None:
        """As the judge that is recorded."""
        self.judge.admit(policy, dataset=dataset)

    def entail(self, queries: Sequence[EntailmentQuery]) -> list[Verdict]:
        """The judge's verdicts, kept."""
        verdicts = self.judge.entail(queries)
        self._nli.update(zip(queries, verdicts, strict=True))
        return verdicts

    def split(self, reports: Sequence[str], *, language: str = "en") -> list[SplitReport]:
        """The judge's split reports, kept."""
        answers = self.judge.split(reports, language=language)
        self._reports.update({(report, language): answer for report, answer in zip(reports, answers, strict=True)})
        return answers

    def ask(self, prompts: Sequence[str], *, usable: Callable[[str], bool] | None = None) -> list[str | None]:
        """The judge's replies, kept.

        Raises:
            CannotChat: if the judge has none to give.
        """
        if not isinstance(self.judge, ChatJudge):
            raise CannotChat(self.name)
        replies = self.judge.ask(prompts, usable=usable)
        self._chat.update(zip(prompts, replies, strict=True))
        return replies

    def table(self) -> dict[str, Any]:
        """All answers so far, in the order in which they were first asked for."""
        return {
            "nli": [_nli_entry(query, verdict) for query, verdict in self._nli.items()],
            "report_to_phrases": [_report_entry(*key, answer) for key, answer in self._reports.items()],
            "chat": [{"prompt": prompt, "reply": reply} for prompt, reply in self._chat.items()],
        }

    def write(self, path: Path | str) -> None:
        """Write the table, atomically."""
        write_json(Path(path), self.table())


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError as error:
        raise MissingFile(path) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidValue(path, "document", f"is not readable JSON ({error})") from error


def _entries(content: Any, name: str, where: str) -> list[Any]:
    entries = content.get(name, []) if isinstance(content, Mapping) else None
    if not isinstance(entries, (list, tuple)):
        raise InvalidValue(where, name, "is not a list of entries")
    return list(entries)


def _add(answers: dict[Any, Any], question: Callable[[Any], Any], answer: Callable[[Any], Any], entry: Any, where: str, place: str) -> None:
    try:
        asked, answered = question(entry), answer(entry)
    except KeyError as error:
        raise InvalidValue(where, place, f"has no {error.args[0]!r}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidValue(where, place, str(error)) from error
    if answers.setdefault(asked, answered) != answered:
        raise InvalidValue(where, place, "answers a question otherwise than an earlier entry")


def _query(entry: Mapping[str, Any]) -> EntailmentQuery:
    return EntailmentQuery(_texts(entry["reference"]), _text(entry["hypothesis"]), entry.get("language", ANY))


def _report(entry: Mapping[str, Any]) -> tuple[str, str]:
    return _text(entry["report"]), entry.get("language", ANY)


def _prompt(entry: Mapping[str, Any]) -> str:
    return _text(entry["prompt"])


def _reply(entry: Mapping[str, Any]) -> str | None:
    return None if entry["reply"] is None else _text(entry["reply"])


def _verdict(entry: Mapping[str, Any]) -> Verdict:
    if "raw_reply" in entry:
        return Verdict("not_entailment", failure=UNPARSEABLE, explanation=_text(entry["raw_reply"]))
    if entry["status"] not in get_args(Status):
        raise ValueError(f"the status is not one of {', '.join(get_args(Status))}")
    reply = entry.get("reply_phrase")
    return Verdict(
        entry["status"],
        _texts(entry.get("evidence") or ()),
        None if reply in (None, entry["hypothesis"]) else _text(reply),
        entry.get("failure"),
        entry.get("explanation", ""),
    )


def _split(entry: Mapping[str, Any]) -> SplitReport:
    if "raw_reply" in entry:
        return SplitReport(failure=UNPARSEABLE)
    if "failure" in entry:
        return SplitReport(failure=_text(entry["failure"]))
    return SplitReport(tuple(SplitSentence(_text(s["orig"]), _texts(s["new"])) for s in entry["sentence_list"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"needs a text, got {type(value).__name__}")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if isinstance(values, str):
        raise ValueError("needs a list of texts, got a single one")
    return tuple(map(_text, values))


def _nli_entry(query: EntailmentQuery, verdict: Verdict) -> dict[str, Any]:
    entry: dict[str, Any] = {"reference": list(query.reference), "hypothesis": query.hypothesis}
    entry |= {"status": verdict.status, "evidence": list(verdict.evidence)}
    further = {"reply_phrase": verdict.reply_phrase, "failure": verdict.failure, "explanation": verdict.explanation}
    return entry | {"language": query.language} | {name: value for name, value in further.items() if value}


def _report_entry(report: str, language: str, answer: SplitReport) -> dict[str, Any]:
    entry: dict[str, Any] = {"report": report, "language": language}
    if answer.failure is not None:
        return entry | {"failure": answer.failure}
    return entry | {"sentence_list": [{"orig": s.orig, "new": list(s.new)} for s in answer.sentences]}


def _shape(query: EntailmentQuery) -> str:
    return f"the first has {len(query.reference)} reference phrases and a hypothesis of {len(query.hypothesis)} characters"
