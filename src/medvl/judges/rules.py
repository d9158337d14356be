"""The rules judge: entailment of radiology phrases by the lexicon, deterministic and on the processor; never to be taken for a model.

Both sides become rows (``lexicon.structure``), and a hypothesis follows when each of its rows follows from some row of the reference:

    a finding       from one that is the same, a kind of it, or implies it, as sure as it, on its side and at its site, and of the degree,
                    size, change and position that it names; what the hypothesis adds to the reference does not follow
    an absence      from the absence of the same or of something more general, no more narrowly denied; from a normal organ that excludes
                    it; from its having resolved; an acute one from "no acute process"
    a normal organ  from the same or a larger organ being normal, or from the absence of what would make it abnormal

An absence that only follows from a sweep (a normal organ, no acute process) yields to a finding that is told. A hypothesis in which the
lexicon knows nothing follows only from the same words. Evidence is every phrase with a row that was used; each decision is explained.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import cast

from medvl.judges.judge import EntailmentQuery, SplitReport, SplitSentence, Verdict
from medvl.judges.row_phrases import phrase_of_row
from medvl.judges.row_relations import agrees, covers, excludes, places_agree, sure_enough
from medvl.lexicon.concepts import Vocabulary, load
from medvl.lexicon.sentences import split_sentences
from medvl.lexicon.structure import Row, structure
from medvl.lexicon.terms import Language
from medvl.records import PrivacyPolicy

WORD = re.compile(r"\w+")
TEXTS_KEPT = 2**17  # analysed phrases that stay in memory


@dataclass(frozen=True, slots=True)
class _Told:
    """A row of the reference and the number of its phrase."""

    row: Row
    phrase: int


class RulesJudge:
    """Judges by rules; see the module. Same questions, same answers, on any machine."""

    def __init__(self) -> None:
        """Name the rules by the hash of their tables and code."""
        self.name = "rules"
        self.prompt_hash = _rules_hash()

    def admit(self, policy: PrivacyPolicy, *, dataset: str) -> None:
        """Any policy: nothing leaves the machine."""

    def entail(self, queries: Sequence[EntailmentQuery]) -> list[Verdict]:
        """One verdict per query.

        Raises:
            ValueError: if the lexicon does not know a query's language.
        """
        return [_verdict(query) for query in queries]

    def split(self, reports: Sequence[str], *, language: str = "en") -> list[SplitReport]:
        """Sentences, each as its phrases of one row; a sentence of one row stays as it stands, one of none states no finding."""
        return [_split(report, cast(Language, language)) for report in reports]


@lru_cache(maxsize=TEXTS_KEPT)
def _rows(text: str, language: Language) -> tuple[Row, ...]:
    return tuple(structure(text, language=language))


@lru_cache(maxsize=TEXTS_KEPT)
def _told(reference: tuple[str, ...], language: Language) -> tuple[_Told, ...]:
    return tuple(_Told(row, number) for number, phrase in enumerate(reference) for row in _rows(phrase, language))


@lru_cache(maxsize=TEXTS_KEPT)
def _verdict(query: EntailmentQuery) -> Verdict:
    language = cast(Language, query.language)
    wanted = _plain(query.hypothesis)
    if same := tuple(phrase for phrase in query.reference if _plain(phrase) == wanted):
        return Verdict("entailment", tuple(dict.fromkeys(same)), explanation="word for word")
    rows = _rows(query.hypothesis, language)
    if not rows:
        return Verdict("not_entailment", explanation="the lexicon knows nothing in the hypothesis, and no phrase has its words")
    told, vocabulary = _told(query.reference, language), load(language)
    used: set[int] = set()
    reasons = []
    for row in rows:
        found, why = _support(row, told, vocabulary)
        reasons.append(f"{_named(row)}: {why}")
        if not found:
            return Verdict("not_entailment", explanation="; ".join(reasons))
        used |= {item.phrase for item in found}
    evidence = dict.fromkeys(query.reference[number] for number in sorted(used))
    return Verdict("entailment", tuple(evidence), explanation="; ".join(reasons))


def _support(row: Row, told: Sequence[_Told], vocabulary: Vocabulary) -> tuple[list[_Told], str]:
    """The rows of the reference that a row follows from, and why, or why not."""
    if row.status == "positive":
        return _presence(row, told, vocabulary)
    if found := [item for item in told if _denies(item.row, row, vocabulary)]:
        return found, "said to be absent" if _is_finding(row, vocabulary) else "said to be normal"
    sweeping = [item for item in told if excludes(item.row, row, vocabulary)]
    if not sweeping:
        return [], "its absence is not said"
    if any(_present(item.row) and covers(row.concept, item.row.concept, vocabulary) for item in told):
        return [], "what is normal as a whole has this exception"
    return sweeping, "excluded by what is said to be normal"


def _presence(row: Row, told: Sequence[_Told], vocabulary: Vocabulary) -> tuple[list[_Told], str]:
    related = [item for item in told if item.row.status == "positive" and covers(row.concept, item.row.concept, vocabulary)]
    if not related:
        denied = any(_denies(item.row, row, vocabulary, whole=False) for item in told)
        return [], "said to be absent" if denied else "not mentioned"
    rows = [item for item in related if _present(item.row) == _present(row)]
    if not rows:
        return [], "said to have resolved" if _present(row) else "not said to have resolved"
    rows = [item for item in rows if sure_enough(item.row, row)]
    if not rows:
        return [], "only suspected"
    sides = ("left", "right") if row.side == "bilateral" else (row.side,)
    used = []
    for side in sides:
        there = [item for item in rows if places_agree(item.row, row, side)]
        agreeing = [item for item in there if not agrees(item.row, row)]
        if not agreeing:
            return [], agrees(there[0].row, row) if there else f"not said to be {side or 'at that place'}"
        used += agreeing
    return used, "said to be there"


def _denies(told: Row, row: Row, vocabulary: Vocabulary, *, whole: bool = True) -> bool:
    """Whether a row says outright that another's concept is absent or normal; ``whole``, no more narrowly than the other."""
    resolved = told.status == "positive" and told.change == "resolved"
    if not (told.status == "negative" or resolved) or not covers(told.concept, row.concept, vocabulary):
        return False
    if not whole:
        return True
    narrower = (told.side and told.side not in ("bilateral", row.side)) or (told.sites and not set(told.sites) >= set(row.sites or ("",)))
    graded = told.severity and told.severity != row.severity
    changed = told.status == "negative" and told.change in ("new", "worse") and told.change != row.change
    return not (narrower or changed or (graded and not resolved)) and (told.certainty == "definitive" or row.certainty == "tentative")


