"""The phrase banks: pairs of English and Spanish templates, read once from the YAML files beside this module.

``train.yaml`` words the training and validation patients, ``test.yaml`` (frozen) those of the test split, ``context.yaml`` the parts
around the findings for both. Grammar of a template, see ``grammar.py``:

- ``{severity}``, ``{side}``, ``{site}`` (adjective: "right lower lobe"), ``{at}`` ("in the right lower lobe"), ``{np}`` (a noun
  phrase of the subject), ``{one}`` and ``{two}`` (noun phrases with article), ``{prior}`` ("the prior study"), ``{cm}``,
  ``{list}``, ``{tip}``; ``{a}``: the English article if the noun takes one. A slot without a value vanishes.
- Spanish agreement with the noun phrase: ``{el}``, ``{un}``, ``{o}`` (nuev{o} → nuevo, nueva, nuevos, nuevas); ``{side.f}``
  forces a gender.
- ``[is|are]`` chooses by number; ``<…>`` marks the entity, ``~…~`` the word for the change; the marks are taken out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from medvl.phantom.language.grammar import Gender

BankName = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """A template for the thing itself.

    Attributes:
        number: ``s`` singular, ``p`` plural, ``m`` mass, ``b`` plural when bilateral.
        gender: Spanish ``m``, ``f``, ``mp``, ``fp``.
        detail: ``detail`` when it says a little more than the subject ("linear atelectasis"), which matters to inference.
    """

    en: str
    es: str
    number: str
    gender: Gender
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """One template in both languages."""

    en: str
    es: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Bank:
    """All wording of one bank, by subject and by what is said of it."""

    nouns: Mapping[str, tuple[NounPhrase, ...]]
    denied: Mapping[str, tuple[NounPhrase, ...]]
    sentences: Mapping[str, Mapping[str, tuple[Pair, ...]]]
    frames: Mapping[str, tuple[Pair, ...]]
    devices: Mapping[str, Mapping[str, tuple[Pair, ...]]]
    severity: Mapping[str, Mapping[str, tuple[tuple[str, str, str], ...]]]
    scale: Mapping[str, str]
    sites: Mapping[str, Mapping[str, tuple[tuple[str, str, str, str], ...]]]
    place: Mapping[str, str]
    cues: Mapping[str, tuple[Pair, ...]]
    priors: tuple[Pair, ...]


@cache
def load(name: BankName) -> Bank:
    """The bank of a split: ``train`` or the frozen ``test``."""
    raw = read(f"{name}.yaml")
    return Bank(
        nouns={k: tuple(NounPhrase(*n) for n in v) for k, v in raw["nouns"].items()},
        denied={k: tuple(NounPhrase(*n) for n in v) for k, v in raw["denied"].items()},
        sentences={k: {kind: _pairs(v) for kind, v in kinds.items()} for k, kinds in raw["sentences"].items()},
        frames={k: _pairs(v) for k, v in raw["frames"].items()},
        devices={k: {kind: _pairs(v) for kind, v in kinds.items()} for k, kinds in raw["devices"].items()},
        severity={k: {w: tuple(tuple(x) for x in v) for w, v in words.items()} for k, words in raw["severity"].items()},
        scale=raw["scale"],
        sites={k: {z: tuple(tuple(x) for x in v) for z, v in zones.items()} for k, zones in raw["sites"].items()},
        place=raw["place"],
        cues={k: _pairs(v) for k, v in raw["cues"].items()},
        priors=_pairs(raw["priors"]),
    )


@cache
def plain(name: BankName) -> Bank:
    """The bank without the wordings that say more than their subject."""
    full = load(name)
    return replace(
        full,
        nouns={k: tuple(n for n in v if not n.detail) for k, v in full.nouns.items()},
        denied={k: tuple(n for n in v if not n.detail) for k, v in full.denied.items()},
        sentences={k: {kind: tuple(p for p in v if not p.detail) for kind, v in kinds.items()} for k, kinds in full.sentences.items()},
    )


@cache
def context() -> Mapping[str, Any]:
    """The parts around the findings: headers, indications, techniques, comparisons, addenda."""
    return read("context.yaml")


def read(name: str) -> dict[str, Any]:
    """One YAML file of this folder."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _pairs(items: Sequence[Sequence[str]]) -> tuple[Pair, ...]:
    return tuple(Pair(*item) for item in items)
