"""Named tokenisers: the same 20 pairs of reports have a BLEU-4 between 0.43 and 0.48 by the choice of tokeniser alone, so each has a name.

    whitespace             split at white space, nothing else: what ``pycocoevalcap``'s scorers and RadEval do with the text they are given
    lower                  the same after lower-casing
    words                  lower case, runs of word characters; punctuation is dropped
    words_and_punctuation  lower case, each punctuation mark a token of its own
    radcliq                lower case, full stops set apart, split at each space (two spaces give an empty token): RadCliQ, ReXrank
    r2gen                  R2Gen's cleaning of MIMIC-CXR reports (Chen et al. 2020), without its cut to the training vocabulary
    13a, 13a_lower         mteval-v13a, the default of sacrebleu, and its lower-cased form
    coco_ptb_like          ours, in Python, after the Stanford Penn Treebank tokeniser of the COCO caption evaluation, punctuation removed
    ptb                    the Stanford tokeniser itself, through the jar that ``pycocoevalcap`` brings; needs Java

``coco_ptb_like`` departs from ``ptb`` in rare abbreviations and symbols; on radiology reports the tokens are the same (see its tests).
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Literal

from medvl.metrics.scores import function_name
from medvl.runtime.errors import UserError, did_you_mean

TokenizerName = Literal[
    "whitespace", "lower", "words", "words_and_punctuation", "radcliq", "r2gen", "13a", "13a_lower", "coco_ptb_like", "ptb"
]
Tokenizer = TokenizerName | Callable[[str], list[str]]


def tokenize(texts: Sequence[str], tokenizer: Tokenizer) -> list[list[str]]:
    """The tokens of each text.

    Raises:
        UserError: if the name is unknown, or it is ``ptb`` and Java or the jar is absent.
    """
    if callable(tokenizer):
        return [tokenizer(text) for text in texts]
    if tokenizer == "ptb":
        return _stanford(texts)
    if tokenizer not in _TOKENIZERS:
        raise UserError(f"there is no tokenizer {tokenizer!r}{did_you_mean(tokenizer, [*_TOKENIZERS, 'ptb'])}")
    split = _TOKENIZERS[tokenizer]
    return [split(text) for text in texts]


def tokenizer_name(tokenizer: Tokenizer) -> str:
    """What results call it: its name, or that of the function."""
    return function_name(tokenizer) if callable(tokenizer) else tokenizer


def java_resource(path: str) -> Path:
    """A file of ``pycocoevalcap``, for what runs in Java.

    Raises:
        UserError: if Java or the package is absent.
    """
    if which("java") is None:
        raise UserError("this needs Java, and there is no 'java' on the path")
    package = find_spec("pycocoevalcap")
    if package is None or not package.submodule_search_locations:
        raise UserError("this needs the jars of pycocoevalcap: pip install pycocoevalcap")
    return Path(next(iter(package.submodule_search_locations))) / path


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _words_and_punctuation(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


def _radcliq(text: str) -> list[str]:
    return text.lower().replace(".", " .").split(" ")


# R2Gen removes these from each sentence. Its class also names a range from the colon to the bracket, which takes < = > @ along.
_R2GEN_REMOVED = re.compile(r"[.,?;*!%^&_+():<=>@\[\]{}\"/\\']")


def _r2gen(text: str) -> list[str]:
    """Sentences in lower case without punctuation (hyphens stay), without list numbers up to five, each closed by a full stop."""
    line = re.sub(r"\.{2,}", ".", re.sub(r" {2,}", " ", re.sub(r"__+", "_", text.replace("\n", " ")))).replace("1. ", "")
    for before in (". ", " "):
        for number in "2345":
            line = line.replace(f"{before}{number}. ", ". ")
    sentences = [_R2GEN_REMOVED.sub("", sentence.strip()) for sentence in line.strip().lower().split(". ")]
    return f"{' . '.join(sentences)} .".split()


_13A_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_13A_STEPS = (
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),  # ASCII punctuation except . , - '
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),  # a point or comma not after a digit
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),  # … or not before one
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),  # a dash after a digit
)


def _mteval_13a(text: str) -> list[str]:
    line = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in _13A_ENTITIES:
        line = line.replace(entity, character)
    line = f" {line} "
    for pattern, replacement in _13A_STEPS:
        line = pattern.sub(replacement, line)
    return line.split()


# Abbreviations that keep their point in running text; chains of single letters (p.m., i.e.) are known by their shape.
_ABBREVIATIONS = "dr|drs|mr|mrs|ms|prof|st|jr|sr|vs|etc|ft|inc|corp|ltd|co|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec"
_PTB_CLITICS = re.compile(r"(?<=\w)(n't|'(?:s|m|d|ll|re|ve))(?!\w)|(?<=\bcan)(not\b)")
_PTB_TOKEN = re.compile(
    rf"""
    \b(?:[a-z]\.){{2,}}                                 # p.m.  i.e.
  | \b(?:{_ABBREVIATIONS})\.(?=\s|$)                    # dr.  vs.
  | \bno\.(?=\s\d)                                      # no. 3
  | \d+\.\d+(?=[a-z])                                   # the number of 3.4cm
  | n't\b | '(?:s|m|d|ll|re|ve)\b
  | [^\W_]\w*(?:(?:[./:-]|(?<=\d),(?=\d\d\d\b))\w+)*    # words, numbers, 4-mm, ap/lateral, 10,000
  | _+ | \.{{3}} | -{{2,3}} | \*+ | \S
    """,
    re.VERBOSE,
)
_PTB_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-", '"': "''"}
# The list of pycocoevalcap names brackets in upper case, so that the lower-cased ones stay, as they do there.
_PTB_REMOVED = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])


def _coco_ptb_like(text: str) -> list[str]:
    apart = _PTB_CLITICS.sub(r" \1\2", text.lower())
    tokens = (_PTB_BRACKETS.get(token, token) for token in _PTB_TOKEN.findall(apart))
    return [token for token in tokens if token not in _PTB_REMOVED]


def _stanford(texts: Sequence[str]) -> list[list[str]]:
    """The tokens of Stanford's PTBTokenizer, punctuation removed, as ``pycocoevalcap`` prepares captions."""
    jar = java_resource("tokenizer/stanford-corenlp-3.4.1.jar")
    lines = [" ".join(text.split("\n")) for text in texts]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "reports.txt"
        source.write_text("\n".join(lines), encoding="utf-8")
        command = ["java", "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", str(source)]
        done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8")
    if done.returncode:
        raise UserError(f"Stanford's tokenizer failed: {done.stderr.strip().splitlines()[-1:]}")
    tokenized = done.stdout.split("\n")
    return [[token for token in line.rstrip().split(" ") if token and token not in _PTB_REMOVED] for line in tokenized[: len(texts)]]


_TOKENIZERS: dict[str, Callable[[str], list[str]]] = {
    "whitespace": str.split,
    "lower": lambda text: text.lower().split(),
    "words": _words,
    "words_and_punctuation": _words_and_punctuation,
    "radcliq": _radcliq,
    "r2gen": _r2gen,
    "13a": _mteval_13a,
    "13a_lower": lambda text: _mteval_13a(text.lower()),
    "coco_ptb_like": _coco_ptb_like,
}
