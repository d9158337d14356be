"""What a sentence mentions: its words, the cues among them, its clauses, and its entities.

An entity is a concept named outright (*effusion*), or an organ that a predicate speaks of: a quality makes it a finding (*the heart is
enlarged* → cardiomegaly), normality makes it a normal organ (*the lungs are clear*), and in a clause that says nothing else a change
makes it an organ that is compared (*the heart is stable*). An organ without a predicate is only a place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from medvl.lexicon.concepts import Vocabulary
from medvl.lexicon.terms import Match, Word

REACH = 6  # words between a quality and the organ after it: "enlargement of the left side of the heart"
LONGEST_VERDICT = 8  # words of a sentence that calls everything normal
STEPPED_OVER = ("severity", "sides", "determiners", "places", "sites", "onset", "distribution", "qualities", "change")
DENIALS = ("no", "without", "sin")
GROWTH = ("enlarged", "increased", "large")
SMALL_WORDS = 3
SIZED = ("heart", "mediastinum", "cardiomediastinal_silhouette", "hila", "aorta")  # organs that a larger size makes a finding of
GENERIC = ("tube", "catheter", "drain", "pacing_lead", "support_device")
"""Devices that, named after a more specific one, are the same one: *the PICC … the catheter*."""


@dataclass(slots=True)
class Entity:
    """Something that the sentence says is there, absent or normal.

    Attributes:
        concept: its id.
        start, end: words [start, end) of its name.
        predicate: words [start, end) of the quality or normality that makes it an entity; ``None`` when it is named outright.
        normal: an organ that is called normal.
        said_after: the predicate follows the organ (*the heart is enlarged*).
        why: how it was found.
    """

    concept: str
    start: int
    end: int
    predicate: tuple[int, int] | None = None
    normal: bool = False
    said_after: bool = False
    why: str = ""

    def spans(self) -> list[tuple[int, int]]:
        """Words of the name and of the predicate."""
        return [(self.start, self.end)] + ([self.predicate] if self.predicate else [])


@dataclass(slots=True)
class Analysis:
    """A sentence taken apart.

    Attributes:
        cues: those that count, in order.
        clause: for each word the number of its clause.
        entities: in order of their names.
        entity_at: for each word the index of the entity it belongs to, or -1.
        cue_at: for each word the cue that covers it.
    """

    text: str
    words: list[Word]
    cues: list[Match]
    clause: list[int] = field(default_factory=list)
    entities: list[Entity] = field(default_factory=list)
    entity_at: list[int] = field(default_factory=list)
    cue_at: list[Match | None] = field(default_factory=list)

    def has(self, position: int, kind: str) -> bool:
        """Whether the word at this position is part of a cue of this kind."""
        cue = self.cue_at[position]
        return cue is not None and kind in cue.meanings

    def quoted(self, start: int, end: int) -> str:
        """Words [start, end) as written."""
        first = self.words[0].start if self.words else 0
        return self.text[self.words[start].start - first : self.words[end - 1].end - first] if start < end else ""

    def of_kind(self, kind: str) -> list[Match]:
        """The cues of a kind, in order."""
        return [c for c in self.cues if kind in c.meanings]


def analyse(text: str, sentence: list[Word], vocabulary: Vocabulary) -> Analysis:
    """Find cues, clauses and entities of a sentence.

    Args:
        text: from the first word to the last.
        sentence: its words.
    """
    named = [m for m in vocabulary.entities.matches(sentence) if "concept" in m.meanings]
    concepts = [m for m in named if vocabulary.concepts[m.meanings["concept"]].kind != "organ"]
    organs = [m for m in named if vocabulary.concepts[m.meanings["concept"]].kind == "organ"]
    cues, concepts = _settle(concepts, organs, sentence, vocabulary)
    analysis = Analysis(text, sentence, _outside(cues, concepts))
    analysis.cue_at = _covering(analysis.cues, len(sentence))
    analysis.clause = _clauses(analysis, [m.start for m in (*concepts, *organs)])
    entities = [Entity(m.meanings["concept"], m.start, m.end, why="named") for m in concepts]
    entities += _predicated(analysis, organs, concepts, vocabulary)
    entities += _compared(analysis, organs, entities, vocabulary)
    entities = entities or _all_normal(analysis, organs)
    analysis.entities = _without_repeats(sorted(entities, key=lambda e: (e.start, e.end)), analysis, vocabulary)
    analysis.entity_at = [-1] * len(sentence)
    for index, entity in enumerate(analysis.entities):
        for start, end in entity.spans():
            analysis.entity_at[start:end] = [index] * (end - start)
    return analysis


def _settle(concepts: list[Match], organs: list[Match], sentence: list[Word], vocabulary: Vocabulary) -> tuple[list[Match], list[Match]]:
    """Where *without abnormality* and a concept share words: a predicate of the organ before it, else a denial of the concept."""
    settled: list[Match] = []
    for cue in _without_denied_growth(concepts, organs, sentence, vocabulary):
        last = cue.end + (sentence[cue.start].folded in DENIALS)  # "without abnormality" runs into what follows it directly
        inner = next((c for c in concepts if cue.start < c.start < last), None) if "normal" in cue.meanings else None
        if inner is None:
            settled.append(cue)
        elif inner.end <= cue.end and any(o.end <= cue.start for o in organs):
            concepts = [c for c in concepts if c is not inner]
            settled.append(cue)
        else:
            settled.append(Match(cue.start, inner.start, {"negation_before": "before"}))
    return settled, concepts


def _without_denied_growth(concepts: list[Match], organs: list[Match], sentence: list[Word], vocabulary: Vocabulary) -> Iterator[Match]:
    """The cues; *no enlargement of* an organ denies that it is large, unless the sentence compares, and is then no change."""
    cues = vocabulary.cues.matches(sentence)
    compares = any("comparison" in cue.meanings for cue in cues)
    for cue in cues:
        if "change" not in cue.meanings or sentence[cue.start].folded not in DENIALS:
            yield cue
            continue
        rest = vocabulary.cues.matches(sentence[cue.start + 1 : cue.end])
        quality = next((m.meanings["qualities"] for m in rest if m.meanings.get("qualities") in GROWTH), None)
        if any(cue.start < c.start < cue.end for c in concepts):
            yield Match(cue.start, cue.start + 1, {"negation_before": "before"})
        elif quality and not compares and any(_follows(o, cue, sentence, vocabulary) for o in organs):
            yield Match(cue.start, cue.start + 1, {"negation_before": "before"})
            yield Match(cue.start + 1, cue.end, {"qualities": quality})
        else:
            yield cue


def _follows(organ: Match, cue: Match, sentence: list[Word], vocabulary: Vocabulary) -> bool:
    """Whether nothing but small words stands between a cue and the organ after it."""
    between = sentence[cue.end : organ.start]
    small = all(m.meanings.keys() & {"places", "determiners"} for m in vocabulary.cues.matches(between))
    return small and organ.start >= cue.end and len(between) <= SMALL_WORDS


def _outside(cues: list[Match], concepts: list[Match]) -> list[Match]:
    """Cues inside a concept's name say nothing more, but for places, both sides, form and a denial that it begins with."""
    starts = [c.start for c in concepts]
    kept = []
    for cue in cues:
        index = bisect_right(starts, cue.start) - 1
        inside = index >= 0 and cue.start < concepts[index].end
        if not inside:
            kept.append(cue)
            continue
        meanings = {k: v for k, v in cue.meanings.items() if k in ("sites", "morphology", "distribution", "onset", "severity")}
        if cue.meanings.get("sides") == "bilateral" or ("sides" in cue.meanings and cue.end > concepts[index].end):
            meanings["sides"] = cue.meanings["sides"]
        if cue.start == concepts[index].start and "negation_before" in cue.meanings:
            meanings["negation_before"] = "before"
        if meanings:
            kept.append(Match(cue.start, cue.end, meanings))
    return kept


