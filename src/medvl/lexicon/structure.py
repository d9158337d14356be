"""A report as structured rows: one per thing mentioned and place, each decision explained. Rules on the lexicon; no model.

Follows the single-report schema of Lunguage (Moon et al., CHIL 2026): entity, category, status (negative is absent or normal), certainty,
place, grade, change. What has resolved stays positive with ``change="resolved"``, as there. A bilateral finding is one row, a finding at
two places two. Departures: grade words of all kinds are mapped to one scale (trace < small, mild < moderate < large, severe), and the
position of a device is judged from where its tip is said to lie when no word judges it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from medvl.lexicon.concepts import Concept, Vocabulary, load
from medvl.lexicon.mentions import Analysis, Entity, analyse
from medvl.lexicon.modifiers import Modifiers, Place, attach
from medvl.lexicon.scope import Standing, standings
from medvl.lexicon.sentences import Sentence, split_sentences
from medvl.lexicon.terms import Language, words

Status = Literal["positive", "negative"]
Certainty = Literal["definitive", "tentative"]
Side = Literal["left", "right", "bilateral"]
Change = Literal["new", "worse", "improved", "stable", "resolved"]

SKIPPED_SECTIONS = ("hist", "none")
TUBE_ABOVE_CARINA = (2.0, 7.0)  # centimetres that are a proper position of an endotracheal tube's tip
CHANGES: tuple[Change, ...] = ("resolved", "new", "worse", "improved", "stable")  # the first that is said counts
FORMER_WITHIN = 5  # words before a name
FORMER_AFTER = 3  # and after it: "effusion at the base seen previously"
NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that a report says.

    Attributes:
        concept: its id in the vocabulary.
        entity: its words in the report.
        category: Lunguage's code: pf, cf, oth, ncd, ``patient info.``
        status: negative means absent, or for an organ normal.
        certainty: tentative when hedged.
        presumptive: hedged, but in words by which readers commit themselves (*consistent with*).
        side: ``None`` when not told.
        sites: where on that side, canonical (``lower lobe``, ``base``).
        severity: trace, small, mild, moderate, large or severe; ``None`` when not told.
        measurement: a length as written (``2.3 cm``).
        change: since the prior study.
        placement: of a device: ``proper`` or ``malpositioned``; ``None`` when not told.
        tip: of a device: where its tip lies, canonical (``superior vena cava``).
        attributes: Lunguage column → words as written: location, severity, onset, morphology, distribution, placement, improved,
            worsened, ``no change``, …
        sentence: index of the sentence in the text.
        span: characters [start, end) of the entity in the text.
        text: the sentence.
        section: find, impr or ``None`` where the text has no headers.
        explanation: why, one decision each.
    """

    concept: str
    entity: str
    category: str
    status: Status
    certainty: Certainty
    side: Side | None = None
    sites: tuple[str, ...] = ()
    severity: str | None = None
    measurement: str | None = None
    change: Change | None = None
    placement: Literal["proper", "malpositioned"] | None = None
    tip: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    sentence: int = 0
    span: tuple[int, int] = (0, 0)
    text: str = ""
    section: str | None = None
    explanation: tuple[str, ...] = ()
    presumptive: bool = False


COLUMNS = {
    "severity": "severity", "onset": "onset", "morphology": "morphology", "distribution": "distribution", "placement": "placement",
    "past": "past hx", "other_source": "other source", "limitation": "assessment limitations",
}  # fmt: skip
CHANGE_COLUMNS = {"new": "onset", "worse": "worsened", "improved": "improved", "stable": "no change", "resolved": "improved"}


def structure(text: str, *, language: Language = "en") -> list[Row]:
    """The rows of a report, a section or a sentence, in order of mention.

    Under headers, indication, history, technique and comparison are left aside.

    Args:
        text: any text; line breaks count as spaces within a sentence.
        language: ``en`` or ``es``.
    """
    vocabulary = load(language)
    rows: list[Row] = []
    for number, sentence in enumerate(split_sentences(text, language)):
        if sentence.section not in SKIPPED_SECTIONS:
            rows += _sentence_rows(sentence, number, vocabulary)
    return rows


def _sentence_rows(sentence: Sentence, number: int, vocabulary: Vocabulary) -> list[Row]:
    split = words(sentence.text, vocabulary.language, offset=sentence.start)
    if not split:
        return []
    written = sentence.text[split[0].start - sentence.start :]
    analysis = analyse(written, split, vocabulary)
    told = zip(analysis.entities, standings(analysis), attach(analysis, vocabulary), strict=True)
    rows = []
    for entity, standing, modifiers in told:
        if not standing.asked:
            rows += _entity_rows(entity, standing, modifiers, analysis, sentence, number, vocabulary)
    return rows


def _entity_rows(
    entity: Entity, standing: Standing, modifiers: Modifiers, analysis: Analysis, sentence: Sentence, number: int, vocabulary: Vocabulary
) -> list[Row]:
    concept = vocabulary.concepts[entity.concept]
    explanation = [f"“{analysis.quoted(entity.start, entity.end)}” is {entity.concept} ({entity.why})", *standing.why]
    change = _change(modifiers, analysis, explanation)
    negative = standing.negative
    if negative and change is None and not entity.normal and _formerly(entity, analysis):
        change = "resolved"
        explanation.append("resolved: was there before, and is denied now")
    if negative and change == "resolved" and not entity.normal:
        negative = False
        explanation.append("resolved: told as positive, as in Lunguage")
    severity = _first(modifiers, "severity")
    placement, tip = _position(concept, modifiers, analysis, vocabulary, explanation) if concept.kind == "device" else (None, None)
    rows = []
    for place in _separate(modifiers.places, entity) or (None,):
        narrow = next((n for s in (place.sites if place else ()) if (n := vocabulary.narrower.get((entity.concept, s)))), entity.concept)
        rows.append(
            Row(
                concept=narrow,
                entity=analysis.quoted(entity.start, entity.end),
                category=concept.category,
                status="negative" if negative else "positive",
                certainty="tentative" if standing.tentative else "definitive",
                side=cast(Side | None, place.side) if place else None,
                sites=tuple(s for s in place.sites if s not in vocabulary.concepts[narrow].sites) if place else (),
                severity=severity,
                measurement=modifiers.measurements[0] if modifiers.measurements else None,
                change=change,
                placement=placement,
                tip=tip,
                attributes=_attributes(modifiers, place, change, analysis),
                sentence=number,
                span=(analysis.words[entity.start].start, analysis.words[entity.end - 1].end),
                text=sentence.text,
                section=sentence.section,
                explanation=tuple(explanation),
                presumptive=standing.presumptive,
            )
        )
    return rows