def _present(row: Row) -> bool:
    return row.status == "positive" and row.change != "resolved"


def _is_finding(row: Row, vocabulary: Vocabulary) -> bool:
    return vocabulary.concepts[row.concept].kind != "organ"


def _named(row: Row) -> str:
    words = (row.severity, row.side, *row.sites, row.concept, row.change, row.placement)
    return f"{'no ' if row.status == 'negative' else ''}{' '.join(word for word in words if word)}"


def _plain(text: str) -> str:
    return " ".join(WORD.findall(text.casefold()))


def _split(report: str, language: Language) -> SplitReport:
    return SplitReport(tuple(SplitSentence(s.text, _phrases(s.text, language)) for s in split_sentences(report, language)))


@lru_cache(maxsize=TEXTS_KEPT)
def _phrases(sentence: str, language: Language) -> tuple[str, ...]:
    rows = _rows(sentence, language)
    return (sentence,) if len(rows) == 1 else tuple(dict.fromkeys(phrase_of_row(row, language, load(language)) for row in rows))


@cache
def _rules_hash() -> str:
    """SHA-256 of the lexicon's tables and code and of this judge's."""
    digest = hashlib.sha256()
    lexicon, judges = files("medvl.lexicon"), files("medvl.judges")
    parts = [
        *lexicon.iterdir(),
        *(lexicon / "vocabulary").iterdir(),
        *(p for p in judges.iterdir() if p.name.startswith(("rules.", "row_"))),
    ]
    for part in sorted((p for p in parts if p.name.endswith((".py", ".yaml"))), key=lambda p: p.name):
        digest.update(part.name.encode() + part.read_bytes())
    return digest.hexdigest()