def _covering(cues: list[Match], count: int) -> list[Match | None]:
    covering: list[Match | None] = [None] * count
    for cue in cues:
        covering[cue.start : cue.end] = [cue] * (cue.end - cue.start)
    return covering


def _clauses(analysis: Analysis, named: list[int]) -> list[int]:
    """Clauses end at semicolons, colons and words such as *but*, *which*, *there is*.

    A colon after a name is none where nothing else is named behind it: *Heart: normal.*, *Pneumothorax: none.*

    Args:
        analysis: words and cues.
        named: where concepts and organs begin.
    """
    numbers, clause = [], 0
    starts = {c.start for c in analysis.of_kind("breaks") if "negation_before" not in c.meanings}
    for position, word in enumerate(analysis.words):
        if position in starts or word.folded == ";" or (word.folded == ":" and not _labels(analysis, position, named)):
            clause += 1
        numbers.append(clause)
    return numbers


def _labels(analysis: Analysis, colon: int, named: list[int]) -> bool:
    """Whether what stands before a colon is what the words behind it speak of."""
    words = [word.folded for word in analysis.words]
    begin = max((place + 1 for place in range(colon) if words[place] in (";", ":")), default=0)
    end = min((place for place in range(colon + 1, len(words)) if words[place] == ";"), default=len(words))
    return any(begin <= place < colon for place in named) and not any(colon < place < end for place in named)