def _formerly(entity: Entity, analysis: Analysis) -> bool:
    """*The previously seen effusion*, *derrame previo*: the name says that it was there."""
    clause = analysis.clause[entity.start]
    before, after = range(max(0, entity.start - FORMER_WITHIN), entity.start), range(entity.end, entity.end + FORMER_AFTER)
    if any(analysis.has(p, "former") and analysis.clause[p] == clause and not _denied(analysis, p) for p in before):
        return True
    return any(p < len(analysis.words) and analysis.has(p, "former") and analysis.clause[p] == clause for p in after)


def _denied(analysis: Analysis, position: int) -> bool:
    return position > 0 and analysis.has(position - 1, "negation_before")


def _first(modifiers: Modifiers, kind: str) -> str | None:
    cues = modifiers.cues.get(kind)
    return cues[0].meanings[kind] if cues else None


def _change(modifiers: Modifiers, analysis: Analysis, explanation: list[str]) -> Change | None:
    """The change that counts of those told: resolved before new before a direction before stable."""
    for value in CHANGES:
        for cue in modifiers.cues.get("change", []):
            if cue.meanings["change"] == value:
                explanation.append(f"{value} by “{analysis.quoted(cue.start, cue.end)}”")
                return value
    return None


def _separate(places: list[Place], entity: Entity) -> list[Place]:
    """Places that contradict each other stay apart; a side and a site told apart are one place, and a site in the name is part of all."""
    merged: list[Place] = []
    named = [p for p in places if entity.start <= p.start < entity.end]
    for place in [p for p in places if p not in named]:
        fitting = next((m for m in merged if not (m.side and place.side and m.side != place.side) and not (m.sites and place.sites)), None)
        if fitting is None:
            if not any(m.side == place.side and m.sites == place.sites for m in merged):
                merged.append(Place(place.side, place.sites, place.start, place.end))
        else:
            fitting.side, fitting.sites = fitting.side or place.side, fitting.sites or place.sites
    side = next((m.side for m in merged if m.side), None)
    sites = tuple(site for p in named for site in p.sites)
    if named and not merged:
        merged = [Place(named[0].side, (), named[0].start, named[-1].end)]
    for place in merged:
        place.side = place.side or side
        place.sites = tuple(dict.fromkeys((*place.sites, *sites)))
    return merged


def _attributes(modifiers: Modifiers, place: Place | None, change: str | None, analysis: Analysis) -> dict[str, str]:
    found = {}
    if place is not None:
        found["location"] = analysis.quoted(place.start, place.end)
    for kind, column in COLUMNS.items():
        cues = modifiers.cues.get(kind)
        if cues:
            found[column] = ", ".join(analysis.quoted(c.start, c.end) for c in cues)
    if modifiers.measurements:
        found["measurement"] = ", ".join(modifiers.measurements)
    if change is not None:
        told = [analysis.quoted(c.start, c.end) for c in modifiers.cues.get("change", []) if c.meanings["change"] == change]
        found[CHANGE_COLUMNS[change]] = told[0] if told else change
    return found


def _position(
    device: Concept, modifiers: Modifiers, analysis: Analysis, vocabulary: Vocabulary, explanation: list[str]
) -> tuple[Literal["proper", "malpositioned"] | None, str | None]:
    """Whether a device lies well, and where its tip is: the words that judge it first, then the tip, then the distance."""
    right, wrong = _tips(device, vocabulary)
    told = [c.meanings["tips"] for c in modifiers.cues.get("tips", [])]
    tip = next((t for t in told if t in wrong), None) or next((t for t in told if t in right), None)
    said = [c.meanings["placement"] for c in modifiers.cues.get("placement", [])]
    if said:
        placement: Literal["proper", "malpositioned"] = "malpositioned" if "malpositioned" in said else "proper"
        explanation.append(f"{placement} by the words for its position")
        return placement, tip
    if tip is None:
        return None, None
    placement = "malpositioned" if tip in wrong else "proper"
    if device.concept_id == "endotracheal_tube" and tip == "above carina" and modifiers.measurements:
        low, high = TUBE_ABOVE_CARINA
        placement = "proper" if low <= _centimetres(modifiers.measurements[0]) <= high else "malpositioned"
    explanation.append(f"{placement}: its tip lies at {tip}")
    return placement, tip


def _tips(device: Concept, vocabulary: Vocabulary) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tips of the device or of the nearest device that it is a kind of."""
    while not device.right_tips and device.parents:
        device = vocabulary.concepts[device.parents[0]]
    return device.right_tips, device.wrong_tips


def _centimetres(measurement: str) -> float:
    number = NUMBER.search(measurement)
    value = float(number[0].replace(",", ".")) if number else 0.0
    return value / 10 if "mm" in measurement.lower() or "mil" in measurement.lower() else value
