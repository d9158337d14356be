"""A radiologist's report for one simulated visit, English and Spanish, parallel sentence by sentence.

The English text has the file format of MIMIC-CXR (its sections, spacing, ``___`` for what was removed, its header variants and
misspellings); the Spanish one the same form with Spanish headers. What is said comes from ``statements.py``, the wording from
``phrasing.py``: patients of the test split are worded from the frozen test bank, all others from the training bank.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from medvl.phantom.draws import generator
from medvl.phantom.facts import Patient, Visit
from medvl.phantom.language import bank
from medvl.phantom.phrasing import Sentence, phrase
from medvl.phantom.report_plan import Group, plan_findings, plan_impression
from medvl.phantom.statements import Section, Statement, prior_visit

Language = Literal["en", "es"]
Layout = Literal["both", "impression only", "findings only", "merged", "last paragraph"]
LANGUAGES: tuple[Language, ...] = ("en", "es")
LAYOUTS: dict[Layout, float] = {"both": 0.76, "impression only": 0.08, "findings only": 0.1, "merged": 0.03, "last paragraph": 0.03}

WIDTH = 79
SEPARATOR = "\n \n"
TITLES = {"en": "FINAL REPORT", "es": "INFORME FINAL"}


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A report and what it says.

    Attributes:
        sections: language → section name as the MIMIC-CXR rules normalise it → text on one line (a numbered impression keeps its
            lines). A report without FINDINGS and IMPRESSION headers has ``last_paragraph``.
        sentences: in the order of findings, then impression.
        texts: language → the whole file.
    """

    sections: Mapping[str, Mapping[str, str]]
    sentences: tuple[Sentence, ...]
    texts: Mapping[str, str]

    def text(self, language: Language = "en") -> str:
        """The report as a file: for English exactly the format of MIMIC-CXR, lines of at most 79 characters."""
        return self.texts[language]


@dataclass(frozen=True, slots=True)
class _Block:
    """One section as it will be written: its normalised name, header and body per language (no header: a bare paragraph)."""

    name: str
    headers: Mapping[Language, str] | None
    bodies: Mapping[Language, str]
    inline: bool = True


def write_report(patient: Patient, visit: Visit, *, seed: int) -> WrittenReport:
    """The report of one visit, a pure function of the facts and the seed."""
    random = generator(seed, "report", patient.patient_id, visit.study_id)
    wording = bank.load("test" if patient.split == "test" else "train")
    layout: Layout = random.choice(list(LAYOUTS), p=list(LAYOUTS.values()))
    findings = plan_findings(patient, visit, random)
    impression = plan_impression(visit, findings, random) if layout in ("both", "merged") else []
    if not findings and layout != "both":
        findings = plan_impression(visit, [], random) or [(Statement("chest", "negative"),)]
    told: Section = "impression" if layout in ("impression only", "merged") else "findings"
    body = [phrase(_retold(group, told), wording, random) for group in findings]
    conclusion = [phrase(_retold(group, "impression"), wording, random) for group in impression]
    blocks = [*_context_blocks(patient, visit, random), *_body_blocks(layout, visit, body, conclusion, random)]
    notes = _notes(body + conclusion, random)
    return WrittenReport(
        sections={lang: {b.name: b.bodies[lang] for b in [*notes, *blocks]} for lang in LANGUAGES},
        sentences=(*body, *conclusion),
        texts={lang: _file(notes, blocks, lang) for lang in LANGUAGES},
    )


def _retold(group: Group, section: Section) -> Group:
    return tuple(replace(s, section=section) for s in group)


def _context_blocks(patient: Patient, visit: Visit, random: np.random.Generator) -> list[_Block]:
    words = bank.context()
    views = _views(visit)
    blocks = []
    if random.random() < 0.45:
        blocks.append(_block("examination", _pick(words["examination"][views], random), random))
    name = "history" if random.random() < 0.2 else "indication"
    if random.random() < 0.92:
        blocks.append(_block(name, _indication(patient, visit, random), random))
    if random.random() < 0.4:
        blocks.append(_block("technique", _pick(words["technique"][views], random), random))
    if random.random() < 0.7 or not blocks:
        kind = "prior" if prior_visit(patient, visit) else "first"
        blocks.append(_block("comparison", _pick(words["comparison"][kind], random), random))
    return blocks


