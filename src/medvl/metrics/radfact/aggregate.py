"""RadFact over studies: columns per study → macro and micro precision, recall and F1, as statistics of the bootstrap.

    macro   mean over the studies where it is defined; F1 = 2·P·R / (P + R) of those means (the official numbers)
    micro   Σ counts / Σ counts over all phrases of all studies
    worst case   macro, with 0 for every study that could not be scored

F1 is 0 where P + R = 0, where the official code divides by zero; undefined where P or R is. Example: two studies with logical precision
1/2 (2 phrases) and 1 (1 phrase), recall 1 both: macro P = 0.75, F1 = 6/7; micro P = 2/3, F1 = 4/5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medvl.metrics.bootstrap import Statistic, made_of, mean_of
from medvl.metrics.radfact.study import Direction, StudyResult, StudyScores
from medvl.metrics.scores import Columns, ratio_of

KINDS = ("logical", "spatial", "grounding")
MEASURES = tuple(f"{kind}_{measure}" for kind in KINDS for measure in ("precision", "recall"))
PARTS = {"logical": ("entailed", "phrases"), "spatial": ("spatial", "boxed"), "grounding": ("spatial", "entailed_boxed")}
SIDES = {"precision": "candidate", "recall": "reference"}
SIZES = tuple(name for name in StudyScores.__slots__ if name.startswith("num_"))


def per_sample(results: Sequence[StudyResult]) -> dict[str, NDArray[np.float64]]:
    """What a person reads of each study (N,): the six measures, the F1 of each kind, and the numbers of phrases; NaN if not scored."""
    columns = {name: _column(results, name) for name in (*MEASURES, *SIZES)}
    f1 = {f"{kind}_f1": harmonic_mean(columns[f"{kind}_precision"], columns[f"{kind}_recall"]) for kind in KINDS}
    return {**columns, **f1}


def counts(results: Sequence[StudyResult]) -> dict[str, NDArray[np.float64]]:
    """What each study counts (N,), by side (``candidate/entailed``), and whether it was scored; 0 if not."""
    columns = {"scored": np.array([result.scores is not None for result in results], np.float64)}
    for side in SIDES.values():
        directions = [Direction.of(getattr(result, f"{side}_phrases") if result.scores else ()) for result in results]
        for part in Direction.__slots__:
            columns[f"{side}/{part}"] = np.array([getattr(direction, part) for direction in directions], np.float64)
    return columns


def statistics(columns: Columns, protocol: Mapping[str, Any]) -> dict[str, Statistic]:
    """Macro, micro and worst-case statistics of the columns of ``per_sample`` and ``counts``."""
    macro = {name: mean_of(columns[name]) for name in (*MEASURES, *SIZES)}
    micro = {
        f"{kind}_{measure}": ratio_of(columns[f"{side}/{part}"], columns[f"{side}/{whole}"])
        for kind, (part, whole) in PARTS.items()
        for measure, side in SIDES.items()
    }
    lost = columns["scored"] == 0
    worst = {f"logical_{measure}": mean_of(np.where(lost, 0.0, columns[f"logical_{measure}"])) for measure in SIDES}
    return {
        **_with_f1(macro, KINDS),
        **{f"micro/{name}": statistic for name, statistic in _with_f1(micro, KINDS).items()},
        **{f"worst_case/{name}": statistic for name, statistic in _with_f1(worst, ("logical",)).items()},
    }


def harmonic_mean(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """2·a·b / (a + b), elementwise; 0 where both are 0, NaN where either is."""
    total = first + second
    return np.divide(2 * first * second, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0)


def _with_f1(named: dict[str, Statistic], kinds: Sequence[str]) -> dict[str, Statistic]:
    return {**named, **{f"{kind}_f1": _f1(named[f"{kind}_precision"], named[f"{kind}_recall"]) for kind in kinds}}


def _f1(precision: Statistic, recall: Statistic) -> Statistic:
    return made_of([precision, recall], lambda weights: harmonic_mean(precision(weights), recall(weights)))


def _column(results: Sequence[StudyResult], name: str) -> NDArray[np.float64]:
    return np.array([getattr(result.scores, name) if result.scores else np.nan for result in results], np.float64)
