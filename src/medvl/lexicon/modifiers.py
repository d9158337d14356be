"""What is said of an entity beside its status: place, grade, size, form, change, the position of a device.

A modifier belongs to the next entity on its right when only words of the same noun phrase stand between (*small left effusion*), else to
the nearest one on its left (*effusion in the left base*, *effusion has increased*). Sides and changes are shared through *and*: forward
with items that bring none of their own, backward over the list that a verb ends (*A and B are unchanged*).
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field

from medvl.lexicon.concepts import Vocabulary
from medvl.lexicon.mentions import Analysis
from medvl.lexicon.terms import Match, fold

MEASURE = re.compile(
    r"\d+(?:[.,]\d+)?(?:\s*(?:x|×|by|por|to|a|-)\s*\d+(?:[.,]\d+)?){0,2}[\s-]*(?:cm|mm|centimet(?:er|re)s?|millimet(?:er|re)s?|cent[ií]metros?|mil[ií]metros?)\b",
    re.IGNORECASE,
)
ADVERBS = ("ly", "ment")  # as folded
AMOUNTS = frozenset(
    {"increase", "decrease", "improvement", "progression", "reduction", "growth", "enlargement", "interval"}
    | {
        fold(w, "es")
        for w in ("aumento", "incremento", "disminución", "descenso", "reducción", "mejoría", "empeoramiento", "progresión", "regresión")
    }
)
"""Nouns of change: a degree before them is theirs."""
LEVELLED = {
    site: level
    for level, sites in (
        ("upper", ("upper lobe", "upper lung")),
        ("middle", ("middle lobe", "mid lung")),
        ("lower", ("lower lobe", "lower lung")),
    )
    for site in sites
}
"""Site → its level among its like: *upper and lower lobes* share the noun."""
KINDS = ("severity", "onset", "morphology", "distribution", "change", "placement", "tips", "past", "other_source", "limitation")
SHARED = ("change", "place")
WITHIN_PLACE = ("determiners", "sides", "sites", "severity")
UNLINKING = ("verbs", "with", "breaks", "negation_before", "hedge_before", "negation_after", "change")


@dataclass(slots=True)
class Place:
    """One stretch of words that says where: *in the right lower lobe*."""

    side: str | None
    sites: tuple[str, ...]
    start: int
    end: int


@dataclass(slots=True)
class Modifiers:
    """Everything that belongs to one entity: cues by kind, its places, its measurements (as written)."""

    cues: dict[str, list[Match]] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    measurements: list[str] = field(default_factory=list)


def attach(analysis: Analysis, vocabulary: Vocabulary) -> list[Modifiers]:
    """One ``Modifiers`` per entity, in order."""
    found = [Modifiers() for _ in analysis.entities]
    if not found:
        return found
    for cue in analysis.cues:
        for kind in KINDS:
            if kind in cue.meanings:
                for index in _owners(analysis, cue, kind, vocabulary):
                    found[index].cues.setdefault(kind, []).append(cue)
    for place in _places(analysis, vocabulary):
        for index in _targets(analysis, place.start, place.end, "place"):
            found[index].places.append(place)
    _measure(analysis, found, vocabulary)
    _share(analysis, found)
    return found


def _owners(analysis: Analysis, cue: Match, kind: str, vocabulary: Vocabulary) -> list[int]:
    inside = analysis.entity_at[cue.start]
    described = kind == "change" and "compared_only" in cue.meanings  # "a nodule, enlarged since …", not "the heart remains enlarged"
    if inside >= 0:
        entity = analysis.entities[inside]
        quality = entity.predicate == (cue.start, cue.end)
        if quality and (described or (kind in ("severity", "change") and not _compares(analysis))):
            return []
        return [inside] if kind != "placement" else []
    if kind in ("placement", "tips"):
        return _device(analysis, cue, vocabulary)
    owners = _targets(analysis, cue.start, cue.end, kind)
    if kind == "severity" and (change := _graded_change(analysis, cue)) is not None:
        bare = "directional" in change.meanings and not _compares(analysis)  # "mildly increased opacity" grades the opacity
        return [i for i in owners if bare and analysis.entities[i].concept in vocabulary.quantities]
    if described:
        owners = [i for i in owners if _compares(analysis) and analysis.entities[i].predicate is None]
    if kind == "change" and "directional" in cue.meanings and not _compares(analysis):
        owners = [i for i in owners if analysis.entities[i].concept not in vocabulary.quantities]
    return owners


def _graded_change(analysis: Analysis, cue: Match) -> Match | None:
    """The change that a word of degree grades: *slightly larger*, *slight decrease*, *has decreased slightly*; not *small, unchanged*."""
    words = analysis.words
    adverb = words[cue.end - 1].folded.endswith(ADVERBS)
    after = analysis.cue_at[cue.end] if cue.end < len(words) else None
    if after is not None and "change" in after.meanings and analysis.entity_at[after.start] < 0:
        return after if adverb or any(w.folded in AMOUNTS for w in words[after.start : after.end]) else None
    before = analysis.cue_at[cue.start - 1] if cue.start > 0 else None
    qualifies = cue.end < len(words) and (analysis.entity_at[cue.end] >= 0 or (after is not None and "qualities" in after.meanings))
    return before if adverb and not qualifies and before is not None and "change" in before.meanings else None


def _compares(analysis: Analysis) -> bool:
    return any("comparison" in cue.meanings for cue in analysis.cues)


def _device(analysis: Analysis, cue: Match, vocabulary: Vocabulary) -> list[int]:
    """The device whose position a cue tells: the nearest before it, else the nearest after it."""
    devices = [i for i, e in enumerate(analysis.entities) if vocabulary.concepts[e.concept].kind == "device"]
    before = [i for i in devices if analysis.entities[i].end <= cue.start]
    return before[-1:] or [i for i in devices if analysis.entities[i].start >= cue.end][:1]


def _targets(analysis: Analysis, start: int, end: int, kind: str) -> list[int]:
    inside = analysis.entity_at[start]
    if inside >= 0:
        return [inside]
    after_place = start > 0 and kind == "place" and _preposition_before(analysis, start)
    after_verb = start > 0 and analysis.has(start - 1, "verbs")
    left = _left(analysis, start)
    if not ((after_place or after_verb) and left is not None):
        right = _right(analysis, end)
        if right is not None:
            return [right]
    if left is None:
        left = next((i for i in analysis.entity_at[end:] if i >= 0), None)
        return [] if left is None else [left]
    return [left, *_listed_before(analysis, left)] if kind in SHARED and _verb_between(analysis, left, start) else [left]


def _preposition_before(analysis: Analysis, position: int) -> bool:
    position -= 1
    while position >= 0 and (
        analysis.has(position, "determiners") or any(analysis.has(position, k) for k in ("sides", "sites", "severity"))
    ):
        position -= 1
    return position >= 0 and analysis.has(position, "places")


def _right(analysis: Analysis, position: int) -> int | None:
    """The next entity within the same noun phrase."""
    while position < len(analysis.words):
        if analysis.entity_at[position] >= 0:
            return analysis.entity_at[position]
        if analysis.words[position].folded in (",", ";", ":", "(", ")") or any(
            analysis.has(position, kind) for kind in ("verbs", "with", "links", "breaks", "negation_before", "hedge_before")
        ):
            return None
        position += 1
    return None


def _left(analysis: Analysis, position: int) -> int | None:
    return next((i for i in reversed(analysis.entity_at[:position]) if i >= 0), None)


def _verb_between(analysis: Analysis, index: int, position: int) -> bool:
    end = max(end for _, end in analysis.entities[index].spans() if end <= position)
    between = range(end, position)
    return any(analysis.has(p, "verbs") for p in between) or (
        analysis.cue_at[position] is not None and analysis.has(position, "comparison")
    )


def _listed_before(analysis: Analysis, index: int) -> list[int]:
    """Entities linked to the one at ``index`` in the subject of the same verb."""
    return [i for i in range(index) if _linked(analysis, i, index)]


def _linked(analysis: Analysis, first: int, second: int) -> bool:
    """Whether only list words and modifiers stand between two entities."""
    start, end = analysis.entities[first].end, analysis.entities[second].start
    if start >= end:
        return False
    links = False
    for position in range(start, end):
        if any(
            analysis.has(position, kind)
            for kind in ("verbs", "with", "breaks", "negation_before", "hedge_before", "negation_after", "change")
        ):
            return False
        links = links or analysis.has(position, "links") or analysis.words[position].folded == ","
    return links


def _places(analysis: Analysis, vocabulary: Vocabulary) -> list[Place]:
    """Neighbouring words of side and site, one place each; a finding's own site (*pleural* effusion) is none."""
    found: list[Place] = []
    for cue in analysis.cues:
        side, site = cue.meanings.get("sides"), cue.meanings.get("sites")
        levelled = site is None and "levels" in cue.meanings
        if levelled:
            site = _shared_noun(analysis, cue)
        if side == "bilateral" and _sided_next(analysis, cue.end):  # "both left and right"
            side = None
        inside = analysis.entity_at[cue.start]
        if inside >= 0 and site in vocabulary.concepts[analysis.entities[inside].concept].sites:
            site = None
        if side is None and site is None:
            continue
        last = found[-1] if found else None
        near = last is not None and (
            _adjoining(analysis, last.end, cue.start) or (site in LEVELLED and _listed(analysis, last, cue, levelled))
        )
        if last is not None and near and not (side and last.side):
            found[-1] = Place(side or last.side, (*last.sites, *((site,) if site else ())), last.start, cue.end)
        else:
            found.append(Place(side, (site,) if site else (), cue.start, cue.end))
    for place, following in itertools.pairwise(found):
        if place.side and not place.sites and following.side and _only_links(analysis, place.end, following.start):
            place.sites = following.sites  # "left and right lower lobe"
    return found


