"""Label efficiency: how well an encoder classifies after learning from 1 %, 10 % and all of the training labels.

The RSNA protocol of ConVIRT, GLoRIA (Huang et al. 2021) and BioViL: for each share of the training patients a frozen encoder with a
linear head (``linear``), or the whole encoder (``fine_tune``), is trained and measured on the same test studies. Subsets are grouped by
patient and nested: for one seed the 1 % are among the 10 %. Figures are means over seeds, with intervals over the test patients: AUROC,
average precision, and accuracy and F1 where a probability above one half says that the finding is there.

All validation studies choose the head or the step, whatever the share; papers do not agree on that, and results say it. The split is that
of the prepared dataset: for RSNA by hash, or GLoRIA's by name (``data.split=gloria``).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from medvl.benchmarks.classification import classification_figures
from medvl.benchmarks.embedding import RadiographSource
from medvl.benchmarks.features import ImageEncoder
from medvl.benchmarks.findings_task import LabelledFeatures, Splits, identifiers
from medvl.benchmarks.fine_tuning import FineTuning
from medvl.benchmarks.linear_probe import LinearProbe
from medvl.benchmarks.results import Evaluation
from medvl.data.subsets import PatientSubset
from medvl.records import Study
from medvl.runtime.errors import UserError
from medvl.runtime.privacy import strictest


class NoSubsets(UserError):
    """No share or no seed is given, or a share is not one."""


@dataclass(frozen=True)
class LabelEfficiency:
    """The protocol; ``evaluate`` runs it.

    Attributes:
        probe: the linear head, and the task: images, findings, labels, bootstrap.
        fine_tuning: how the whole encoder is trained.
        mode: which of the two.
        shares: of the training patients, above 0 and up to 1.
        seeds: each draws its subsets, its head and its order.
    """

    probe: LinearProbe
    fine_tuning: FineTuning = field(default_factory=FineTuning)
    mode: Literal["linear", "fine_tune"] = "linear"
    shares: Sequence[float] = (0.01, 0.1, 1.0)
    seeds: Sequence[int] = (0, 1, 2)
    name: Literal["label_efficiency"] = field(default="label_efficiency", init=False)

    def __post_init__(self) -> None:
        if not self.seeds or not self.shares or not all(0 < share <= 1 for share in self.shares):
            raise NoSubsets(f"give seeds, and shares above 0 and up to 1; got {list(self.seeds)} and {list(self.shares)}")

    def evaluate(
        self, encoder: ImageEncoder, images: RadiographSource, splits: Splits, *, untrained: ImageEncoder | None = None
    ) -> Evaluation:
        """Train on each subset and measure, an encoder and another beside it.

        Args:
            encoder: in evaluation mode, as is ``untrained``; left as it is.
            images: the prepared images.
            splits: training, validation and test studies.
            untrained: the same architecture before training, or any encoder to compare with.

        Raises:
            NothingToProbe: if a split is left without a study.
            InvalidSubset: if a share of the patients is nobody.
            NotTrainable: with ``fine_tune``, if the encoder is no torch module.
        """
        encoders = {"trained": encoder} | ({"untrained": untrained} if untrained is not None else {})
        scores: dict[float, dict[str, list[pd.DataFrame]]] = {share: {role: [] for role in encoders} for share in self.shares}
        notes: list[dict[str, Any]] = []
        for role, candidate in encoders.items():
            train, validation, test = (self._read(candidate, images, splits, part) for part in ("train", "validation", "test"))
            for share in self.shares:
                for seed in self.seeds:
                    subset = train.of_patients(PatientSubset(share, seed).patients(Counter(train.patients.tolist())))
                    table, chosen = self._score(candidate, images, (subset, validation, test), seed)
                    scores[share][role].append(table)
                    notes.append({"model": role, "share": share, "seed": seed, **_counts(subset), "chosen": chosen})
        metrics, per_finding = self._figures(scores, test)
        return Evaluation(
            benchmark=self.name,
            metrics=metrics,
            per_finding=per_finding,
            protocol=self._protocol(train, validation, test, notes),
            tables={"label_efficiency_scores": self._table(scores, test)},
            privacy=strictest(study.privacy for part in (train, validation, test) for study in part.studies),
        )

    def _read(self, encoder: ImageEncoder, images: RadiographSource, splits: Splits, part: str) -> LabelledFeatures:
        if self.mode == "fine_tune":
            return self.probe.task.read_unencoded(images, splits, part)
        return self.probe.task.read(encoder, images, splits, part, self.probe.layers)

    def _score(
        self, encoder: ImageEncoder, images: RadiographSource, parts: tuple[LabelledFeatures, LabelledFeatures, LabelledFeatures], seed: int
    ) -> tuple[pd.DataFrame, dict[str, Any]]:
        if self.mode == "fine_tune":
            return self.fine_tuning.score(encoder, images, self.probe.task, *parts, seed=seed)
        return dataclasses.replace(self.probe, seed=seed).score(*parts)

    def _figures(
        self, scores: Mapping[float, Mapping[str, Sequence[pd.DataFrame]]], test: LabelledFeatures
    ) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, dict[str, Any]]]]:
        task = self.probe.task
        metrics, per_finding = {}, {}
        for share, by_role in scores.items():
            figures = classification_figures(
                by_role,
                test.truth,
                test.patients,
                replicates=task.replicates,
                seed=task.seed,
                macro_over=task.macro_over,
                decided=True,
            )
            for metric, (findings, macro) in figures.items():
                name = f"{self.name}_{self.mode}_{100 * share:g}_percent_{metric}"
                metrics[name], per_finding[name] = macro, findings
        return metrics, per_finding

    def _protocol(
        self, train: LabelledFeatures, validation: LabelledFeatures, test: LabelledFeatures, notes: list[dict[str, Any]]
    ) -> dict[str, Any]:
        parts = {"train": train, "validation": validation, "test": test}
        learner = {"linear": {n: getattr(self.probe, n) for n in ("learning_rates", "blocks", "mean_patch", "steps", "batch_size")}}
        return {
            **self.probe.task.described(),
            "mode": self.mode,
            self.mode: learner.get(self.mode, self.fine_tuning.described()),
            "shares": list(self.shares),
            "seeds": list(self.seeds),
            "threshold_rule": "probability of one half",
            "chosen_on": "all validation studies, whatever the share",
            "studies": {name: len(part.studies) for name, part in parts.items()},
            "split_fingerprints": {name: _fingerprint(part.studies) for name, part in parts.items()},
            "runs": notes,
        }

    def _table(self, scores: Mapping[float, Mapping[str, Sequence[pd.DataFrame]]], test: LabelledFeatures) -> pd.DataFrame:
        """One row per share, model, seed, study and finding: truth and log-odds."""
        who = identifiers(test.studies)
        parts = [
            who.assign(finding=finding, truth=test.truth[finding], score=table[finding], model=role, share=share, seed=seed)
            for share, by_role in scores.items()
            for role, tables in by_role.items()
            for seed, table in zip(self.seeds, tables, strict=True)
            for finding in map(str, test.truth)
        ]
        return pd.concat(parts, ignore_index=True)


def _counts(subset: LabelledFeatures) -> dict[str, Any]:
    positives = {finding: int((subset.truth[finding] == 1).sum()) for finding in map(str, subset.truth)}
    return {"studies": len(subset.studies), "patients": len(set(subset.patients.tolist())), "positives": positives}


def _fingerprint(studies: Iterable[Study]) -> str:
    """Eight digits that name who is in a part of the split, so that two results can be told to have used the same."""
    names = sorted(f"{study.dataset}/{study.study_id}" for study in studies)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