def _predicated(analysis: Analysis, organs: list[Match], concepts: list[Match], vocabulary: Vocabulary) -> list[Entity]:
    """Organs joined with the qualities and normalities of the sentence."""
    made: list[Entity] = []
    taken = [False] * len(analysis.words)
    for match in concepts:
        taken[match.start : match.end] = [True] * (match.end - match.start)
    earlier = 0
    for cue in analysis.cues:
        normal = "normal" in cue.meanings
        adjective = not normal and cue.start > 0 and taken[cue.start - 1]  # "consolidación densa": of the concept
        named = not normal and any(o.start <= cue.start and cue.end <= o.end for o in organs)  # "grandes vasos": of the organ's name
        if (not normal and "qualities" not in cue.meanings) or taken[cue.start] or adjective or named:
            continue
        bound = _bind(analysis, cue, organs, earlier, taken, vocabulary, normal)
        if bound:
            made += bound
            earlier = cue.end
    return _one_each(made)


def _bind(
    analysis: Analysis, cue: Match, organs: list[Match], earlier: int, taken: list[bool], vocabulary: Vocabulary, normal: bool
) -> list[Entity]:
    """The entities that one predicate makes: of the organ right after it, else of the organs before it in its clause."""
    ahead = _organs_after(analysis, cue, organs, normal)
    ahead = [o for o in ahead if not (o.end < len(taken) and taken[o.end])]  # "hazy lung base opacity": a place of the concept
    bound = [e for e in (_joined(cue, o, vocabulary, normal, after=False) for o in ahead) if e]
    if bound:
        return bound
    clause = analysis.clause[cue.start]
    behind = [o for o in organs if earlier <= o.start and o.end <= cue.start and analysis.clause[o.start] == clause and not taken[o.start]]
    if normal and any(taken[(behind[-1].end if behind else cue.start) : cue.start]):
        return []
    return [e for e in (_joined(cue, o, vocabulary, normal, after=True) for o in behind) if e]


def _organs_after(analysis: Analysis, cue: Match, organs: list[Match], normal: bool) -> list[Match]:
    """The organ right after a predicate with nothing but modifiers between, and for normality the list that it begins."""
    found: list[Match] = []
    position, steps = cue.end, 0
    while position < len(analysis.words) and steps <= REACH:
        organ = next((o for o in organs if o.start == position), None)
        if organ is not None:
            found.append(organ)
            position, steps = organ.end, 0
            if not normal:
                break
            continue
        listed = bool(found) and (analysis.words[position].folded in (",", "/") or analysis.has(position, "links"))
        if not listed and not any(analysis.has(position, kind) for kind in STEPPED_OVER):
            break
        if found and analysis.has(position, "change"):
            break
        position += 1
        steps += 1
    return found


