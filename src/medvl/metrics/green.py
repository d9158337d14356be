"""GREEN-style scoring (Ostmeier et al. 2024): matched findings against clinically significant errors, counted by a chat model.

    GREEN = matched / (matched + Σ significant errors (a) … (f)),   0 if nothing matched

so that two normal reports in which nothing is counted as matched score 0. Insignificant errors do not enter. The formula and the layout of
the reply are GREEN's; the prompt is ours and the chat model is the caller's, so the number is not GREEN's own, which needs its model and
its prompt.

Departure: the released parser reads a reply without the section of matched findings as 0; here it is a failure, counted and left out. The
letters (a) … (f) and the numbers (1) … (6) are read, as there, and a section that begins with "No" is 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from numpy.typing import ArrayLike

from medvl.metrics.error_counts import CATEGORIES, Chat, ErrorCounts, ask_for_counts, chat_protocol, count_columns, error_rates
from medvl.metrics.scores import Scores, paired, scores

MAX_WORDS = 300  # of each report in the prompt, as GREEN cuts them
_LETTERS = "abcdef"
_PROMPT = """You check a candidate radiology report against a reference report written by a radiologist.
Count the findings on which both agree, and the errors of the candidate in these categories:
(a) a finding that the reference does not have
(b) a finding of the reference that is missing
(c) a finding in the wrong place or on the wrong side
(d) a finding of the wrong severity
(e) a comparison with an earlier study that the reference does not make
(f) a change since an earlier study that the reference states and the candidate omits
An error is clinically significant if it could change how the patient is treated. Do not count differences of wording.

Reply in exactly this form, one line per category with its count and the errors separated by semicolons:
[Clinically Significant Errors]:
(a) False finding: <count>. <error>; <error>
(b) Missing finding: <count>. <error>
(c) Wrong location: <count>. <error>
(d) Wrong severity: <count>. <error>
(e) False comparison: <count>. <error>
(f) Omitted comparison: <count>. <error>

[Clinically Insignificant Errors]:
(a) … (f) as above

[Matched Findings]:
<count>. <finding>; <finding>

Reference report: {reference}

Candidate report: {candidate}
"""


def green(predictions: Sequence[str], references: Sequence[str], *, chat: Chat) -> Scores:
    """GREEN-style scores of predictions against one reference each.

    Example: three matched findings, one missing finding and one wrong side, both significant: 3 / (3 + 2) = 0.6.

    Args:
        predictions, references: N reports each.
        chat: answers the prompts; ``ask`` of a judge that is a language model.

    Returns:
        ``green`` in [0, 1], counts per category, ``no_significant_error``; all NaN where there is no reply that can be read.

    Raises:
        ValueError: if the lists differ in length or are empty.
    """
    paired("green", predictions, references)
    counts = ask_for_counts(predictions, references, chat=chat, prompt=prompt, parse=parse)
    values = [math.nan if c is None else green_of(c) for c in counts]
    matched = [math.nan if c is None or c.matched is None else c.matched for c in counts]
    columns: dict[str, ArrayLike] = {"green": values, "matched_findings": matched, **count_columns(counts)}
    worse = frozenset(name for name in columns if "significant" in name) | {"errors"}
    return scores("green", columns, chat_protocol(_PROMPT, chat), aggregate=error_rates, lower_is_better=worse)


def prompt(reference: str, candidate: str) -> str:
    """What the chat model is asked; each report is cut at ``MAX_WORDS`` words."""
    short = {"reference": reference, "candidate": candidate}
    return _PROMPT.format(**{name: " ".join(text.split()[:MAX_WORDS]) for name, text in short.items()})


def parse(reply: str) -> ErrorCounts | None:
    """Counts out of a reply; None if the section of significant errors or of matched findings is missing, or the matches have no number."""
    significant, matched = _section(reply, "Clinically Significant Errors"), _section(reply, "Matched Findings")
    if significant is None or matched is None:
        return None
    number = re.match(r"\d+(?=\.|\s*$)", matched)
    if number is None and not matched.startswith("No"):
        return None
    insignificant = _section(reply, "Clinically Insignificant Errors") or ""
    return ErrorCounts(_errors(significant), _errors(insignificant), int(number.group()) if number else 0)


def green_of(counts: ErrorCounts) -> float:
    """matched / (matched + significant errors); 0 without a match."""
    return counts.matched / (counts.matched + sum(counts.significant)) if counts.matched else 0.0


def _section(reply: str, title: str) -> str | None:
    found = re.search(rf"\[{title}\]:\s*(.*?)(?:\n\s*\n|\n\s*\[|\Z)", reply, re.DOTALL)
    return found.group(1) if found else None


def _errors(section: str) -> tuple[int, ...]:
    """The count after each marker, 0 where a category has none; the last line of a category decides, as in the released parser."""
    if section.startswith("No"):
        return (0,) * len(CATEGORIES)
    lines = re.findall(r"\(([a-f])\) (.*)", section)
    if not lines:
        lines = [(_LETTERS[int(number) - 1], rest) for number, rest in re.findall(r"\(([1-6])\) (.*)", section)]
    counts = dict.fromkeys(_LETTERS, 0)
    for letter, rest in sorted(lines):
        if number := re.search(r"(?<=: )\d+\b(?=\.)", rest):
            counts[letter] = int(number.group())
    return tuple(counts.values())
