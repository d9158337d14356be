"""Counts of errors between two reports in the six categories of ReXVal (Yu et al. 2023), as a chat model replies them.

What GREEN- and CheXprompt-style metrics share: the categories, asking once per distinct pair, and the policy for replies that cannot be
read: the report is left out of the means (NaN), and the results say how many there were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medvl.metrics.bootstrap import Statistic, mean_of
from medvl.metrics.scores import Columns

CATEGORIES = (
    "false_finding",
    "missing_finding",
    "wrong_location",
    "wrong_severity",
    "false_comparison",
    "omitted_comparison",
)

Chat = Callable[[str], str]
"""From a prompt to a reply. Its ``name``, where it has one, stands in results."""


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
    concurrency: int = 1,
) -> list[ErrorCounts | None]:
    """Counts for each pair; None where the reply could not be read. Equal pairs are asked once.

    Args:
        predictions, references: N reports each.
        chat: see ``Chat``; called from threads where ``concurrency`` is above 1.
        prompt: from reference and prediction to the prompt.
        parse: from the reply to counts, or None.
        concurrency: prompts at once.
    """
    prompts = [prompt(reference, prediction) for prediction, reference in zip(predictions, references, strict=True)]
    distinct = list(dict.fromkeys(prompts))
    with ThreadPoolExecutor(max_workers=concurrency) as pool:
        counts = dict(zip(distinct, map(parse, pool.map(chat, distinct)), strict=True))
    return [counts[text] for text in prompts]


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