def _joined(cue: Match, organ: Match, vocabulary: Vocabulary, normal: bool, *, after: bool) -> Entity | None:
    name, span = organ.meanings["concept"], (cue.start, cue.end)
    if normal:
        if name == "film" and "adequate" in cue.meanings:  # a good film is no normal chest
            return None
        name = "chest" if name == "film" else name
        return Entity(name, organ.start, organ.end, span, normal=True, said_after=after, why="normal organ")
    finding = vocabulary.compositions.get((name, cue.meanings["qualities"]))
    if finding is None:
        return None
    return Entity(finding, organ.start, organ.end, span, said_after=after, why=f"{name} + {cue.meanings['qualities']}")


def _compared(analysis: Analysis, organs: list[Match], entities: list[Entity], vocabulary: Vocabulary) -> list[Entity]:
    """*The heart is stable*, *the heart is larger than before*, in a clause of its own: what has grown is large, the rest is compared."""
    told = {analysis.clause[entity.start] for entity in entities}
    found: list[Entity] = []
    for cue in analysis.of_kind("change"):
        clause, value = analysis.clause[cue.start], cue.meanings["change"]
        if clause in told or value not in ("stable", "worse", "improved"):
            continue
        told.add(clause)
        for organ in (o for o in organs if analysis.clause[o.start] == clause):
            name = organ.meanings["concept"]
            measure = name == "lung_volumes" and value != "stable"  # less volume is no improvement
            if name == "film" or measure or any(e.why.startswith(f"{name}, ") for e in found):
                continue
            grown = vocabulary.compositions[name, "enlarged"] if name in SIZED and value == "worse" else name
            found.append(Entity(grown, organ.start, organ.end, why=f"{name}, compared"))
    return found


def _all_normal(analysis: Analysis, organs: list[Match]) -> list[Entity]:
    """*Normal.*, *No significant abnormality.*: said of nothing, and so of the chest."""
    cue = next((c for c in analysis.cues if "normal" in c.meanings and "adequate" not in c.meanings), None)
    if cue is None or organs or len(analysis.words) > LONGEST_VERDICT:
        return []
    return [Entity("chest", cue.start, cue.end, normal=True, why="normal, and no organ named")]


def _one_each(entities: list[Entity]) -> list[Entity]:
    """One organ makes each finding once, and is not normal beside being abnormal."""
    kept: dict[tuple[int, str], Entity] = {}
    for entity in entities:
        kept.setdefault((entity.start, entity.concept), entity)
    return list(kept.values())


def _without_repeats(entities: list[Entity], analysis: Analysis, vocabulary: Vocabulary) -> list[Entity]:
    """Leave out an abbreviation in brackets after its name, and a device's second, vaguer mention; join a finding with its own sign."""
    kept: list[Entity] = []
    for entity in entities:
        bracketed = entity.start > 0 and analysis.words[entity.start - 1].folded == "("
        if bracketed and kept and vocabulary.is_a(kept[-1].concept, entity.concept) and entity.start - kept[-1].end <= 1:
            continue
        if entity.concept in GENERIC and any(vocabulary.concepts[k.concept].kind == "device" for k in kept):
            continue
        if kept and _is_sign(kept[-1], entity, analysis):
            kept[-1].end = entity.end
            continue
        kept.append(entity)
    return kept


def _is_sign(before: Entity, entity: Entity, analysis: Analysis) -> bool:
    """*A pneumothorax with a visible pleural line*: two names of one thing."""
    same = before.concept == entity.concept and before.predicate is None and entity.predicate is None
    between = range(before.end, entity.start)
    return same and len(between) <= SMALL_WORDS and all(analysis.has(p, "with") or analysis.has(p, "determiners") for p in between)
