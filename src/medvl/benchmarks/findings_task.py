"""Classifying findings from frozen features: which images, which truth, and the figures. The probes differ only in the classifier.

A probe gets features and truth of the training and validation studies, learns, and scores the test studies; one row per study, its
frontal view. The report has AUROC and AUPRC per finding, their macro means, intervals over patients, and a second encoder beside.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medvl.benchmarks.classification import classification_figures
from medvl.benchmarks.embedding import RadiographSource, present_views
from medvl.benchmarks.features import Encoding, Features, ImageEncoder
from medvl.benchmarks.labels import Truth, Uncertain, Unmentioned
from medvl.benchmarks.results import Evaluation
from medvl.metrics.classification import auroc
from medvl.records import Study
from medvl.runtime.errors import UserError, did_you_mean
from medvl.runtime.privacy import strictest


class NothingToProbe(UserError):
    """A split has no study with labels of the chosen source and a prepared frontal image, or a finding that is not there is named."""


@dataclass(frozen=True)
class Splits:
    """The studies of a prepared dataset by what they are for."""

    train: Sequence[Study]
    validation: Sequence[Study]
    test: Sequence[Study]


@dataclass(frozen=True)
class LabelledFeatures:
    """Features of N studies, their truth (N, findings; NaN where unknown), and who they are."""

    features: Features = field(repr=False)
    truth: pd.DataFrame
    studies: list[Study] = field(repr=False)

    @property
    def patients(self) -> NDArray[np.str_]:
        """(N,) the patient of each study."""
        return np.asarray([study.patient_id for study in self.studies], dtype=str)

    def of_patients(self, patients: Collection[str]) -> LabelledFeatures:
        """Those of the given patients."""
        rows = np.flatnonzero([study.patient_id in patients for study in self.studies])
        pooled = {pooling: values[rows] for pooling, values in self.features.pooled.items()}
        features = Features([self.features.view_ids[row] for row in rows], pooled)
        return LabelledFeatures(features, self.truth.iloc[rows].reset_index(drop=True), [self.studies[row] for row in rows])


Scorer = Callable[[LabelledFeatures, LabelledFeatures, LabelledFeatures], tuple[pd.DataFrame, dict[str, Any]]]
"""Training, validation and test data → the test studies' scores (N, findings), and what the classifier chose."""


