"""What datasets say about a report or a visit in their own label words: CheXpert's fourteen, MS-CXR-T's five, PadChest's terms.

CheXpert labels follow the *report*, as an NLP labeller would read it: a hedge is uncertain, an "opacity" is no consolidation, silence is
no label (Irvin et al. 2019; the hierarchy's Lung Opacity is implied by its children, No Finding is positive or nothing). Progression
follows the *facts*, as MS-CXR-T's radiologists would label the images (Bannur et al. 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from medvl.phantom.draws import generator
from medvl.phantom.facts import Visit
from medvl.phantom.reports import WrittenReport
from medvl.phantom.statements import DEVICES, Statement, infectious
from medvl.records import LabelValue

ProgressionLabel = Literal["improving", "stable", "worsening"]

CHEXPERT = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion", "Lung Opacity",
    "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
CHEXPERT_BY_SUBJECT: dict[str, str] = {
    "atelectasis": "Atelectasis", "cardiomegaly": "Cardiomegaly", "heart": "Cardiomegaly", "consolidation": "Consolidation",
    "edema": "Edema", "enlarged_mediastinum": "Enlarged Cardiomediastinum", "mediastinum": "Enlarged Cardiomediastinum",
    "fracture": "Fracture", "nodule": "Lung Lesion", "opacity": "Lung Opacity", "pleural_effusion": "Pleural Effusion",
    "pleural_thickening": "Pleural Other", "pneumonia": "Pneumonia", "pneumothorax": "Pneumothorax",
    **dict.fromkeys(DEVICES, "Support Devices"),
}  # fmt: skip
OPACITIES = ("Atelectasis", "Consolidation", "Edema", "Lung Lesion", "Pneumonia")
STRENGTH: tuple[LabelValue, ...] = ("negative", "uncertain", "positive")

PROGRESSING = ("consolidation", "edema", "pleural_effusion", "pneumonia", "pneumothorax")
DIRECTION: dict[str, ProgressionLabel] = {
    "new": "worsening",
    "worsening": "worsening",
    "stable": "stable",
    "improving": "improving",
    "resolved": "improving",
}

PADCHEST_LABELS = {
    "atelectasis": "atelectasis", "cardiomegaly": "cardiomegaly", "consolidation": "consolidation", "edema": "pulmonary edema",
    "enlarged_mediastinum": "mediastinal enlargement", "fracture": "rib fracture", "nodule": "nodule", "opacity": "increased density",
    "pleural_effusion": "pleural effusion", "pleural_thickening": "pleural thickening", "pneumonia": "pneumonia",
    "pneumothorax": "pneumothorax", "lung_volumes": "hypoexpansion", "endotracheal_tube": "endotracheal tube",
    "nasogastric_tube": "NSG tube", "central_venous_line": "central venous catheter", "chest_tube": "chest drain tube",
    "pacemaker": "pacemaker",
}  # fmt: skip
PADCHEST_ORGANS = {
    "pleural_effusion": "pleural", "pleural_thickening": "pleural", "pneumothorax": "pleural", "cardiomegaly": "cardiac",
    "enlarged_mediastinum": "mediastinum", "fracture": "rib",
}  # fmt: skip
PADCHEST_ZONES = {
    "apical": "apical", "upper": "upper lung field", "mid": "middle lung field", "lower": "lower lung field", "basal": "basal",
    "perihilar": "perihilar",
}  # fmt: skip


def chexpert_labels(report: WrittenReport, *, noise: float = 0.0, key: str | int = 0) -> dict[str, LabelValue]:
    """CheXpert name → value for every observation that the report mentions.

    Args:
        noise: share of the mentioned observations that the labeller gets wrong: missed, flipped, or called uncertain.
        key: fixes the errors, e.g. the study id.
    """
    values: dict[str, LabelValue] = {}
    for sentence in report.sentences:
        for statement in sentence.statements:
            name = CHEXPERT_BY_SUBJECT.get(statement.subject)
            if name is not None:
                values[name] = max(values.get(name, "negative"), _value(statement), key=STRENGTH.index)
    random = generator("chexpert", key)
    read = {name: _misread(value, random) if random.random() < noise else value for name, value in values.items()}
    told: dict[str, LabelValue] = {name: value for name, value in read.items() if value is not None}
    if any(told.get(name) == "positive" for name in OPACITIES):
        told["Lung Opacity"] = "positive"
    if all(value == "negative" for name, value in told.items() if name != "Support Devices"):
        told["No Finding"] = "positive"
    return {name: told[name] for name in CHEXPERT if name in told}


def progression_labels(visit: Visit) -> dict[str, ProgressionLabel]:
    """MS-CXR-T's findings → change since the prior; lesions that move in opposite directions leave their finding out.

    Appearing counts as worsening and resolving as improving. A consolidation in an infectious setting is a pneumonia as well.
    """
    directions: dict[str, set[ProgressionLabel]] = {}
    for change in visit.changes:
        directions.setdefault(change.name, set()).add(DIRECTION[change.label])
    if infectious(visit) and "consolidation" in directions:
        directions["pneumonia"] = directions["consolidation"]
    moves = {name: found - {"stable"} or found for name, found in directions.items()}
    return {name: next(iter(moves[name])) for name in PROGRESSING if len(moves.get(name, ())) == 1}


def padchest_terms(statement: Statement) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """PadChest's labels and locations of a positive statement, lower case as it spells them; empty for a negative one."""
    if statement.status == "negative":
        return (), ()
    label = PADCHEST_LABELS[statement.subject]
    if (statement.subject, statement.zone) == ("pleural_thickening", "apical"):
        label = "apical pleural thickening"
    places = (PADCHEST_ORGANS.get(statement.subject), PADCHEST_ZONES.get(statement.zone or ""), statement.side)
    return (label,), tuple(p for p in places if p)


def _value(statement: Statement) -> LabelValue:
    if statement.status == "negative":
        return "negative"
    return "positive" if statement.certain else "uncertain"


def _misread(value: LabelValue, random: np.random.Generator) -> LabelValue | None:
    flipped: Mapping[str, LabelValue] = {"positive": "negative", "negative": "positive", "uncertain": "positive"}
    draw = random.random()
    return None if draw < 0.4 else flipped[value] if draw < 0.7 or value == "uncertain" else "uncertain"
