"""Answers that have been paid for once: a SQLite file that every run may read and write, so that to run again is to resume.

A row's key is the SHA-256 of everything that shapes the answer: model and revision, parameters, prompt, form of the reply, question. Its
value is each raw reply, what was read from the last of them, and the tokens used. Every answer is committed as it comes (write-ahead log),
so that whatever stops the process loses at most the calls under way. The file holds report text: it is readable by its owner alone, and
is to be treated as the reports are.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medvl.runtime.errors import InvalidValue

KEYS_AT_ONCE = 500  # SQLite's oldest limit on the parameters of a statement is 999

TABLE = """CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, prompt_hash TEXT NOT NULL, question TEXT NOT NULL,
    replies TEXT NOT NULL, answer TEXT NOT NULL, usage TEXT NOT NULL,
    answered_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read from a model's replies to one question.

    Attributes:
        content: plain JSON values, in the form that the question asked for.
        replies: every reply, word for word; the last is the one that was read.
        usage: tokens, summed over the replies.
    """

    content: dict[str, Any]
    replies: tuple[str, ...] = ()
    usage: dict[str, int] = field(default_factory=dict)


class AnswerCache:
    """A table of answers by key. Processes may share the file; one thread at a time may use this object.

    Args:
        path: the SQLite file; made when missing.

    Raises:
        InvalidValue: if the file is there and is not such a table.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        self._connection = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(TABLE)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise InvalidValue(self.path, "cache", f"not a cache of answers ({error}); name another file or delete this one") from error

    def find(self, keys: Sequence[str]) -> dict[str, Answer]:
        """The answers at hand, by key."""
        found: dict[str, Answer] = {}
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[start : start + KEYS_AT_ONCE]
            places = ",".join("?" * len(some))
            rows = self._connection.execute(f"SELECT key, answer, replies, usage FROM answers WHERE key IN ({places})", some)
            for key, content, replies, usage in rows:
                found[key] = Answer(json.loads(content), tuple(json.loads(replies)), json.loads(usage))
        return found

    def put(self, key: str, answer: Answer, *, model: str, prompt_hash: str, question: str) -> None:
        """Write one answer through to the file; an earlier one under the same key is replaced."""
        values = [json.dumps(value, ensure_ascii=False) for value in (answer.replies, answer.content, answer.usage)]
        self._connection.execute(
            "INSERT OR REPLACE INTO answers (key, model, prompt_hash, question, replies, answer, usage) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (key, model, prompt_hash, question, *values),
        )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
