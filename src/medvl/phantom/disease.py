"""Findings over time: which lesions a patient has at each moment, how severe, and how they changed.

Presence is a copying chain: a finding is kept as it was with a chance that falls with the gap, else drawn anew from P(finding | illness).
Since illness is stationary, so are the prevalences, however long the gaps.

Severity is walked *backwards*: the last moment's severity first, then, independent of it, the direction of the step that led there, then
the severity before. The current severity therefore says nothing about the direction, save at the ends of the scale where one direction is
impossible; last severities stay away from those ends. Factors follow ``Difficulty.change``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medvl.phantom.draws import generator, integer
from medvl.phantom.facts import Change, ChangeLabel, Difficulty, Finding, FindingName, Side, Zone
from medvl.phantom.timeline import ILLNESSES, Moment

Direction = Literal["improving", "stable", "worsening"]
Place = tuple[Side | None, Zone | None]

PREVALENCE: dict[FindingName, tuple[float, ...]] = {  # P(finding | illness), in the order of timeline.ILLNESSES
    "atelectasis": (0.06, 0.16, 0.20, 0.15, 0.20, 0.50),
    "cardiomegaly": (0.075, 0.58, 0.10, 0.08, 0.10, 0.20),
    "consolidation": (0.05, 0.12, 0.60, 0.12, 0.15, 0.12),
    "edema": (0.015, 0.52, 0.05, 0.02, 0.04, 0.10),
    "enlarged_mediastinum": (0.02, 0.05, 0.03, 0.08, 0.16, 0.12),
    "fracture": (0.03, 0.03, 0.03, 0.32, 0.04, 0.04),
    "nodule": (0.06, 0.05, 0.07, 0.06, 0.45, 0.06),
    "pleural_effusion": (0.06, 0.60, 0.28, 0.20, 0.40, 0.40),
    "pleural_thickening": (0.035, 0.05, 0.06, 0.05, 0.09, 0.04),
    "pneumothorax": (0.06, 0.04, 0.06, 0.45, 0.10, 0.30),
}
CHRONIC = ("cardiomegaly", "enlarged_mediastinum", "fracture", "nodule", "pleural_thickening")
LESIONS: dict[FindingName, tuple[float, ...]] = {  # P(1, 2, 3 lesions at once); others have one
    "atelectasis": (0.75, 0.25),
    "consolidation": (0.72, 0.28),
    "fracture": (0.70, 0.30),
    "nodule": (0.72, 0.20, 0.08),
    "pleural_effusion": (0.62, 0.38),
}
ZONES: dict[FindingName, tuple[Zone, ...]] = {
    "atelectasis": ("basal", "basal", "basal", "mid"),
    "consolidation": ("upper", "mid", "lower", "lower", "perihilar"),
    "fracture": ("upper", "mid", "mid", "lower"),
    "nodule": ("upper", "upper", "mid", "lower"),
    "pleural_effusion": ("basal",),
    "pleural_thickening": ("apical", "apical", "lower"),
    "pneumothorax": ("apical",),
}
ONE_A_SIDE = ("atelectasis", "pleural_effusion")
DIRECTIONS: tuple[Direction, ...] = ("improving", "stable", "worsening")
ACUTE_WEIGHTS, CHRONIC_WEIGHTS = (1 / 3, 1 / 3, 1 / 3), (0.15, 0.70, 0.15)
TOGETHER = 0.85  # chance that a lesion takes the direction its fellows of the same finding take
SMALL = ("cardiomegaly", "pleural_effusion")  # large grey areas: often drawn small, or every method finds them
SMALL_SHAPE, SHAPE = (1.1, 2.2), (1.4, 1.6)  # of the beta distribution
FAINTEST = 0.04
STABLE = 0.05  # a stable lesion's severity differs by at most this share


@dataclass(frozen=True, slots=True)
class Lesion:
    """A lesion's course: ``severities`` of consecutive moments, the first at ``start``."""

    lesion_id: str
    name: FindingName
    place: Place
    start: int
    severities: tuple[float, ...]
    directions: tuple[Direction, ...]
    seed: int

    def severity(self, moment: int) -> float | None:
        """The severity at a moment; ``None`` when the lesion is not there."""
        return self.severities[moment - self.start] if self.start <= moment < self.start + len(self.severities) else None


def sample_lesions(*key: str | int, moments: Sequence[Moment], change: tuple[float, float]) -> tuple[Lesion, ...]:
    """All lesions of a patient's life: a pure function of the key, the moments and the range of change factors."""
    lesions: list[Lesion] = []
    for name in PREVALENCE:
        draw = generator(*key, "disease", name)
        count = 0
        for start, length in _runs(_presence(draw, name, moments)):
            steps = [_direction(draw, name) for _ in range(length - 1)]
            for position, place in enumerate(_places(draw, name, moments[start])):
                first, last = _part(draw, length) if position else (0, length)
                wanted = [step if draw.random() < TOGETHER else _direction(draw, name) for step in steps[first : last - 1]]
                severities, directions = _walk(draw, name, wanted, change)
                count += 1
                lesion_id = f"{name}-{count}"
                lesions.append(Lesion(lesion_id, name, place, start + first, severities, directions, integer(*key, lesion_id)))
    return tuple(lesions)


