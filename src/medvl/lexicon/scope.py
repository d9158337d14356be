"""Status and certainty of the entities of a sentence: what its denials and its hedges reach.

Forward cues (*no*, *without*, *may represent*) reach on through a list (*no A, B, or C*) and stop at the end of the clause, at *with*, at
another cue of their kind, at a verb that begins a statement of its own (*no A and B is seen* denies both, *no A and B is larger* only A),
and at a listed item that is qualified as only a present thing is (*no A, large B*). Backward cues (*is not seen*, *cannot be excluded*)
reach back over the list before them to the verb before that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from medvl.lexicon.mentions import Analysis, Entity
from medvl.lexicon.terms import Match

QUALIFIERS = 5  # words of a listed item within which a grade or a change says that it is there
LOOK = 4  # words after a verb within which "seen", "present", … must stand to belong to it


@dataclass(slots=True)
class Standing:
    """How one entity is meant; ``presumptive`` when no hedge is weaker than *consistent with*, ``asked`` when the sentence only asks."""

    negative: bool = False
    tentative: bool = False
    presumptive: bool = False
    asked: bool = False
    why: list[str] = field(default_factory=list)


def standings(analysis: Analysis) -> list[Standing]:
    """One standing per entity, in order."""
    found = [Standing(negative=e.normal) for e in analysis.entities]
    for cue in analysis.cues:
        meanings = cue.meanings
        if "negation_before" in meanings or "negation_after" in meanings:
            _deny(analysis, cue, found)
        if "question" in meanings:
            for index in _forward(analysis, cue, "question"):
                found[index].asked = True
        if any(f"hedge_{direction}" in meanings for direction in ("before", "after", "either", "both")):
            _hedge(analysis, cue, found)
    for entity, standing in zip(analysis.entities, found, strict=True):
        _deny_within(analysis, entity, standing)
    return found


def _deny(analysis: Analysis, cue: Match, found: list[Standing]) -> None:
    words = analysis.quoted(cue.start, cue.end)
    reached = _forward(analysis, cue, "negation_before") if "negation_before" in cue.meanings else []
    if not reached and ("negation_after" in cue.meanings or _ends_clause(analysis, cue.end)):
        reached = _backward(analysis, cue)
    for index in reached:
        entity = analysis.entities[index]
        if entity.normal or (entity.said_after and not _between(cue, entity) and not _before_name(analysis, cue, entity)):
            continue
        found[index].negative = True
        found[index].why.append(f"denied by “{words}”")


def _between(cue: Match, entity: Entity) -> bool:
    return entity.predicate is not None and entity.end <= cue.start <= entity.predicate[0]


def _before_name(analysis: Analysis, cue: Match, entity: Entity) -> bool:
    """*Sin corazón agrandado*: a denial right before an organ whose quality follows it at once."""
    lead = range(cue.end, entity.start)
    return entity.predicate is not None and entity.end == entity.predicate[0] and all(analysis.has(p, "determiners") for p in lead)


def _deny_within(analysis: Analysis, entity: Entity, standing: Standing) -> None:
    """*The heart is not enlarged*: a denial between organ and quality."""
    if entity.predicate is None or not entity.said_after:
        return
    for position in range(entity.end, entity.predicate[0]):
        cue = analysis.cue_at[position]
        if cue is not None and ("negation_inner" in cue.meanings or "negation_before" in cue.meanings):
            word = analysis.quoted(cue.start, cue.end)
            standing.negative = not entity.normal
            standing.asked = standing.asked or entity.normal  # "not normal" says what is not, and not what is
            standing.why.append(f"“{word}” between organ and quality")
            return


def _hedge(analysis: Analysis, cue: Match, found: list[Standing]) -> None:
    words, meanings = analysis.quoted(cue.start, cue.end), cue.meanings
    reached: list[int] = []
    if "hedge_before" in meanings or "hedge_either" in meanings or "hedge_both" in meanings:
        reached = _forward(analysis, cue, "hedge")
    if "hedge_both" in meanings or "hedge_after" in meanings or ("hedge_either" in meanings and not reached):
        reached = reached + _backward(analysis, cue, hops=None if "hedge_after" in meanings else 0)
    for index in reached:
        if not analysis.entities[index].normal:
            found[index].presumptive = "hedge_presumptive" in meanings and found[index].presumptive >= found[index].tentative
            found[index].tentative = True
            found[index].why.append(f"hedged by “{words}”")


def _forward(analysis: Analysis, cue: Match, kind: str) -> list[int]:
    """Indices of the entities that a cue reaches to its right."""
    reached: list[int] = []
    last_link: int | None = None
    if analysis.entity_at[cue.start] >= 0 and kind == "negation_before":
        reached.append(analysis.entity_at[cue.start])
    position = cue.end
    clause = analysis.clause[cue.end - 1]
    while position < len(analysis.words):
        if analysis.clause[position] != clause and (reached or analysis.words[position].folded in (";",)):
            break
        index = analysis.entity_at[position]
        if index >= 0:
            if index not in reached:
                reached.append(index)
            position = max(position + 1, _past(analysis, position))
            continue
        if analysis.has(position, "verbs") and reached:
            return reached if _belongs(analysis, position) else _up_to(analysis, reached, last_link)
        if reached and _stops_list(analysis, position, kind):
            break
        if reached and (analysis.words[position].folded == "," or analysis.has(position, "links")):
            if _begins_statement(analysis, position, kind):
                break
            last_link = last_link if _is_joint(analysis, position, last_link) else position
        position += 1
    return reached


def _past(analysis: Analysis, position: int) -> int:
    index = analysis.entity_at[position]
    while position < len(analysis.words) and analysis.entity_at[position] == index:
        position += 1
    return position


def _belongs(analysis: Analysis, position: int) -> bool:
    """Whether the verb only says that something is (not) seen: *is identified*."""
    return any(analysis.has(p, "seen") for p in range(position, min(position + LOOK, len(analysis.words))))


def _up_to(analysis: Analysis, reached: list[int], last_link: int | None) -> list[int]:
    """The entities before the last link: what follows it is the subject of a verb of its own."""
    if last_link is None:
        return reached
    before = [i for i in reached if analysis.entities[i].start < last_link]
    return before or reached


def _is_joint(analysis: Analysis, position: int, last_link: int | None) -> bool:
    """Whether this link follows right after the last one, as in *, and*."""
    return last_link is not None and position - last_link == 1


def _stops_list(analysis: Analysis, position: int, kind: str) -> bool:
    if analysis.has(position, "with"):
        return True
    cue = analysis.cue_at[position]
    if cue is None or cue.start != position:
        return False
    if "negation_before" in cue.meanings and "links" not in cue.meanings:
        return True
    return kind != "hedge" and "hedge_before" in cue.meanings


def _begins_statement(analysis: Analysis, position: int, kind: str) -> bool:
    """Whether what follows a comma or a link is said to be there, rather than one more item of the list."""
    if analysis.has(position, "alternatives"):
        return False
    following = position + 1
    while following < len(analysis.words) and analysis.has(following, "links"):
        if analysis.has(following, "alternatives"):
            return False
        following += 1
    comma = analysis.words[position].folded == ","
    if comma and _alternative_ahead(analysis, following):
        return False
    if kind == "hedge" and comma:
        return True
    for place in range(following, min(following + QUALIFIERS, len(analysis.words))):
        if analysis.entity_at[place] >= 0:
            return False
        if any(analysis.has(place, k) for k in ("change", "severity")) or (place == following and analysis.has(place, "determiners")):
            return True
    return False


def _alternative_ahead(analysis: Analysis, position: int) -> bool:
    """Whether an *or* follows in the clause before any verb."""
    clause = analysis.clause[min(position, len(analysis.words) - 1)]
    while position < len(analysis.words) and analysis.clause[position] == clause:
        if analysis.has(position, "alternatives"):
            return True
        if analysis.has(position, "verbs") or analysis.has(position, "with"):
            return False
        position += 1
    return False


def _ends_clause(analysis: Analysis, position: int) -> bool:
    return position >= len(analysis.words) or analysis.words[position].folded in (".", ";")


def _backward(analysis: Analysis, cue: Match, *, hops: int | None = None) -> list[int]:
    """Indices of the entities that a cue reaches to its left; ``hops`` bounds how many links it crosses."""
    reached: list[int] = []
    clause = analysis.clause[cue.start]
    position, crossed = cue.start - 1, 0
    while position >= 0:
        other = analysis.clause[position] != clause
        if other and (reached or analysis.words[position].folded == ";"):
            break
        index = analysis.entity_at[position]
        if index >= 0:
            if index not in reached:
                reached.append(index)
            while position >= 0 and analysis.entity_at[position] == index:
                position -= 1
            continue
        if reached and (analysis.has(position, "verbs") or analysis.has(position, "with") or analysis.has(position, "negation_before")):
            break
        if reached and (analysis.words[position].folded == "," or analysis.has(position, "links")):
            crossed += 1
            if hops is not None and crossed > hops:
                break
        position -= 1
    return reached
