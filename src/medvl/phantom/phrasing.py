"""Statements into sentences, English and Spanish at once: the wording is drawn from a phrase bank, what is said is not.

Every slot that a statement fills (side, zone, severity) appears in the words: only templates that have the slot are eligible. Some noun
phrases say a little more than their subject ("linear atelectasis"); the bank marks them, and pairs for inference go without them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from medvl.phantom.facts import ChangeLabel
from medvl.phantom.language import grammar
from medvl.phantom.language.bank import Bank, NounPhrase, Pair
from medvl.phantom.language.grammar import Forms, Gender, agreeing
from medvl.phantom.statements import DEVICES, Statement

T = TypeVar("T")

PREPOSITION = re.compile(r"^(?:in|at|on|of|within|over|toward|around|near|along|above|just above|involving|adjacent to) (?:the )?")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a report.

    Attributes:
        statements: what it says; several for a list of negatives.
        texts: language → the sentence.
        words: for each statement the English words it was told in: ``entity`` and, where told, ``location``, ``severity``, ``change``.
    """

    statements: tuple[Statement, ...]
    texts: Mapping[str, str]
    words: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Surface:
    """The words drawn for one statement's slots, in both languages."""

    en: dict[str, Forms]
    es: dict[str, Forms]


@dataclass(frozen=True, slots=True)
class _NounText:
    """A noun phrase in words: English with its article, and what the sentence around it has to agree with."""

    en: str
    es: str
    article: str
    plural: bool
    gender: Gender
    words: dict[str, str]


def phrase(statements: Sequence[Statement], bank: Bank, random: np.random.Generator) -> Sentence:
    """The sentence for the statements of one group.

    Args:
        statements: one; or several plain negatives; or one or two plain positives followed by negatives or none; or heart and
            mediastinum both normal; or an opacity and the pneumonia it means.

    Raises:
        ValueError: if the bank has no words for them.
    """
    group = tuple(statements)
    joint = " ".join(s.subject for s in group)
    mixed = len({s.status for s in group}) > 1  # an opacity beside a denied pneumonia is no opacity that means one
    if len(group) > 1 and (mixed or joint not in bank.sentences):
        return (_compound if group[0].status == "positive" else _denial)(group, bank, random)
    first = group[-1]
    if len(group) == 1 and first.status == "negative" and first.change is None and first.subject in bank.denied:
        whole = bank.sentences.get(first.subject, {}).get("negative", ())
        if not whole or random.random() < 0.75:
            return _denial(group, bank, random)
    surface = _surface(first, bank, random)
    template, noun = _template(first, joint, bank, random)
    return _render(group, template, noun, surface)


def swapped(statement: Statement, change: ChangeLabel, bank: Bank, random: np.random.Generator) -> tuple[Sentence, Sentence] | None:
    """The statement's change and another (or the same) change told in one sentence that differs only in the word for the change.

    Returns:
        ``None`` if the bank has only one word for the change, so that the two sentences would be equal.
    """
    told = replace(statement, severity_word=None)
    first = _draw(bank.cues[told.change or "stable"], random)
    others = [c for c in bank.cues[change] if c != first]
    if not others:
        return None
    frame, noun, surface = _draw(bank.frames["temporal"], random), _draw(_nouns(told, bank), random), _surface(told, bank, random)
    other = replace(told, change=change, status="negative" if change == "resolved" else "positive")
    one, two = (
        _render((s,), Pair(frame.en.replace("{cue}", f"~{c.en}~"), frame.es.replace("{cue}", c.es)), noun, surface)
        for s, c in ((told, first), (other, _draw(others, random)))
    )
    return one, two


def _told_words(surface: Mapping[str, Forms], used: frozenset[str]) -> dict[str, str]:
    """The location and the severity as the sentence words them."""
    location = next((str(surface[slot]) for slot in ("at", "site", "side") if slot in used and surface.get(slot)), "")
    severity = str(surface.get("severity", ""))
    found = {"location": PREPOSITION.sub("", location), "severity": severity}
    return {name: word for name, word in found.items() if word}