def _body_blocks(
    layout: Layout, visit: Visit, body: Sequence[Sentence], conclusion: Sequence[Sentence], random: np.random.Generator
) -> list[_Block]:
    inline = random.random() < 0.5
    whole = {lang: " ".join(s.texts[lang] for s in [*body, *(conclusion if layout == "merged" else ())]) for lang in LANGUAGES}
    if layout == "last paragraph":
        return [_Block("last_paragraph", None, whole)]
    if layout in ("impression only", "merged"):
        return [_Block("impression", _header("merged" if layout == "merged" else "impression", random), whole, inline)]
    variant = "findings"
    if random.random() < 0.04:
        variant = "findings two views" if _views(visit) == "PA LATERAL" else "findings frontal"
    blocks = [_Block("findings", _header(variant, random), whole, inline)] if body else []
    if not conclusion:
        return blocks
    numbered = len(conclusion) > 1 and random.random() < 0.4
    listed = {
        lang: "\n".join(f"{i}. {s.texts[lang]}" for i, s in enumerate(conclusion, 1)) if numbered
        else " ".join(s.texts[lang] for s in conclusion)
        for lang in LANGUAGES
    }  # fmt: skip
    return [*blocks, _Block("impression", _header("impression", random), listed, inline)]


def _notes(sentences: Sequence[Sentence], random: np.random.Generator) -> list[_Block]:
    """Now and then an addendum, or the preliminary reading, above the report."""
    draw = random.random()
    if draw < 0.03:
        pair = _pick(bank.context()["addendum"], random)
        return [_Block("addendum", {"en": "ADDENDUM", "es": "ADENDA"}, dict(zip(LANGUAGES, pair, strict=True)))]
    if draw < 0.05:
        stamp = dict(zip(LANGUAGES, _pick(bank.context()["wet read"], random), strict=True))
        bodies = {lang: f"{stamp[lang]}\n{sentences[-1].texts[lang]}" for lang in LANGUAGES}
        return [_Block("wet read", {"en": "WET READ", "es": "LECTURA PRELIMINAR"}, bodies)]
    return []


def _indication(patient: Patient, visit: Visit, random: np.random.Generator) -> tuple[str, str]:
    words = bank.context()
    frame = _pick(words["indication"], random)
    person = _pick(words["people"][patient.sex], random)
    reason = _pick(words["reasons"].get(visit.reason, [[visit.reason, visit.reason]]), random)
    en, es = (frame[i].format(person=person[i], reason=reason[i], letter=patient.sex) for i in range(2))
    return en[0].upper() + en[1:], es[0].upper() + es[1:]


def _views(visit: Visit) -> str:
    projections = {a.projection for a in visit.acquisitions}
    if "AP" in projections:
        return "AP"
    return " ".join(p for p in ("PA", "LATERAL") if p in projections) or "PA"


def _block(name: str, pair: Sequence[str], random: np.random.Generator) -> _Block:
    return _Block(name, _header(name, random), {"en": pair[0], "es": pair[1]})


def _header(name: str, random: np.random.Generator) -> dict[Language, str]:
    options = bank.context()["headers"][name]
    weights = np.array([o[2] for o in options], dtype=float)
    en, es, _ = options[int(random.choice(len(options), p=weights / weights.sum()))]
    return {"en": en, "es": es}


def _pick(options: Sequence[Sequence[str]], random: np.random.Generator) -> Sequence[str]:
    return options[int(random.integers(len(options)))]


def _file(notes: Sequence[_Block], blocks: Sequence[_Block], language: Language) -> str:
    title = " " * 33 + TITLES[language]
    top = "".join(f"\n{_section(b, language)}\n {'_' * (WIDTH - 2)}\n" for b in notes)
    return top + title + "\n" + SEPARATOR.join(_section(b, language) for b in blocks) + "\n"


def _section(block: _Block, language: Language) -> str:
    body = block.bodies[language]
    if block.headers is None:
        return _wrapped(body)
    header = f"{block.headers[language]}: "
    return _wrapped(f"{header} {body}") if block.inline else f" {header}{SEPARATOR}{_wrapped(body)}"


def _wrapped(text: str) -> str:
    return "\n".join(
        textwrap.fill(line, WIDTH, initial_indent=" ", subsequent_indent=" ", break_long_words=False, break_on_hyphens=False)
        for line in text.split("\n")
    )
