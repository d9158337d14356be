"""Lines and tubes after MAIRA-X (2025): does a report name the right devices, where they are and what became of them?

MAIRA-X scores type, longitudinal change and placement of lines and tubes; its definitions are not public. The operational definition here
is OURS, no reproduction:

    device      type (one of ``TYPES``), side, change since the prior, placement, tip; a denied device is none
    matching    within a study one to one and only between equal types: as many pairs as there are, then equal sides, then equal change and
                placement (Hungarian algorithm)
    type        precision, recall and F1 of the matched devices, micro and macro over the types that occur
    change,     accuracy and macro F1 over matched pairs whose reference states it (a prediction that does not state it is wrong)
    placement
    joint       micro F1 where type, change and placement all agree, "not stated" included
    rates       hallucination = unmatched predicted / predicted; omission = unmatched reference / reference

Devices come from the lexicon's structured rows (``devices_in``), or from any extractor that returns ``Device`` lists.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from medvl.metrics.bootstrap import Statistic, StatisticOver
from medvl.metrics.scores import Columns, Scores, f1_of, function_name, paired, ratio_of, scores

DeviceType = Literal[
    "endotracheal_tube",
    "tracheostomy_tube",
    "enteric_tube",
    "central_venous_catheter",
    "picc",
    "dialysis_catheter",
    "port",
    "pulmonary_artery_catheter",
    "intra_aortic_balloon_pump",
    "chest_tube",
    "cardiac_device",
    "other",
]
Change = Literal["new", "removed", "unchanged", "advanced", "retracted"]
Placement = Literal["satisfactory", "malpositioned", "indeterminate"]
TYPES: tuple[DeviceType, ...] = get_args(DeviceType)
CHANGES: tuple[Change, ...] = get_args(Change)
PLACEMENTS: tuple[Placement, ...] = get_args(Placement)

_ATTRIBUTES: dict[str, tuple[str, ...]] = {"change": CHANGES, "placement": PLACEMENTS}


@dataclass(frozen=True, slots=True)
class Device:
    """One line or tube of a report; None where the report does not say.

    Attributes:
        type: what it is.
        side: of the patient it enters or lies on.
        change: since the prior study; ``retracted`` includes any other repositioning.
        placement: the radiologist's judgement; ``indeterminate`` where the report says that it cannot be judged.
        tip: where it ends, as written.
    """

    type: DeviceType
    side: Literal["left", "right", "bilateral"] | None = None
    change: Change | None = None
    placement: Placement | None = None
    tip: str | None = None


Extractor = Callable[[str], Sequence[Device]]


def lines_and_tubes(predictions: Sequence[str], references: Sequence[str], *, extractor: Extractor) -> Scores:
    """Lines-and-tubes scores of reports, whose devices an extractor finds. See ``device_scores``.

    Args:
        predictions, references: N reports each.
        extractor: from a text to its devices; ``device_extraction.devices_in`` for the lexicon's.
    """
    paired("lines_and_tubes", predictions, references)
    known = {text: tuple(extractor(text)) for text in {*predictions, *references}}
    said, wanted = ([known[text] for text in texts] for texts in (predictions, references))
    return device_scores(said, wanted, extractor=function_name(extractor))


def device_scores(predictions: Sequence[Sequence[Device]], references: Sequence[Sequence[Device]], *, extractor: str = "given") -> Scores:
    """Lines-and-tubes scores of given devices.

    Example: reference: an unchanged endotracheal tube, a new PICC; predicted: an unchanged endotracheal tube and a port. Types: one hit,
    one false, one missed: F1 = 1/2, macro over the three types (1 + 0 + 0) / 3; change accuracy 1/1; joint F1 1/2; both rates 1/2.

    Args:
        predictions, references: N lists each.
        extractor: what found them, for the results.

    Returns:
        ``type_f1``, ``type_precision``, ``type_recall``, ``type_macro_f1``, ``f1/<type>``, ``change_accuracy``, ``change_macro_f1``,
        ``placement_accuracy``, ``placement_macro_f1``, ``side_accuracy``, ``joint_f1``, ``hallucination_rate``, ``omission_rate``;
        per report ``type_f1`` and ``joint_f1`` (NaN where neither side has a device).

    Raises:
        ValueError: if the lists differ in length or are empty.
    """
    paired("lines_and_tubes", predictions, references)
    rows = [_counts(said, wanted) for said, wanted in zip(predictions, references, strict=True)]
    counts = {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}
    per_sample = {
        "type_f1": _share(2 * counts["matched"], counts["predicted"] + counts["referenced"]),
        "joint_f1": _share(2 * counts["joint"], counts["predicted"] + counts["referenced"]),
    }
    protocol = {"version": 1, "definition": "medvl, after MAIRA-X", "extractor": extractor}
    worse = frozenset(["hallucination_rate", "omission_rate"])
    return scores("lines_and_tubes", per_sample, protocol, counts=counts, aggregate=corpus_rates, lower_is_better=worse)


def corpus_rates(columns: Columns, protocol: Mapping[str, Any]) -> dict[str, Statistic]:
    """Every corpus value, of counts summed over the reports."""
    matched, predicted, referenced, joint = (columns[name] for name in ("matched", "predicted", "referenced", "joint"))
    rates = {
        "type_f1": f1_of(matched, predicted - matched, referenced - matched, empty=math.nan),
        "type_precision": ratio_of(matched, predicted),
        "type_recall": ratio_of(matched, referenced),
        "type_macro_f1": _macro([_class_counts(columns, f"type/{kind}") for kind in TYPES]),
        "joint_f1": f1_of(joint, predicted - joint, referenced - joint, empty=math.nan),
        "side_accuracy": ratio_of(columns["side/right"], columns["side/stated"]),
        "hallucination_rate": ratio_of(predicted - matched, predicted),
        "omission_rate": ratio_of(referenced - matched, referenced),
    }
    for attribute, values in _ATTRIBUTES.items():
        rates[f"{attribute}_accuracy"] = ratio_of(columns[f"{attribute}/right"], columns[f"{attribute}/stated"])
        rates[f"{attribute}_macro_f1"] = _macro([_class_counts(columns, f"{attribute}/{value}") for value in values])
    return rates | {f"f1/{kind}": f1_of(*_class_counts(columns, f"type/{kind}").T, empty=math.nan) for kind in TYPES}


def match(predicted: Sequence[Device], referenced: Sequence[Device]) -> list[tuple[Device, Device]]:
    """Pairs (predicted, referenced) of equal type, see the head of this file.

    Example: a left and a right chest tube against a right one: the right one is matched.
    """
    if not predicted or not referenced:
        return []
    gain = np.array([[_agreement(p, r) for r in referenced] for p in predicted])
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [(predicted[i], referenced[j]) for i, j in zip(rows, columns, strict=True) if gain[i, j] > 0]


def _agreement(predicted: Device, referenced: Device) -> int:
    """100 for the type, 10 for the side, 1 each for change and placement: the lower ones never outweigh the higher for one pair."""
    if predicted.type != referenced.type:
        return 0
    same = (predicted.change == referenced.change) + (predicted.placement == referenced.placement)
    return 100 + 10 * (predicted.side == referenced.side) + same


def _counts(predicted: Sequence[Device], referenced: Sequence[Device]) -> dict[str, int]:
    """All counts of one report."""
    pairs = match(predicted, referenced)
    counts = {
        "predicted": len(predicted),
        "referenced": len(referenced),
        "matched": len(pairs),
        "joint": sum((p.change, p.placement) == (r.change, r.placement) for p, r in pairs),
        "side/stated": sum(r.side is not None for _, r in pairs),
        "side/right": sum(r.side is not None and p.side == r.side for p, r in pairs),
    }
    for kind in TYPES:
        hits = sum(r.type == kind for _, r in pairs)
        counts[f"type/{kind}/tp"] = hits
        counts[f"type/{kind}/fp"] = sum(p.type == kind for p in predicted) - hits
        counts[f"type/{kind}/fn"] = sum(r.type == kind for r in referenced) - hits
    for attribute, values in _ATTRIBUTES.items():
        both = [(getattr(p, attribute), getattr(r, attribute)) for p, r in pairs if getattr(r, attribute) is not None]
        counts[f"{attribute}/stated"] = len(both)
        counts[f"{attribute}/right"] = sum(said == wanted for said, wanted in both)
        for value in values:
            counts[f"{attribute}/{value}/tp"] = sum(said == wanted == value for said, wanted in both)
            counts[f"{attribute}/{value}/fp"] = sum(said == value != wanted for said, wanted in both)
            counts[f"{attribute}/{value}/fn"] = sum(wanted == value != said for said, wanted in both)
    return counts


def _class_counts(columns: Columns, name: str) -> NDArray[np.float64]:
    return np.stack([columns[f"{name}/{count}"] for count in ("tp", "fp", "fn")], axis=1)  # (N, 3)


def _macro(classes: Sequence[NDArray[np.float64]]) -> Statistic:
    """The mean F1 over the classes that occur in the samples; where one of them does not occur in a resample it is left out there."""
    statistics = [f1_of(*counts.T, empty=math.nan) for counts in classes if counts.any()]

    def macro(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        values = np.array([statistic(weights) for statistic in statistics]).reshape(len(statistics), len(weights))  # (classes, R)
        defined = ~np.isnan(values)
        total = np.where(defined, values, 0.0).sum(axis=0)
        return np.divide(total, defined.sum(axis=0), out=np.full(len(weights), np.nan), where=defined.any(axis=0))

    return StatisticOver(macro, np.any([counts.any(axis=1) for counts in classes], axis=0))


def _share(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
