"""Counts of errors between two reports in the six categories of ReXVal (Yu et al. 2023), as a chat model replies them.

What GREEN- and CheXprompt-style metrics share: the categories, asking once per distinct pair, and the policy for replies that cannot be
read: the report is left out of the means (NaN), and the results say how many there were.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medvl.metrics.bootstrap import Statistic, mean_of
from medvl.metrics.scores import Columns, function_name

CATEGORIES = (
    "false_finding",
    "missing_finding",
    "wrong_location",
    "wrong_severity",
    "false_comparison",
    "omitted_comparison",
)


class Chat(Protocol):
    """A chat model as a function, such as ``ask`` of a judge. Its ``name``, or that of the judge, stands in results."""

    def __call__(self, prompts: Sequence[str], *, usable: Callable[[str], bool]) -> Sequence[str | None]:
        """One reply per prompt, ``None`` where there is none; a reply that is not usable may be asked for again."""


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Errors of one report by category, in the order of ``CATEGORIES``; ``matched`` findings where the metric counts them."""

    significant: tuple[int, ...]
    insignificant: tuple[int, ...]
    matched: int | None = None


def ask_for_counts(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    chat: Chat,
    prompt: Callable[[str, str], str],
    parse: Callable[[str], ErrorCounts | None],
) -> list[ErrorCounts | None]:
    """Counts for each pair; None where the reply could not be read. Equal pairs are asked once.

    Args:
        predictions, references: N reports each.
        chat: see ``Chat``; gets all prompts in one call.
        prompt: from reference and prediction to the prompt.
        parse: from the reply, without the thoughts of a reasoning model, to counts or None.

    Raises:
        ValueError: if the chat does not return as many replies as there are prompts.
    """
    prompts = [prompt(reference, prediction) for prediction, reference in zip(predictions, references, strict=True)]
    distinct = list(dict.fromkeys(prompts))

    def read(reply: str | None) -> ErrorCounts | None:
        return None if reply is None else parse(reply.rpartition("</think>")[2].strip())

    counts = dict(zip(distinct, map(read, chat(distinct, usable=lambda reply: read(reply) is not None)), strict=True))
    return [counts[text] for text in prompts]


def chat_protocol(template: str, chat: Chat) -> dict[str, Any]:
    """What belongs to the number: the prompt, ours, by its hash, and the model that was asked."""
    return {"version": 1, "prompt": f"medvl:{hashlib.sha256(template.encode()).hexdigest()[:12]}", "chat": function_name(chat)}


def count_columns(counts: Sequence[ErrorCounts | None]) -> dict[str, NDArray[np.float64]]:
    """``significant/<category>``, ``insignificant/<category>`` and their sums per report; NaN where there is no reply to read."""
    columns: dict[str, NDArray[np.float64]] = {}
    for kind in ("significant", "insignificant"):
        rows = np.array([[math.nan] * len(CATEGORIES) if c is None else getattr(c, kind) for c in counts], np.float64)
        columns |= {f"{kind}/{category}": rows[:, i] for i, category in enumerate(CATEGORIES)}
        columns[f"{kind}_errors"] = rows.sum(axis=1)
    return columns


def error_rates(columns: Columns, protocol: Mapping[str, Any]) -> dict[str, Statistic]:
    """Means per report of every column, and the shares of reports without a significant error and without any."""
    significant, total = columns["significant_errors"], columns["significant_errors"] + columns["insignificant_errors"]
    statistics = {name: mean_of(values) for name, values in columns.items()}
    statistics["errors"] = mean_of(total)
    for name, errors in (("no_significant_error", significant), ("error_free", total)):
        statistics[name] = mean_of(np.where(np.isnan(errors), math.nan, errors == 0))
    return statistics