def _denial(group: tuple[Statement, ...], bank: Bank, random: np.random.Generator) -> Sentence:
    nouns = [_draw(bank.denied[s.subject], random) for s in group]
    frame = _draw(bank.frames["denial"], random)
    plural = len(group) > 1 or nouns[0].number == "p" or nouns[0].gender.endswith("p")
    comma = "," if len(group) > 2 and random.random() < 0.4 else ""
    en = grammar.fill(frame.en, {"list": _listed([n.en for n in nouns], comma + " or ")}, plural=plural)
    es = grammar.fill(frame.es, {"list": _listed([n.es for n in nouns], " ni ")}, plural=plural)
    entities = [grammar.entity(n.en)[0] for n in nouns]
    return Sentence(group, {"en": grammar.finish(en, "en"), "es": grammar.finish(es, "es")}, tuple({"entity": e} for e in entities))


def _compound(group: tuple[Statement, ...], bank: Bank, random: np.random.Generator) -> Sentence:
    """Two findings in one sentence, or one and what is not there: "a small effusion without pneumothorax"."""
    present = [_noun_text(s, _draw(_nouns(s, bank), random), _surface(s, bank, random)) for s in group if s.status == "positive"]
    nouns = [_draw(bank.denied[s.subject], random) for s in group if s.status == "negative"]
    frame = _draw(bank.frames["contrast" if nouns else "together"], random)
    en = {"list": _listed([n.en for n in nouns], " or "), "one": present[0].en, "two": present[-1].en}
    es = {"list": _listed([n.es for n in nouns], " ni "), "one": present[0].es, "two": present[-1].es}
    texts = {
        "en": grammar.finish(grammar.fill(frame.en, en, plural=present[0].plural), "en"),
        "es": grammar.finish(grammar.fill(frame.es, es, plural=present[0].gender.endswith("p")), "es"),
    }
    words = [*(p.words for p in present), *({"entity": grammar.entity(n.en)[0]} for n in nouns)]
    return Sentence(group, texts, tuple(words))


def _listed(items: Sequence[str], last: str) -> str:
    return "".join(items) if len(items) < 2 else ", ".join(items[:-1]) + last + items[-1]


def _template(statement: Statement, joint: str, bank: Bank, random: np.random.Generator) -> tuple[Pair, NounPhrase | None]:
    """A whole sentence of the subject, or a frame with one of its noun phrases."""
    kind = _kind(statement)
    whole = [p for p in bank.sentences.get(joint, {}).get(kind, ()) if _tells(p.en, statement)]
    nouns = []
    if joint == statement.subject and kind != "negative":
        nouns = _nouns(statement, bank)
    if whole and (not nouns or random.random() < min(0.4, 0.12 * len(whole))):
        return _draw(whole, random), None
    if not nouns:
        raise ValueError(f"the phrase bank has no words for {statement}")
    if statement.subject in DEVICES:
        frames = bank.devices["frames"][kind]
    elif kind == "positive" and statement.section == "impression" and random.random() < 0.6:
        frames = bank.frames["headline"]
    else:
        frames = bank.frames[kind]
    return _draw(frames, random), _draw(nouns, random)


def _nouns(statement: Statement, bank: Bank) -> list[NounPhrase]:
    return [n for n in bank.nouns.get(statement.subject, ()) if _tells(n.en, statement)]


def _kind(statement: Statement) -> str:
    if statement.change:
        return statement.change
    if statement.status == "negative":
        return "negative"
    return "positive" if statement.certain else "uncertain"


def _tells(template: str, statement: Statement) -> bool:
    """Whether the template has a slot for each thing the statement says."""
    slots = grammar.slots(template)
    if statement.severity_word and not slots & {"severity", "severity_ly"}:
        return False
    if statement.zone:
        return bool(slots & {"site", "at"})
    return not statement.side or bool(slots & {"side", "site", "at"})


