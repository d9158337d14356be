"""Sections of a MIMIC-CXR report, by the rules of the official script (MIT-LCP/mimic-cxr, ``txt/``), written anew from those rules.

A header is a line that starts with one space, then capitals, spaces and ``( ) / , -`` up to a colon and white space. What stands before
the first header is the ``preamble``; a text without any is a ``full report``. A report that has neither findings nor an impression
keeps what follows the first blank line of its last section as ``last_paragraph``.

Departures: every section is kept, where the script writes four of them; a header that comes again keeps its last text that says
anything; a study of the hand-made table that lacks the section named there follows the general rules, where the script stops.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from medvl.data.report_section_rules import CONCLUSION_RANGES, CONTAINED_NAMES, FINDINGS_TITLES, MISNAMED_CONCLUSIONS, SPELLINGS

# The columns of the official files, and the order in which they take a study's conclusion.
CONCLUSIONS = ("impression", "findings", "last_paragraph", "comparison")

_HEADER = re.compile(r"\n ([A-Z ()/,-]+):\s")
_BLANK_LINE = "\n \n"
_NAME_OF_SPELLING = {spelling: name for name, spellings in SPELLINGS.items() for spelling in spellings}
_MISNAMED = {study: name for name, studies in MISNAMED_CONCLUSIONS.items() for study in studies}

_Sections = list[tuple[str, str]]


def split_sections(text: str, study_id: str | None = None) -> dict[str, str]:
    """The report's sections by normalised name, stripped, in the order of their first header.

    Args:
        text: the whole report, lines ended by ``\\n``.
        study_id: with or without its ``s``. In the studies whose conclusion the official tables give by hand, ``impression`` is that
            conclusion; where they give none, the report has no ``impression``, ``findings`` and ``last_paragraph``.

    Returns:
        Lower-case name → text. A header without text is kept as ``""``, except for ``impression`` and ``findings``.
    """
    found = _find_sections(text)
    sections = _with_last_paragraph(found)
    conclusion = _conclusion_by_hand(text, sections, study_id)
    if conclusion == "":
        return _merge((name, body) for name, body in found if name not in CONCLUSIONS[:2])
    merged = _merge(sections)
    if conclusion is not None and conclusion.strip():
        merged["impression"] = conclusion.strip()
    return merged


def impression_findings_rows(reports: Iterable[tuple[str, str]]) -> Iterator[dict[str, str | None]]:
    """The rows of the official ``mimic_cxr_sectioned.csv``.

    Args:
        reports: (study id, text) pairs; the id with or without its ``s``.

    Yields:
        ``study`` (with its ``s``), then ``impression``, ``findings``, ``last_paragraph`` and ``comparison``: each the last such section,
        ``None`` without one. As in the official file, a study whose conclusion is given by hand has no row; ``conclusion_rows`` has it.
    """
    for study_id, text in reports:
        study = _digits(study_id)
        if study not in CONCLUSION_RANGES and study not in _MISNAMED:
            last = dict(_with_last_paragraph(_find_sections(text)))
            yield {"study": f"s{study}", **{name: last[name].strip() if name in last else None for name in CONCLUSIONS}}


def conclusion_rows(reports: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The rows (study, conclusion) of the official headerless ``mimic_cxr_sections.csv``, every study included.

    The conclusion is what the official tables give by hand, else the last impression, else findings, last paragraph or comparison; ``""``
    without any.

    Args:
        reports: (study id, text) pairs; the id with or without its ``s``.
    """
    for study_id, text in reports:
        sections = _with_last_paragraph(_find_sections(text))
        conclusion = _conclusion_by_hand(text, sections, study_id)
        if conclusion is None:
            last = dict(sections)
            conclusion = next((last[name].strip() for name in CONCLUSIONS if name in last), "")
        yield f"s{_digits(study_id)}", conclusion


def _conclusion_by_hand(text: str, sections: _Sections, study_id: str | None) -> str | None:
    """The conclusion that the official tables give: ``""`` if they say there is none, ``None`` if they do not know the study."""
    study = _digits(study_id or "")
    if study in CONCLUSION_RANGES:
        return text[slice(*CONCLUSION_RANGES[study])]
    return next((body.strip() for name, body in reversed(sections) if name == _MISNAMED.get(study)), None)


def _find_sections(text: str) -> _Sections:
    """Normalised name and raw text of each section in order, without empty impressions and findings."""
    header = _HEADER.search(text)
    if header is None:
        return [("full report", text)]
    sections = [("preamble", text[: header.start(1)])]
    while header is not None:
        # The next header stands on a later line; the newline before it may be the one that ends this header's line.
        line_end = max(text.find("\n", header.end()), header.end())
        following = _HEADER.search(text, line_end)
        body = text[header.end() : following.start() if following else len(text)]
        sections.append((_normalise(header[1]), body))
        header = following
    return [(name, body) for name, body in sections if body.strip() or name not in ("impression", "findings")]


def _with_last_paragraph(sections: _Sections) -> _Sections:
    """The sections, the last one split at its first blank line if there are neither findings nor an impression."""
    name, body = sections[-1]
    if any(found in ("impression", "findings") for found, _ in sections) or _BLANK_LINE not in body:
        return sections
    first, rest = body.split(_BLANK_LINE, 1)
    return [*sections[:-1], (name, first), ("last_paragraph", rest)]


def _normalise(header: str) -> str:
    name = header.lower().strip()
    if name in _NAME_OF_SPELLING:
        return _NAME_OF_SPELLING[name]
    contained = next((known for known in CONTAINED_NAMES if known in name), None)
    if contained is not None:
        return contained
    return "findings" if any(title in name for title in FINDINGS_TITLES) else name


def _merge(sections: Iterable[tuple[str, str]]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for name, body in sections:
        merged[name] = body.strip() or merged.get(name, "")
    return merged


def _digits(study_id: str) -> str:
    return study_id.removeprefix("s")
