"""A row of the lexicon as a phrase of its own, in English or Spanish, which the lexicon reads back as the same row."""

from __future__ import annotations

from medvl.lexicon.concepts import Vocabulary
from medvl.lexicon.structure import Row
from medvl.lexicon.terms import Language

CHANGES = {
    "en": {"new": "new", "worse": "worsened", "improved": "improved", "stable": "unchanged", "resolved": "resolved"},
    "es": {
        "new": "de nueva aparición",
        "worse": "ha empeorado",
        "improved": "ha mejorado",
        "stable": "sin cambios",
        "resolved": "resuelto",
    },
}
SIDES = {
    "en": {"left": "left", "right": "right", "bilateral": "bilateral"},
    "es": {"left": "izquierdo", "right": "derecho", "bilateral": "bilateral"},
}

HEDGES = {False: {"en": "possible", "es": "posible"}, True: {"en": "consistent with", "es": "compatible con"}}
"""By whether a reader commits to it."""


def phrase_of_row(row: Row, language: Language, vocabulary: Vocabulary) -> str:
    """One sentence that says what the row says: hedge, degree, place, entity as written, change.

    Example: ``No pneumothorax.``, ``Small left pleural effusion, worsened.``, ``Sin derrame pleural.``
    """
    if vocabulary.concepts[row.concept].kind == "organ" and row.status == "negative":
        return _sentence(f"{row.entity} {'normal' if language == 'es' else 'is normal'}")
    grade = row.attributes.get("severity") if row.severity else None
    place = row.attributes.get("location") if row.sites or not row.side else None
    side = SIDES[language][row.side] if row.side and place is None else None
    hedge = HEDGES[row.presumptive][language] if row.certainty == "tentative" else None
    denied = {"en": "no", "es": "sin"}[language] if row.status == "negative" else None
    words: tuple[str | None, ...]
    if language == "es":
        words = (denied, hedge, row.entity, side, grade, place and f"en {place}")
    else:
        words = (denied, hedge, grade, side, row.entity, place and f"in {place}")
    details = [row.measurement, CHANGES[language][row.change] if row.change else None, row.attributes.get("placement")]
    tip = f"tip in {row.tip}" if row.tip and language == "en" else row.tip and f"extremo en {row.tip}"
    return _sentence(", ".join([" ".join(word for word in words if word), *(detail for detail in (*details, tip) if detail)]))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