def _surface(statement: Statement, bank: Bank, random: np.random.Generator) -> _Surface:
    en: dict[str, Forms] = {}
    es: dict[str, Forms] = {}
    if statement.side:
        en["side"], es["side"] = statement.side, grammar.SIDES[statement.side]
    if statement.severity_word:
        word, masculine, feminine = _draw(bank.severity[bank.scale[statement.subject]][statement.severity_word], random)
        en |= {"severity": word, "severity_ly": word + "ly"}
        es |= {"severity": agreeing(masculine, feminine), "severity_ly": f"de forma {feminine}"}
    if statement.subject in bank.place:
        zones = bank.sites[bank.place[statement.subject]]
        prefix = {"bilateral": "both ", None: "none "}.get(statement.side, "")
        entry = _draw(zones.get(f"{prefix}{statement.zone}") or zones[f"{prefix}any"], random)
        en |= {"site": grammar.fill(entry[0], en, plural=False), "at": grammar.fill(entry[2], en, plural=False)}
        es |= {name: _forms(entry[i], es) for name, i in (("site", 1), ("at", 3))}
    prior = _draw(bank.priors, random)
    en["prior"], es["prior"] = prior.en, prior.es
    if statement.tip_cm is not None:
        en["cm"], es["cm"] = f"{statement.tip_cm:.1f}", f"{statement.tip_cm:.1f}".replace(".", ",")
    if statement.placement:
        tip = _draw(bank.devices[statement.subject][statement.placement], random)
        en["tip"] = grammar.fill(tip.en, en, plural=False)
        es["tip"] = _forms(tip.es, es)
    return _Surface(en, es)


def _forms(template: str, values: Mapping[str, Forms]) -> dict[str, str]:
    return {g: grammar.fill(template, values, plural=g.endswith("p"), gender=g) for g in grammar.GENDERS}


def _noun_text(statement: Statement, noun: NounPhrase, surface: _Surface) -> _NounText:
    plural = noun.number == "p" or (noun.number == "b" and statement.side == "bilateral")
    phrase_en = grammar.fill(noun.en, surface.en, plural=plural)
    phrase_es = grammar.fill(noun.es, surface.es, plural=noun.gender.endswith("p"), gender=noun.gender)
    article = "a" if noun.number in ("s", "b") and not plural else ""
    words = {"entity": grammar.entity(phrase_en)[0]} | _told_words(surface.en, grammar.slots(noun.en))
    return _NounText(f"{article} {phrase_en}", phrase_es, article, plural, noun.gender, words)


def _render(group: tuple[Statement, ...], template: Pair, noun: NounPhrase | None, surface: _Surface) -> Sentence:
    en, es, plural = dict(surface.en), dict(surface.es), group[-1].side == "bilateral"
    gender: Gender = "m"
    told = _told_words(surface.en, grammar.slots(template.en))
    if noun is not None:
        made = _noun_text(group[-1], noun, surface)
        plural, gender, told = made.plural, made.gender, told | made.words
        en |= {"np": made.en.removeprefix(f"{made.article} "), "a": made.article}
        es["np"] = made.es
    raw = grammar.fill(template.en, en, plural=plural)
    raw_es = grammar.fill(template.es, es, plural=gender.endswith("p"), gender=gender)
    entities, change = grammar.entity(raw), grammar.cue(raw)
    told |= {"entity": entities[-1]} | ({"change": change} if change else {})
    words = [told | ({"entity": entities[i]} if len(entities) == len(group) else {}) for i in range(len(group))]
    return Sentence(group, {"en": grammar.finish(raw, "en"), "es": grammar.finish(raw_es, "es")}, tuple(words))


def _draw(options: Sequence[T], random: np.random.Generator) -> T:
    return options[int(random.integers(len(options)))]