def _shared_noun(analysis: Analysis, cue: Match) -> str | None:
    """The site of a bare *upper* whose noun stands with another level: *upper and lower lobes*, *lóbulos superior e inferior*."""
    for step, position in ((1, cue.end), (-1, cue.start - 1)):
        while 0 <= position < len(analysis.words):
            other = analysis.cue_at[position]
            site = other.meanings.get("sites") if other else None
            if site in LEVELLED:
                like = [s for s in LEVELLED if s.split()[-1] == site.split()[-1]]
                return next(s for s in like if LEVELLED[s] == cue.meanings["levels"])
            joined = _is_link(analysis, position) or any(analysis.has(position, k) for k in ("levels", "sides", "determiners"))
            if not joined:
                break
            position += step
    return None


def _listed(analysis: Analysis, place: Place, cue: Match, levelled: bool) -> bool:
    """Whether a site goes on a list of levels that share their noun and their side."""
    ends_bare = analysis.has(place.end - 1, "levels") and not analysis.has(place.end - 1, "sites")
    return bool(place.sites) and (levelled or ends_bare) and _only_links(analysis, place.end, cue.start)


def _only_links(analysis: Analysis, start: int, end: int) -> bool:
    return start < end and all(_is_link(analysis, p) or analysis.has(p, "determiners") for p in range(start, end))


