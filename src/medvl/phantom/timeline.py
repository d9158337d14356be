"""When a patient is seen, where, and with what illness: the frame that findings, devices and films fill.

A *moment* is one state of the body; an *occasion* is one visit. Two visits at an equal time, and a visit with only a lateral film, show
the moment of the visit before: so every change in the world lies between a frontal film and a strictly earlier one.

Illness comes first and decides the setting, as far as the world is confounded: P(setting | illness) = (1 − c) · P(setting) + c · tied.
Prevalences therefore do not depend on the confounding, and at c = 0 the setting (and with it projection, inspiration and devices) is
independent of every finding. Shares and gaps are ours, chosen to look like a hospital's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medvl.phantom.draws import generator
from medvl.phantom.facts import Setting

Illness = Literal["none", "heart_failure", "pneumonia", "trauma", "malignancy", "surgery"]

VISITS = {1: 0.36, 2: 0.30, 3: 0.19, 4: 0.09, 5: 0.06}  # mean 2.2
ILLNESSES: dict[Illness, float] = {  # share of moments
    "none": 0.36,
    "heart_failure": 0.20,
    "pneumonia": 0.18,
    "trauma": 0.10,
    "malignancy": 0.09,
    "surgery": 0.07,
}
SETTINGS: tuple[Setting, ...] = ("outpatient", "emergency", "icu")
TIED: dict[Illness, tuple[float, float, float]] = {  # P(setting | illness) in a fully confounded world
    "none": (0.58, 0.36, 0.06),
    "heart_failure": (0.20, 0.30, 0.50),
    "pneumonia": (0.22, 0.33, 0.45),
    "trauma": (0.10, 0.45, 0.45),
    "malignancy": (0.62, 0.14, 0.24),
    "surgery": (0.18, 0.05, 0.77),
}
GAP_HOURS: dict[Setting, tuple[float, float]] = {  # median, standard deviation of the logarithm
    "outpatient": (3400.0, 1.1),
    "emergency": (700.0, 1.4),
    "icu": (17.0, 0.75),
}
SHORTEST_GAP_HOURS: dict[Setting, float] = {"outpatient": 168.0, "emergency": 4.0, "icu": 2.0}
LONGEST_GAP_HOURS = 4 * 8766.0
ILLNESS_LASTS = 0.75  # chance that an illness is still there at the next moment
SETTING_LASTS = 0.65  # chance that an unchanged illness stays in its setting without a new draw
EQUAL_TIME = 0.025
LATERAL_ONLY = 0.013
FIRST_YEARS = (2110, 2182)  # with four of the longest gaps no visit comes after 2200


@dataclass(frozen=True, slots=True)
class Moment:
    """One state of the body; ``gap`` is in hours since the moment before, 0 for the first."""

    illness: Illness
    setting: Setting
    gap: float


@dataclass(frozen=True, slots=True)
class Occasion:
    """One visit: which moment it shows, and when."""

    moment: int
    time: datetime
    lateral_only: bool = False


def sample_timeline(*key: str | int, confounding: float, least_visits: int = 1) -> tuple[tuple[Moment, ...], tuple[Occasion, ...]]:
    """A patient's moments and occasions, both in order of time: a pure function of the key and the least number of visits."""
    draw = generator(*key, "timeline")
    visits = max(int(draw.choice(list(VISITS), p=list(VISITS.values()))), least_visits)
    illness = _illness(draw)
    moments = [Moment(illness, _setting(draw, illness, confounding), 0.0)]
    occasions = [Occasion(0, _first_time(draw, moments[0].setting), lateral_only=visits == 1 and draw.random() < LATERAL_ONLY)]
    while len(occasions) < visits:
        last = occasions[-1]
        if draw.random() < EQUAL_TIME and not last.lateral_only:
            occasions.append(Occasion(last.moment, last.time))
            continue
        moment = _next_moment(draw, moments[-1], confounding)
        time = _later(draw, last.time, moment)
        if draw.random() < LATERAL_ONLY:
            occasions.append(Occasion(last.moment, time, lateral_only=True))
            continue
        moments.append(moment)
        occasions.append(Occasion(len(moments) - 1, time))
    return tuple(moments), tuple(occasions)


def setting_shares(illness: Illness, confounding: float) -> NDArray[np.float64]:
    """P(setting | illness), (3,), in the order of ``SETTINGS``."""
    overall = np.array(list(ILLNESSES.values())) @ np.array([TIED[name] for name in ILLNESSES])
    return (1 - confounding) * overall + confounding * np.array(TIED[illness])


def _illness(draw: np.random.Generator) -> Illness:
    return list(ILLNESSES)[int(draw.choice(len(ILLNESSES), p=list(ILLNESSES.values())))]


def _setting(draw: np.random.Generator, illness: Illness, confounding: float) -> Setting:
    return SETTINGS[int(draw.choice(len(SETTINGS), p=setting_shares(illness, confounding)))]


def _next_moment(draw: np.random.Generator, last: Moment, confounding: float) -> Moment:
    illness = last.illness if draw.random() < ILLNESS_LASTS else _illness(draw)
    stays = illness == last.illness and draw.random() < SETTING_LASTS
    setting = last.setting if stays else _setting(draw, illness, confounding)
    median, spread = GAP_HOURS[setting]
    gap = float(np.clip(median * np.exp(draw.normal(0, spread)), SHORTEST_GAP_HOURS[setting], LONGEST_GAP_HOURS))
    return Moment(illness, setting, gap)


def _first_time(draw: np.random.Generator, setting: Setting) -> datetime:
    day = datetime(int(draw.integers(*FIRST_YEARS)), 1, 1) + timedelta(days=int(draw.integers(365)))
    return _at_work(draw, day) if setting == "outpatient" else day + timedelta(milliseconds=int(draw.integers(86_400_000)))


def _later(draw: np.random.Generator, last: datetime, moment: Moment) -> datetime:
    time = last + timedelta(milliseconds=round(moment.gap * 3_600_000))
    return _at_work(draw, time) if moment.setting == "outpatient" else time


def _at_work(draw: np.random.Generator, time: datetime) -> datetime:
    """The same day between seven and eighteen o'clock."""
    return time.replace(hour=7, minute=0, second=0, microsecond=0) + timedelta(milliseconds=int(draw.integers(11 * 3_600_000)))
