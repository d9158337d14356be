"""CheXpert's fourteen labels of a report from the lexicon: a rule labeller that needs no weights.

After the CheXpert labeller (Irvin et al., AAAI 2019): a mention is positive, negative or uncertain; over a report positive goes before
uncertain before negative; No Finding is positive when nothing but support devices is positive or uncertain, and has no other value; a
text that tells nothing has no label at all.
Departures: mentions come from this project's vocabulary; a normal heart, mediastinum, pleura or lung field denies nothing by itself except
Cardiomegaly (heart) and Enlarged Cardiomediastinum (mediastinum); what has resolved or was removed is negative.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from medvl.lexicon.concepts import Vocabulary, load
from medvl.lexicon.structure import Row, structure
from medvl.lexicon.terms import Language
from medvl.records import LabelValue

CLASSES = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis",
    "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices", "No Finding",
)  # fmt: skip
DENIED_BY_NORMAL: Mapping[str, tuple[str, ...]] = {
    "heart": ("Cardiomegaly",),
    "mediastinum": ("Enlarged Cardiomediastinum",),
    "cardiomediastinal_silhouette": ("Cardiomegaly", "Enlarged Cardiomediastinum"),
}
STRENGTH: tuple[LabelValue, ...] = ("negative", "uncertain", "positive")


def label(report: str, *, language: Language = "en") -> dict[str, LabelValue]:
    """The labels of a report: class → value for every class that it mentions, in the order of ``CLASSES``."""
    return label_rows(structure(report, language=language), load(language))


def label_rows(rows: Iterable[Row], vocabulary: Vocabulary) -> dict[str, LabelValue]:
    """The labels of structured rows."""
    found: dict[str, LabelValue] = {}
    told = [row for row in rows if not _only_compared(row, vocabulary)]
    for row in told:
        for name in _classes(row, vocabulary):
            value = _value(row)
            found[name] = max(found.get(name, value), value, key=STRENGTH.index)
    if told and all(value == "negative" for name, value in found.items() if name != "Support Devices"):
        found["No Finding"] = "positive"
    return {name: found[name] for name in CLASSES if name in found}


def _only_compared(row: Row, vocabulary: Vocabulary) -> bool:
    """*The heart is stable* says neither that it is enlarged nor that it is not."""
    return row.status == "positive" and vocabulary.concepts[row.concept].kind == "organ"


def _classes(row: Row, vocabulary: Vocabulary) -> tuple[str, ...]:
    if vocabulary.concepts[row.concept].kind == "organ":
        return DENIED_BY_NORMAL.get(row.concept, ())
    name = vocabulary.chexpert(row.concept)
    return (name,) if name else ()


def _value(row: Row) -> LabelValue:
    if row.status == "negative" or row.change == "resolved":
        return "negative"
    return "uncertain" if row.certainty == "tentative" else "positive"
