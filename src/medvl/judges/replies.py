"""What a language model replied → plain values in the form that was asked for, or what is wrong with it in words that it can mend.

A reply is one JSON object, or YAML, which small models prefer; a fence of backticks and the thoughts of a reasoning model are taken off.

    entailment        {"phrase": str, "evidence": [str], "status": "entailment" | "not_entailment"}
    entailment_batch  {"verdicts": [entailment, …]}, one for each hypothesis in order
    split             {"sentence_list": [{"orig": str, "new": [str]}]}
    chat              any text, in the form that the prompt's own metric reads

The forms are those of RadFact (Bannur et al. 2024). An entailment whose evidence is not in the reference breaks the rules, though it can
be read: it is complained of, and kept for the metric to count if the model insists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from medvl.judges.judge import SplitReport, SplitSentence, Status, Verdict

FORM_VERSION = 1  # part of every cached answer's key: raise it when what is read from a reply changes

FENCE = re.compile(r"```(?:json|ya?ml)?\s*\n(.*?)```", re.DOTALL)
NOT_A_WORD = re.compile(r"\W+")

_STRINGS = {"type": "array", "items": {"type": "string"}}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


_VERDICT = _object(phrase={"type": "string"}, evidence=_STRINGS, status={"type": "string", "enum": list(get_args(Status))})
SCHEMAS: Mapping[str, dict[str, Any]] = {
    "entailment": _VERDICT,
    "entailment_batch": _object(verdicts={"type": "array", "items": _VERDICT}),
    "split": _object(sentence_list={"type": "array", "items": _object(orig={"type": "string"}, new=_STRINGS)}),
}


class UnusableReply(Exception):
    """A reply that cannot be used as it is; the message says why, to the model.

    Attributes:
        readable: the values, where they could be read and only break a rule.
    """

    def __init__(self, problem: str, readable: dict[str, Any] | None = None) -> None:
        super().__init__(problem)
        self.readable = readable


def read_verdict(raw: str, reference: Sequence[str]) -> dict[str, Any]:
    """An entailment's values.

    Raises:
        UnusableReply: if it is not of the form, or entails without evidence, or with none that the reference holds.
    """
    content = _verdict(_object_in(raw))
    _check_evidence(content, content, reference)
    return content


def read_verdicts(raw: str, reference: Sequence[str], hypotheses: Sequence[str]) -> dict[str, Any]:
    """The values of one verdict per hypothesis, in order.

    Raises:
        UnusableReply: if there are more or fewer, or any is unusable.
    """
    verdicts = _object_in(raw).get("verdicts")
    if not isinstance(verdicts, list) or len(verdicts) != len(hypotheses):
        raise UnusableReply(f'"verdicts" must be a list of {len(hypotheses)} objects, one for each hypothesis in order')
    content = {"verdicts": [_verdict(value) for value in verdicts]}
    for value in content["verdicts"]:
        _check_evidence(value, content, reference)
    return content


def read_sentences(raw: str) -> dict[str, Any]:
    """A split report's values.

    Raises:
        UnusableReply: if it is not of the form.
    """
    sentences = _object_in(raw).get("sentence_list")
    if not isinstance(sentences, list):
        raise UnusableReply('"sentence_list" must be a list of objects')
    content = []
    for sentence in sentences:
        if not isinstance(sentence, dict) or not isinstance(sentence.get("orig"), str):
            raise UnusableReply('each item of "sentence_list" needs "orig", the sentence as it stands')
        content.append({"orig": sentence["orig"], "new": _strings(sentence.get("new"), "new")})
    return {"sentence_list": content}


def read_text(raw: str, usable: Callable[[str], bool] | None) -> dict[str, Any]:
    """The text of a chat.

    Raises:
        UnusableReply: if it is not usable.
    """
    if usable is not None and not usable(raw):
        raise UnusableReply("it is not in the form asked for")
    return {"text": raw}


def verdict_of(content: Mapping[str, Any], hypothesis: str) -> Verdict:
    """A verdict from an entailment's values."""
    rewritten = content["phrase"] if content["phrase"] != hypothesis else None
    return Verdict(content["status"], tuple(content["evidence"]), rewritten)


def split_of(content: Mapping[str, Any]) -> SplitReport:
    """A split report from its values."""
    return SplitReport(tuple(SplitSentence(sentence["orig"], tuple(sentence["new"])) for sentence in content["sentence_list"]))


def _object_in(raw: str) -> dict[str, Any]:
    """The one object in a reply."""
    text = raw.rpartition("</think>")[2].strip()
    fenced = FENCE.search(text)
    text = fenced[1] if fenced else text
    braces = text[text.find("{") : text.rfind("}") + 1]
    for candidate in (text, braces):
        try:
            value = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    value = _yaml(text)
    if not isinstance(value, dict):
        raise UnusableReply("it is not a JSON object")
    return value


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # a malformed date is a ValueError
        return None


def _verdict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("phrase"), str):
        raise UnusableReply('"phrase" must be the hypothesis, word for word')
    if value.get("status") not in get_args(Status):
        raise UnusableReply('"status" must be "entailment" or "not_entailment"')
    return {"phrase": value["phrase"], "evidence": _strings(value.get("evidence"), "evidence"), "status": value["status"]}


def _check_evidence(verdict: Mapping[str, Any], content: dict[str, Any], reference: Sequence[str]) -> None:
    if verdict["status"] != "entailment":
        return
    if not verdict["evidence"]:
        raise UnusableReply('an entailment needs "evidence": the phrases of the reference that it follows from', content)
    known = set(map(_words, reference))
    if not any(_words(phrase) in known for phrase in verdict["evidence"]):
        raise UnusableReply('"evidence" must hold phrases of the reference, word for word', content)


def _words(phrase: str) -> str:
    """A phrase without case, punctuation and space: what a copy may differ in and be a copy still."""
    return NOT_A_WORD.sub("", phrase.casefold())


def _strings(value: Any, name: str) -> list[str]:
    values = [] if value is None else value
    if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
        raise UnusableReply(f'"{name}" must be a list of strings')
    return values