@dataclass(frozen=True)
class FindingsTask:
    """Which images, findings and labels.

    Attributes:
        findings: finding → further names under which label sources list it.
        encoding: how images become features.
        labels: the label source that training and validation learn from, e.g. ``chexpert``.
        test_labels: the source that counts as truth for the test studies; ``labels`` if not given.
        uncertain, unmentioned: see ``Truth``.
        macro_over: findings in the headline figures; all by default.
        replicates, seed: of the bootstrap over patients.
    """

    findings: Mapping[str, Sequence[str]]
    encoding: Encoding
    labels: str = "chexpert"
    test_labels: str | None = None
    uncertain: Uncertain = "exclude"
    unmentioned: Unmentioned = "negative"
    macro_over: Sequence[str] | None = None
    replicates: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for finding in self.macro_over or ():
            if finding not in self.findings:
                raise NothingToProbe(f"macro_over names {finding!r}, which is not among the findings{did_you_mean(finding, self.findings)}")

    def evaluate(
        self,
        name: str,
        scorer: Scorer,
        encoder: ImageEncoder,
        images: RadiographSource,
        splits: Splits,
        *,
        untrained: ImageEncoder | None = None,
        layers: Sequence[int] = (-1,),
    ) -> Evaluation:
        """Probe an encoder, and another beside it, with one classifier.

        Args:
            name: the probe's, which its metrics begin with.
            scorer: the classifier.
            encoder: in evaluation mode, as is ``untrained``.
            images: the prepared images.
            splits: training, validation and test studies.
            untrained: the same architecture before training, or any encoder to compare with.
            layers: the blocks that the classifier reads.

        Raises:
            NothingToProbe: if a split is left without a study.
        """
        encoders = {"trained": encoder} | ({"untrained": untrained} if untrained is not None else {})
        scores, chosen = {}, {}
        for role, candidate in encoders.items():
            train, validation, test = (self.read(candidate, images, splits, part, layers) for part in ("train", "validation", "test"))
            scores[role], chosen[role] = scorer(train, validation, test)
        figures = classification_figures(
            scores, test.truth, test.patients, replicates=self.replicates, seed=self.seed, macro_over=self.macro_over
        )
        counts = {"train": len(train.studies), "validation": len(validation.studies), "test": len(test.studies)}
        return Evaluation(
            benchmark=name,
            metrics={f"{name}_{metric}": macro for metric, (_, macro) in figures.items()},
            per_finding={f"{name}_{metric}": findings for metric, (findings, _) in figures.items()},
            protocol={**self.described(), "layers": list(layers), "studies": counts, "chosen": chosen},
            tables={f"{name}_scores": _table(scores, test)},
            privacy=strictest(study.privacy for study in test.studies),
        )

    def read(self, encoder: ImageEncoder, images: RadiographSource, splits: Splits, part: str, layers: Sequence[int]) -> LabelledFeatures:
        """Features and truth of one split's labelled studies.

        Raises:
            NothingToProbe: if there are none.
        """
        by_view = self._labelled(splits, part)
        return self._with_truth(self.encoding.extract(encoder, images, list(by_view), layers=layers), by_view, part)

    def read_unencoded(self, images: RadiographSource, splits: Splits, part: str) -> LabelledFeatures:
        """The same without features, for what learns from the images themselves.

        Raises:
            NothingToProbe: if there are none.
        """
        by_view = self._labelled(splits, part)
        return self._with_truth(Features(present_views(images, list(by_view)), {}), by_view, part)

    def _labelled(self, splits: Splits, part: str) -> dict[str, Study]:
        """View → study of those that the source has labelled."""
        return {view.view_id: s for s in getattr(splits, part) if self._source(part) in s.labels and (view := s.frontal()) is not None}

    def _source(self, part: str) -> str:
        return self.test_labels or self.labels if part == "test" else self.labels

    def _with_truth(self, features: Features, by_view: Mapping[str, Study], part: str) -> LabelledFeatures:
        source = self._source(part)
        studies = [by_view[view_id] for view_id in features.view_ids]
        if not studies:
            raise NothingToProbe(f"no {part} study has both {source!r} labels and a prepared frontal image")
        return LabelledFeatures(features, Truth(source, self.uncertain, self.unmentioned).table(studies, self.findings), studies)

    def macro_auroc(self, scores: NDArray[np.floating[Any]], truth: pd.DataFrame) -> float:
        """The mean AUROC of scores (N, findings) over the headline findings that have both classes; NaN if none has."""
        columns = [i for i, finding in enumerate(self.findings) if self.macro_over is None or finding in self.macro_over]
        values = truth.to_numpy()
        areas = [auroc(values[known, i] == 1, scores[known, i]) for i in columns if (known := ~np.isnan(values[:, i])).any()]
        return float(np.nanmean(areas)) if not np.isnan(areas).all() else float("nan")

    def described(self) -> dict[str, Any]:
        """What results say of it."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("findings", "encoding")}
        return {**plain, "encoding": self.encoding.described(), "findings": {name: list(others) for name, others in self.findings.items()}}


def identifiers(studies: Iterable[Study]) -> pd.DataFrame:
    """One row per study: dataset, patient, study and the frontal view's id."""
    rows = [(s.dataset, s.patient_id, s.study_id, view.view_id if (view := s.frontal()) else None) for s in studies]
    return pd.DataFrame(rows, columns=["dataset", "patient_id", "study_id", "view_id"])


def _table(scores: Mapping[str, pd.DataFrame], test: LabelledFeatures) -> pd.DataFrame:
    """One row per model, study and finding: truth and score."""
    who = identifiers(test.studies)
    parts = [
        who.assign(finding=finding, truth=test.truth[finding], score=table[finding], model=role)
        for role, table in scores.items()
        for finding in map(str, test.truth)
    ]
    return pd.concat(parts, ignore_index=True)
