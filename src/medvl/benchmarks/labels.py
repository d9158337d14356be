"""What a label source says of a finding, and what counts as truth: shared by zero-shot classification and the probes of encoders.

Names are compared without regard to case, and underscores count as spaces; a finding may go by several names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from medvl.records import LabelValue, Study

Uncertain = Literal["exclude", "positive", "negative"]
Unmentioned = Literal["exclude", "negative"]


@dataclass(frozen=True)
class Truth:
    """How labels become truth.

    Attributes:
        source: which of a study's label sources counts, e.g. ``chexpert``.
        uncertain: what an uncertain label counts as.
        unmentioned: what a finding counts as that the source does not mention in a study it has labelled.
    """

    source: str
    uncertain: Uncertain = "exclude"
    unmentioned: Unmentioned = "negative"

    def table(self, studies: Iterable[Study], findings: Mapping[str, Sequence[str]]) -> pd.DataFrame:
        """One row per study, one column per finding: 1 positive, 0 negative, NaN left out.

        Args:
            studies: those that the source has not labelled have NaN throughout.
            findings: finding → further names under which sources list it.
        """
        rows = [[self.value(study, (name, *others)) for name, others in findings.items()] for study in studies]
        return pd.DataFrame(rows, columns=list(findings), dtype=np.float64)

    def value(self, study: Study, names: Sequence[str]) -> float:
        """1 positive, 0 negative, NaN left out."""
        if self.source not in study.labels:
            return np.nan
        label = label_of(study, self.source, names)
        policy = self.unmentioned if label is None else self.uncertain if label == "uncertain" else label
        return {"positive": 1.0, "negative": 0.0, "exclude": np.nan}[policy]


def label_of(study: Study, source: str, names: Sequence[str]) -> LabelValue | None:
    """The source's value for a finding under whichever of its names comes first; ``None`` if it does not mention it."""
    given = {_plain(name): value for name, value in study.labels[source].items()}
    return next((given[_plain(name)] for name in names if _plain(name) in given), None)


def _plain(name: str) -> str:
    return name.lower().replace("_", " ")
