"""Prompts: the words before the question, read from YAML and rendered once to bytes that never change.

A conversation is a system message, invented examples as pairs of question and answer, and the question. All but the question is the same
for every call, so it is rendered to bytes when the prompt is loaded and a server with a prefix cache computes it once; in the question the
reference comes before the hypothesis, so that the questions about one reference share that as well. Words and examples are our own, in
English and Spanish; a folder of the user's may replace them (RadFact's own, say, in this form). A metric that brings its own prompt
(``CHAT``) has nothing before it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from medvl.runtime.errors import InvalidValue, MissingFile

Task = Literal["entailment", "entailment_batch", "split", "chat"]
LANGUAGES = ("en", "es")


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """All that is said before a question.

    Attributes:
        task: what is asked.
        system: the system message; empty for none.
        examples: pairs of question and answer.
        retry: what is said of an answer that could not be used; ``{problem}`` stands for why.
        messages: system message and examples as messages of a chat.
        rendered: the same as the bytes of a JSON list that is left open.
        hash: SHA-256 of all of it.
    """

    task: Task
    system: str
    examples: tuple[tuple[str, str], ...]
    retry: str
    messages: tuple[dict[str, str], ...] = field(init=False)
    rendered: bytes = field(init=False)
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        pairs = [message for question, answer in self.examples for message in (_says("user", question), _says("assistant", answer))]
        messages = (*([_says("system", self.system)] if self.system else []), *pairs)
        rendered = json.dumps(messages, ensure_ascii=False).encode()
        object.__setattr__(self, "messages", messages)
        object.__setattr__(self, "rendered", rendered.removesuffix(b"]"))
        object.__setattr__(self, "hash", hashlib.sha256(rendered + self.retry.encode()).hexdigest())

    def conversation(self, question: str, unusable: Sequence[tuple[str, str]] = ()) -> list[dict[str, str]]:
        """The messages of a call: this prompt, the question, and each unusable reply with what is wrong with it."""
        return [*self.messages, *self._last(question, unusable)]

    def conversation_bytes(self, question: str, unusable: Sequence[tuple[str, str]] = ()) -> bytes:
        """``conversation`` as JSON; only what follows the examples is rendered."""
        last = json.dumps(self._last(question, unusable), ensure_ascii=False).encode().removeprefix(b"[")
        return self.rendered + (b", " if self.messages else b"") + last

    def _last(self, question: str, unusable: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
        said = [_says("user", question)]
        for reply, problem in unusable:
            said += [_says("assistant", reply), _says("user", self.retry.replace("{problem}", problem))]
        return said


@cache
def load(task: Task, language: str, folder: Path | None = None) -> Prompt:
    """The prompt of a task in a language.

    Args:
        task: what is asked.
        language: ``en`` or ``es``, or any that ``folder`` has files for.
        folder: files ``entailment.<language>.yaml`` and ``split.<language>.yaml`` in the form of ours, instead of ours.

    Raises:
        MissingFile: if there is no prompt in that language.
        InvalidValue: naming the file and the key, if something is missing in it.
    """
    import yaml

    name = f"{task.partition('_')[0]}.{language}.yaml"
    path = Path(str(files("medvl.judges"))) / "prompt_texts" / name if folder is None else Path(folder) / name
    if not path.is_file():
        raise MissingFile(path, f"judges speak {', '.join(LANGUAGES)}; give a folder with prompts for others")
    try:
        return _prompt(task, yaml.safe_load(path.read_text(encoding="utf-8")))
    except KeyError as error:
        raise InvalidValue(path, "prompt", f"the key {error} is missing") from error
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        raise InvalidValue(path, "prompt", f"not in the form of a prompt ({type(error).__name__})") from error


def entailment_question(reference: Sequence[str], hypothesis: str) -> str:
    """The question whether one phrase follows."""
    return json.dumps({"reference": list(reference), "hypothesis": hypothesis}, ensure_ascii=False)


def batch_question(reference: Sequence[str], hypotheses: Sequence[str]) -> str:
    """The question which of several phrases follow."""
    return json.dumps({"reference": list(reference), "hypotheses": list(hypotheses)}, ensure_ascii=False)


def _prompt(task: Task, content: Mapping[str, Any]) -> Prompt:
    form = "batch" if task == "entailment_batch" else "single"
    system = f"{content['system'].strip()}\n\n{content[form].strip()}"
    pairs = [pair for example in content["examples"] for pair in _pairs(task, example)]
    return Prompt(task, system, tuple(pairs), content["retry"].strip())


def _pairs(task: Task, example: Mapping[str, Any]) -> list[tuple[str, str]]:
    if task == "split":
        return [(example["report"], json.dumps({"sentence_list": example["sentences"]}, ensure_ascii=False))]
    reference, verdicts = example["reference"], example["hypotheses"]
    if task == "entailment_batch":
        answer = json.dumps({"verdicts": verdicts}, ensure_ascii=False)
        return [(batch_question(reference, [verdict["phrase"] for verdict in verdicts]), answer)]
    return [(entailment_question(reference, verdict["phrase"]), json.dumps(verdict, ensure_ascii=False)) for verdict in verdicts]


def _says(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


CHAT = Prompt("chat", system="", examples=(), retry="Your answer could not be used: {problem}. Answer again, in the form asked for.")
"""Before a prompt that brings everything itself: nothing."""
