"""CheXprompt-style error counts (Zambrano Chaves et al., LLaVA-Rad): six kinds of error, clinically significant or not, per report.

A chat model counts errors of six kinds, A … F, and replies two lists ``[(A, n), …, (F, n)]``. Headline figures are errors per report and
the share of reports without any. The layout of the reply is CheXprompt's, its kinds are those of ReXVal; the prompt is ours, so the number
is CheXprompt's own only with its prompt and model.

Departure: the released parser accepts a reply that leaves kinds out; here all six are needed in both lists, otherwise the reply is a
failure, counted and left out. Explanations after the lists are cut off, as there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from medvl.metrics.error_counts import Chat, ErrorCounts, ask_for_counts, chat_protocol, count_columns, error_rates
from medvl.metrics.scores import Scores, paired, scores

_KINDS = "ABCDEF"
_SIGNIFICANT = "Number of clinically significant errors by type:"
_INSIGNIFICANT = "Number of clinically insignificant errors by type:"
_PROMPT = f"""You are an experienced chest radiologist. Compare the findings of a candidate report with those of the reference report and
count the candidate's errors by type. An error is clinically significant if treatment or follow-up could differ because of it.
A) a finding that the reference does not have
B) a finding of the reference that is left out
C) a finding in the wrong place or on the wrong side
D) a finding of the wrong severity
E) a comparison that the reference does not make
F) a change since an earlier study that is left out

Reply with these two lines only, a number for each type:
{_SIGNIFICANT} [(A, n), (B, n), (C, n), (D, n), (E, n), (F, n)]
{_INSIGNIFICANT} [(A, n), (B, n), (C, n), (D, n), (E, n), (F, n)]

"""


def chexprompt(predictions: Sequence[str], references: Sequence[str], *, chat: Chat) -> Scores:
    """CheXprompt-style errors of predictions against one reference each.

    Example: two reports, one with a significant omission and an insignificant wrong place, one without an error: 0.5 significant errors
    and 1 error per report, half of the reports error-free.

    Args:
        predictions, references: N reports each.
        chat: answers the prompts; ``ask`` of a judge that is a language model.

    Returns:
        ``significant_errors``, ``insignificant_errors``, ``errors``, each kind, ``no_significant_error`` and ``error_free``; all NaN where
        there is no reply that can be read.

    Raises:
        ValueError: if the lists differ in length or are empty.
    """
    paired("chexprompt", predictions, references)
    counts = ask_for_counts(predictions, references, chat=chat, prompt=prompt, parse=parse)
    columns = count_columns(counts)
    return scores(
        "chexprompt", columns, chat_protocol(_PROMPT, chat), aggregate=error_rates, lower_is_better=frozenset([*columns, "errors"])
    )


def prompt(reference: str, candidate: str) -> str:
    """What the chat model is asked."""
    return f"{_PROMPT}Reference findings: {reference}\n\nCandidate findings: {candidate}\n"


def parse(reply: str) -> ErrorCounts | None:
    """Counts out of a reply; None if a list is missing or incomplete."""
    counted = reply.split("Explanation")[0]
    if _SIGNIFICANT not in counted or _INSIGNIFICANT not in counted:
        return None
    first, _, second = counted.partition(_SIGNIFICANT)[2].partition(_INSIGNIFICANT)
    significant, insignificant = _list(first), _list(second)
    return None if significant is None or insignificant is None else ErrorCounts(significant, insignificant)


def _list(text: str) -> tuple[int, ...] | None:
    numbers = dict(re.findall(r"\(\s*([A-F])\s*,\s*(\d+)\s*\)", text))
    return tuple(int(numbers[kind]) for kind in _KINDS) if set(numbers) == set(_KINDS) else None
