"""The vocabulary: concepts and how they hang together, and the trees of terms that find them in a language.

Everything that is known stands in ``vocabulary/``: ``concepts.yaml`` in no language, ``terms_*.yaml`` the names of concepts,
``cues_*.yaml`` the words around them. This module reads them once per process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from medvl.lexicon.terms import Language, TermTree

Kind = Literal["finding", "organ", "device", "procedure"]

GROUPS: dict[str, Kind] = {"findings": "finding", "organs": "organ", "devices": "device", "procedures": "procedure"}
CATEGORIES = {"finding": "pf", "organ": "pf", "device": "oth", "procedure": "oth"}
LISTED = ("severity", "onset", "sides", "sites", "levels", "qualities", "placement", "tips", "change")
PLAIN = (
    "question", "breaks", "links", "alternatives", "with", "verbs", "seen", "determiners", "places", "comparison", "compared_only",
    "directional", "morphology", "distribution", "normal", "adequate", "former", "past", "other_source", "limitation",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing that a report can speak of.

    Attributes:
        concept_id: its name in the tables, e.g. ``pleural_effusion``.
        kind: finding, organ, device or procedure.
        category: Lunguage's code: pf, cf, oth, ncd, ``patient info.``
        parents: what it is a kind of.
        implies: what it means as well, e.g. a blunted costophrenic angle an effusion.
        chexpert: its class among CheXpert's fourteen.
        sites: where it lies unless the report says otherwise; an organ's own site.
        rules_out: for an organ: findings that its being normal denies.
        parts: for an organ: the organs it consists of.
        right_tips, wrong_tips: for a device: where its tip should and should not lie.
    """

    concept_id: str
    kind: Kind
    category: str
    parents: tuple[str, ...] = ()
    implies: tuple[str, ...] = ()
    chexpert: str | None = None
    sites: tuple[str, ...] = ()
    rules_out: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    right_tips: tuple[str, ...] = ()
    wrong_tips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Concepts by id, the findings that organs and qualities make together, and the trees of one language's terms.

    Attributes:
        entities: terms of kind ``concept``; those of kind ``ignored`` only look like one (the *side port* of a tube is no port).
        cues: terms of all other kinds.
        compositions: (organ, quality) → finding.
        narrower: (finding, site) → the finding that has its name from that site.
        quantities: findings that "increased" and "decreased" measure rather than compare.
    """

    language: Language
    concepts: Mapping[str, Concept]
    compositions: Mapping[tuple[str, str], str]
    narrower: Mapping[tuple[str, str], str]
    quantities: frozenset[str]
    entities: TermTree
    cues: TermTree

    def ancestors(self, concept_id: str) -> frozenset[str]:
        """The concept, all that it is a kind of, and all that it implies."""
        return _closure(concept_id, self.language)

    def is_a(self, concept_id: str, other: str) -> bool:
        """Whether the first is, or implies, the second."""
        return other in self.ancestors(concept_id)

    def chexpert(self, concept_id: str) -> str | None:
        """The CheXpert class of a concept or of its nearest ancestor that has one; an organ has none."""
        pending = [concept_id]
        while pending:
            concept = self.concepts[pending.pop(0)]
            if concept.chexpert:
                return concept.chexpert
            pending += concept.parents
        return None


@dataclass(frozen=True, slots=True)
class Cues:
    """What splitting a text needs: header → section code, and abbreviations that do not end a sentence."""

    headers: Mapping[str, str]
    abbreviations: frozenset[str]


@cache
def load(language: Language = "en") -> Vocabulary:
    """The vocabulary of a language.

    Raises:
        ValueError: if there is none.
    """
    table, terms, cues = _read("concepts"), _read(f"terms_{language}"), _read(f"cues_{language}")
    concepts = {name: _concept(name, kind, entry) for group, kind in GROUPS.items() for name, entry in table[group].items()}
    entities = TermTree(language)
    for group in GROUPS:
        for name, patterns in terms[group].items():
            entities.add(patterns, "concept", name)
    entities.add(terms["ignored"], "ignored", "ignored")
    return Vocabulary(
        language=language,
        concepts=concepts,
        compositions=_compositions(table["findings"]),
        narrower={(broad, site): name for name, entry in table["findings"].items() for broad, site in entry.get("at", {}).items()},
        quantities=frozenset(table["quantities"]),
        entities=entities,
        cues=_cue_tree(cues, language),
    )


@cache
def load_cues(language: Language = "en") -> Cues:
    """Headers and abbreviations of a language."""
    cues = _read(f"cues_{language}")
    headers = {name: code for code, names in cues["headers"].items() for name in names}
    return Cues(headers, frozenset(cues["abbreviations"]))


@cache
def _read(name: str) -> Any:
    path = files("medvl.lexicon") / "vocabulary" / f"{name}.yaml"
    if not path.is_file():
        raise ValueError(f"the lexicon has no table {name!r}")
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # plain strings only: "no" and "on" are words here


def _concept(name: str, kind: Kind, entry: Mapping[str, Any]) -> Concept:
    def listed(field: str) -> tuple[str, ...]:
        return tuple(entry.get(field, ()))

    return Concept(
        name, kind, entry.get("category", CATEGORIES[kind]), listed("parents"), listed("implies"), entry.get("chexpert"),
        listed("sites") or ((entry["site"],) if entry.get("site") else ()), listed("rules_out"), listed("parts"),
        listed("right"), listed("wrong"),
    )  # fmt: skip


def _compositions(findings: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    return {
        (organ, quality): name
        for name, entry in findings.items()
        for organ, qualities in entry.get("when", {}).items()
        for quality in qualities
    }


def _cue_tree(cues: Mapping[str, Any], language: Language) -> TermTree:
    tree = TermTree(language)
    for kind in LISTED:
        for value, patterns in cues[kind].items():
            tree.add(patterns, kind, value)
    for direction, patterns in cues["negation"].items():
        tree.add(patterns, f"negation_{direction}", direction)
    for direction, patterns in cues["hedge"].items():
        tree.add(patterns, f"hedge_{direction}", direction)
    for place in cues["located"]:
        tree.add(place["terms"], "sides", place["side"])
        tree.add(place["terms"], "sites", place["site"])
    for kind in PLAIN:
        tree.add(cues[kind], kind, kind)
    return tree


@cache
def _closure(concept_id: str, language: Language) -> frozenset[str]:
    concepts = load(language).concepts
    found: set[str] = set()
    pending: list[str] = [concept_id]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += _next(concepts[name])
    return frozenset(found)


def _next(concept: Concept) -> Iterable[str]:
    return (*concept.parents, *concept.implies)