def findings_at(lesions: Sequence[Lesion], moment: int, difficulty: Difficulty, *key: str | int) -> tuple[Finding, ...]:
    """The findings of one moment; the fainter, the likelier a reader is to hedge (drawn by the key)."""
    findings = []
    for lesion in lesions:
        severity = lesion.severity(moment)
        if severity is not None:
            severity *= 1 - 0.94 * difficulty.subtlety
            certain = bool(generator(*key, lesion.lesion_id, "certain").random() < 0.6 + 0.7 * severity)
            findings.append(Finding(lesion.lesion_id, lesion.name, *lesion.place, severity, lesion.seed, certain))
    return tuple(findings)


def changes_at(lesions: Sequence[Lesion], moment: int) -> tuple[Change, ...]:
    """How every lesion of this moment or the one before it changed; empty for the first moment."""
    if moment == 0:
        return ()
    changes = ((lesion, _label(lesion, moment)) for lesion in lesions)
    return tuple(Change(lesion.lesion_id, lesion.name, lesion.place[0], label) for lesion, label in changes if label)


def unchanged(findings: Sequence[Finding]) -> tuple[Change, ...]:
    """The changes of a visit that shows the same moment as the one before it."""
    return tuple(Change(f.lesion_id, f.name, f.side, "stable") for f in findings)


def _label(lesion: Lesion, moment: int) -> ChangeLabel | None:
    here, before = lesion.severity(moment) is not None, lesion.severity(moment - 1) is not None
    if here and before:
        return lesion.directions[moment - lesion.start - 1]
    return "new" if here else "resolved" if before else None


def _presence(draw: np.random.Generator, name: FindingName, moments: Sequence[Moment]) -> list[bool]:
    present: list[bool] = []
    for moment in moments:
        keep = 0.93 if name in CHRONIC else 0.30 + 0.45 * np.exp(-moment.gap / 720)
        if not present or draw.random() >= keep:
            present.append(bool(draw.random() < PREVALENCE[name][list(ILLNESSES).index(moment.illness)]))
        else:
            present.append(present[-1])
    return present


def _runs(present: Sequence[bool]) -> list[tuple[int, int]]:
    """Start and length of each run of true."""
    starts = [i for i, here in enumerate(present) if here and (i == 0 or not present[i - 1])]
    return [(start, next((i for i in range(start, len(present)) if not present[i]), len(present)) - start) for start in starts]


def _part(draw: np.random.Generator, length: int) -> tuple[int, int]:
    """From … to of a further lesion within the run of the first one; mostly all of it."""
    first = int(draw.integers(length)) if draw.random() < 0.3 else 0
    last = int(draw.integers(first, length)) + 1 if draw.random() < 0.3 else length
    return first, last


def _places(draw: np.random.Generator, name: FindingName, moment: Moment) -> list[Place]:
    """Where the one to three lesions of an episode lie, all different."""
    if name == "edema":
        return [("bilateral", "perihilar")]
    if name not in ZONES:
        return [(None, None)]
    counts = LESIONS.get(name, (1.0,))
    if name == "pleural_effusion" and moment.illness == "heart_failure":
        counts = counts[::-1]
    wanted = 1 + int(draw.choice(len(counts), p=counts))
    places: list[Place] = []
    while len(places) < wanted:
        side: Side = "right" if draw.random() < 0.54 else "left"
        place = (side, ZONES[name][int(draw.integers(len(ZONES[name])))])
        taken = {p[0] for p in places} if name in ONE_A_SIDE else set()
        if place not in places and side not in taken:
            places.append(place)
    return places


def _direction(draw: np.random.Generator, name: FindingName) -> Direction:
    weights = CHRONIC_WEIGHTS if name in CHRONIC else ACUTE_WEIGHTS
    return DIRECTIONS[int(draw.choice(3, p=weights))]


def _walk(
    draw: np.random.Generator, name: FindingName, wanted: Sequence[Direction], change: tuple[float, float]
) -> tuple[tuple[float, ...], tuple[Direction, ...]]:
    """Severities of ``len(wanted) + 1`` moments and the directions between them, from the last backwards."""
    middle = sum(change) / 2
    low, high = (FAINTEST / middle, middle) if wanted else (FAINTEST, 1.0)
    severities = [low + (high - low) * float(draw.beta(*(SMALL_SHAPE if name in SMALL else SHAPE)))]
    directions: list[Direction] = []
    for direction in reversed(wanted):
        now, factor = severities[-1], float(draw.uniform(*change))
        before = {"improving": now / factor, "worsening": now * factor}.get(direction, 0.0)
        if not FAINTEST <= before <= 1:
            direction, before = "stable", min(1.0, now / float(draw.uniform(1 - STABLE, 1 + STABLE)))
        severities.append(before)
        directions.append(direction)
    return tuple(reversed(severities)), tuple(reversed(directions))