def _is_link(analysis: Analysis, position: int) -> bool:
    return analysis.words[position].folded == "," or analysis.has(position, "links")


def _sided_next(analysis: Analysis, position: int) -> bool:
    while position < len(analysis.words) and analysis.has(position, "determiners"):
        position += 1
    return position < len(analysis.words) and analysis.has(position, "sides")


def _adjoining(analysis: Analysis, end: int, start: int) -> bool:
    same = analysis.entity_at[end - 1] == analysis.entity_at[start]
    return same and all(analysis.has(p, "places") or analysis.has(p, "determiners") for p in range(end, start))


def _measure(analysis: Analysis, found: list[Modifiers], vocabulary: Vocabulary) -> None:
    first = analysis.words[0].start
    for match in MEASURE.finditer(analysis.text):
        inside = [i for i, w in enumerate(analysis.words) if match.start() <= w.start - first < match.end()]
        if not inside:
            continue
        tip = any(analysis.has(p, "tips") for p in range(inside[-1] + 1, min(inside[-1] + 6, len(analysis.words))))
        cue = Match(inside[0], inside[-1] + 1, {})
        owners = _device(analysis, cue, vocabulary) if tip else _targets(analysis, cue.start, cue.end, "measurement")
        for index in owners:
            found[index].measurements.append(match[0])


def _share(analysis: Analysis, found: list[Modifiers]) -> None:
    """Give an item of a list the side or change of the item before it, when it has none of its own."""
    for index in range(1, len(found)):
        before, here = found[index - 1], found[index]
        if not _linked(analysis, index - 1, index):
            continue
        one = [p for p in before.places if p.end <= analysis.entities[index - 1].start and p.side]
        if one and not here.places:
            here.places.append(Place(one[-1].side, (), one[-1].start, one[-1].end))
        early = [c for c in before.cues.get("change", []) if c.end <= analysis.entities[index - 1].start]
        if early and "change" not in here.cues and not any(here.cues.get(k) for k in ("severity",)):
            here.cues["change"] = early[-1:]
