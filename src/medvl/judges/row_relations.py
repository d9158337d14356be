"""When one row of the lexicon is as sure, as placed and as graded as another, and what a normal organ excludes: the rules judge's parts.

In each function the first row is told by the reference, the second is asked for by the hypothesis; the hypothesis may say less, never more.
"""

from __future__ import annotations

from functools import cache

from medvl.lexicon.concepts import Vocabulary, load
from medvl.lexicon.structure import Row
from medvl.lexicon.terms import Language

GRADES = {"trace": 1, "small": 2, "mild": 2, "moderate": 3, "large": 4, "severe": 4}

# Sites that readers name one for the other on a frontal film.
SAME_PLACE = (
    {"lower lobe", "lower lung", "base", "retrocardiac", "costophrenic angle", "diaphragm"},
    {"upper lobe", "upper lung", "apex"},
    {"middle lobe", "mid lung"},
    {"perihilar", "hilum"},
)
# Concepts that reports use one for the other, though neither is a kind of the other.
SAME_THING = (
    {"atelectasis", "volume_loss"},
    {"pulmonary_edema", "volume_overload", "heart_failure"},
    {"consolidation", "airspace_opacity", "infiltrate"},
    {"enlarged_mediastinum", "enlarged_cardiomediastinum"},
    {"pleural_effusion", "blunted_costophrenic_angle"},
    {"pleural_scarring", "pleural_thickening"},
)
# Findings that readers take along with another: edema without congested vessels is not told.
TAKEN_ALONG = {"pulmonary_edema": {"pulmonary_vascular_congestion"}}

# Sites that say no more than that it is in the chest, or that one frontal film cannot tell.
ANYWHERE = {"lung", "lung field", "pleura", "anterior", "posterior"}

# What "no acute cardiopulmonary process" denies.
ACUTE = (
    "pneumonia", "consolidation", "pulmonary_edema", "pneumothorax", "pleural_effusion", "pulmonary_vascular_congestion", "heart_failure",
    "infiltrate",
)  # fmt: skip


def covers(general: str, specific: str, vocabulary: Vocabulary) -> bool:
    """Whether a concept is, implies, takes along, or is used for another that is or implies the general one."""
    names = {specific}.union(*(group for group in SAME_THING if specific in group))
    names = names.union(*(TAKEN_ALONG.get(name, ()) for name in names))
    return any(vocabulary.is_a(name, general) for name in names)


def sure_enough(told: Row, asked: Row) -> bool:
    """A suspicion does not make an assertion; *consistent with* does."""
    return not _suspected(told) or _suspected(asked)


def places_agree(told: Row, asked: Row, side: str | None) -> bool:
    """Whether what is told lies on the side and at a site that is asked for; a place that is not told is no place in particular."""
    if side is not None and told.side not in (side, "bilateral"):
        return False
    sites = set(asked.sites) - ANYWHERE
    return all(any(site == other or _same_place(site, other) for other in told.sites) for site in sites)


def agrees(told: Row, asked: Row) -> str:
    """Why degree, size, change and position of what is told are not those asked for; empty where they are."""
    if asked.severity and (told.severity is None or abs(GRADES[told.severity] - GRADES[asked.severity]) > _slack(told, asked)):
        return f"not said to be {asked.severity}"
    if asked.measurement and asked.measurement != told.measurement:
        return f"not said to measure {asked.measurement}"
    if asked.change and asked.change != told.change:
        return f"not said to be {asked.change}"
    if asked.placement and asked.placement != told.placement:
        return f"not said to be {asked.placement}"
    if asked.tip and asked.tip != told.tip:
        return f"its tip is not said to lie at {asked.tip}"
    return ""


def excludes(told: Row, asked: Row, vocabulary: Vocabulary) -> bool:
    """Whether a row that says that something is normal, or that nothing acute is there, leaves no room for what is denied."""
    if told.status != "negative" or told.certainty == "tentative":
        return False
    if vocabulary.concepts[told.concept].kind == "organ":
        if told.side not in (None, "bilateral", asked.side):
            return False
        if vocabulary.concepts[asked.concept].kind == "organ":
            denied, ruled_out = vocabulary.concepts[asked.concept].rules_out, _ruled_out(told.concept, vocabulary.language)
            whole = bool(denied) and all(vocabulary.ancestors(finding) & ruled_out for finding in denied)
            return whole or asked.concept in _parts(told.concept, vocabulary.language)
        return bool(vocabulary.ancestors(asked.concept) & _ruled_out(told.concept, vocabulary.language))
    if vocabulary.concepts[asked.concept].kind == "organ":
        return told.concept in _would_be(asked.concept, vocabulary.language) and told.side is None and told.change is None
    return told.concept == "acute_process" and bool(vocabulary.ancestors(asked.concept) & set(ACUTE))


def _suspected(row: Row) -> bool:
    return row.certainty == "tentative" and not row.presumptive


def _slack(told: Row, asked: Row) -> int:
    """Trace and small are neighbours that readers do not keep apart; all others they do."""
    return 1 if {told.severity, asked.severity} <= {"trace", "small", "mild"} else 0


def _same_place(first: str, second: str) -> bool:
    return any(first in group and second in group for group in SAME_PLACE)


@cache
def _parts(organ: str, language: Language) -> frozenset[str]:
    """An organ and all that it consists of."""
    parts = load(language).concepts[organ].parts
    return frozenset({organ}).union(*(_parts(part, language) for part in parts))


@cache
def _ruled_out(organ: str, language: Language) -> frozenset[str]:
    """What an organ's being normal denies, by itself and by its parts."""
    concepts = load(language).concepts
    return frozenset(finding for part in _parts(organ, language) for finding in concepts[part].rules_out)


@cache
def _would_be(organ: str, language: Language) -> frozenset[str]:
    """The findings whose absence is an organ's being normal: its enlargement, and all that it rules out taken together."""
    vocabulary = load(language)
    enlarged = {finding for (part, quality), finding in vocabulary.compositions.items() if part == organ and quality == "enlarged"}
    return frozenset(enlarged | set(vocabulary.concepts[organ].rules_out))
