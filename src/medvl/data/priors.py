"""The prior of a study, by the rule of the house: the latest strictly earlier study of the patient that has a frontal view.

Order is by date and zero-padded time, never by study id, which the releases draw at random (sorting by it gives reversed priors).
Studies at equal times are not priors of each other, a study without a time neither has nor is a prior, and a prior that the dataset
itself names wins.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import datetime

from medvl.records import Study


def with_priors(studies: Iterable[Study]) -> tuple[Study, ...]:
    """The studies of one patient in order of (time, study id), those without a time last, each with its ``prior_study_id``."""
    ordered = sorted(studies, key=_order)
    linked: list[Study] = []
    earlier: Study | None = None  # latest study with a frontal view, strictly before ``moment``
    latest: Study | None = None  # latest study with a frontal view so far
    moment: datetime | None = None
    for study in ordered:
        if study.time != moment:
            earlier, moment = latest, study.time
        prior = earlier.study_id if earlier is not None and study.time is not None else None
        linked.append(study if study.prior_study_id or prior is None else dataclasses.replace(study, prior_study_id=prior))
        if study.time is not None and study.frontal() is not None:
            latest = study
    return tuple(linked)


def _order(study: Study) -> tuple[bool, datetime, str]:
    return study.time is None, study.time or datetime.min, study.study_id
