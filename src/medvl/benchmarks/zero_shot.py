"""Zero-shot classification of findings: the cosine of an image with sentences that affirm a finding against sentences that deny it.

Prompt ensembles after BioViL (Boecking et al., ECCV 2022; pairs such as "Findings suggesting pneumonia" / "No evidence of pneumonia") and
CheXzero (Tiu et al. 2022). With the image's global embedding v, positive prompts p and negative prompts n, all of unit length:

    score = max_i v·p_i − mean_j v·n_j          (``positive="mean"``: the mean over positives instead)

``positive="average_embedding"`` is BioViL's engine: each side is one direction, the mean of its prompts' projections P before they are of
unit length, brought to unit length; the probability of the finding is the softmax over the two cosines, σ(score):

    score = v·p̄ − v·n̄,      p̄ = Σ_i P_i / ‖Σ_i P_i‖

AUROC and average precision per finding and their macro means, with intervals over patients. One row per study: its frontal view.
``threshold_rule="argmax"`` calls a finding present where the positive side's cosine is the greater, and adds accuracy and F1. Published
zero-shot figures of one model move by several points with prompts, crop, threshold and labels, so all are written beside the result.

Departure from the authors' engine: every image is encoded once for all findings, and every prompt once for all images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from medvl.benchmarks.classification import classification_figures
from medvl.benchmarks.embedding import (
    ImageTextEncoder,
    RadiographSource,
    embedded_batches,
    ensemble_direction,
    prior_views,
    text_embeddings,
)
from medvl.benchmarks.labels import Truth, Uncertain, Unmentioned, label_of
from medvl.benchmarks.results import Evaluation
from medvl.data.transforms import Fit
from medvl.records import Study
from medvl.runtime.errors import UserError, did_you_mean
from medvl.runtime.privacy import strictest

Positive = Literal["max", "mean", "average_embedding"]
Prompts = Mapping[str, Sequence[str]]
"""``positive`` and ``negative`` sentences of one finding."""


class NothingToClassify(UserError):
    """No prompts for a finding, or no study with both labels of the chosen source and a prepared frontal image."""


@dataclass(frozen=True)
class ZeroShotClassification:
    """The protocol; ``evaluate`` runs it.

    Attributes:
        prompts: finding → ``{"labels": names under which sources list it, "positive": prompts, "negative": prompts}``; names are compared
            without regard to case, and underscores count as spaces.
        crop, short_side, fit: how an image becomes the model's input; see ``image_batches``.
        labels: which of a study's label sources is the truth, e.g. ``chexpert``.
        positive: whether the best or the mean positive prompt counts, or both sides are averaged embeddings as in BioViL's engine.
        threshold_rule: ``none``, or ``argmax`` of the two sides for accuracy and F1.
        uncertain: what an uncertain label counts as.
        unmentioned: what a finding counts as that the source does not mention in a study it has labelled.
        macro_over: findings that enter the headline figures; all by default.
        batch_size: images encoded at once.
        replicates, seed: of the bootstrap over patients.
        use_prior: show the model the film before, where the prepared dataset names one.
    """

    prompts: Mapping[str, Mapping[str, Sequence[str]]]
    crop: int
    labels: str = "chexpert"
    positive: Positive = "max"
    uncertain: Uncertain = "exclude"
    unmentioned: Unmentioned = "negative"
    macro_over: Sequence[str] | None = None
    short_side: int | None = None
    fit: Fit = "crop"
    batch_size: int = 32
    replicates: int = 1000
    seed: int = 0
    threshold_rule: Literal["none", "argmax"] = "none"
    use_prior: bool = False
    name: Literal["zero_shot"] = field(default="zero_shot", init=False)

    def __post_init__(self) -> None:
        for finding, prompts in self.prompts.items():
            for kind in ("positive", "negative"):
                if not prompts.get(kind):
                    raise NothingToClassify(f"prompts.{finding} has no {kind} prompts; give at least one sentence")
        for finding in self.macro_over or ():
            if finding not in self.prompts:
                raise NothingToClassify(f"macro_over names {finding!r}, which has no prompts{did_you_mean(finding, self.prompts)}")

    def evaluate(
        self,
        model: ImageTextEncoder,
        images: RadiographSource,
        studies: Iterable[Study],
        *,
        untrained: ImageTextEncoder | None = None,
    ) -> Evaluation:
        """Measure a model, and an untrained one beside it.

        Args:
            model: in evaluation mode, as is ``untrained``.
            images: the prepared images.
            studies: already of one split; those without labels of the source or without a prepared frontal view are left out.
            untrained: the same architecture before training.

        Raises:
            NothingToClassify: if no study is left.
        """
        labelled = [s for s in studies if self.labels in s.labels and s.frontal() is not None]
        models = {"trained": model} | ({"untrained": untrained} if untrained is not None else {})
        scored = {role: self.scores(candidate, images, labelled) for role, candidate in models.items()}
        rows = scored["trained"]
        if not len(rows):
            raise NothingToClassify(f"no study has both {self.labels!r} labels and a prepared frontal image")
        by_id = {(s.dataset, s.study_id): s for s in labelled}
        kept = [by_id[key] for key in zip(rows["dataset"], rows["study_id"], strict=True)]
        names = {finding: self._names(finding)[1:] for finding in self.prompts}
        truth = Truth(self.labels, self.uncertain, self.unmentioned).table(kept, names)
        figures = classification_figures(
            scored,
            truth,
            rows["patient_id"],
            replicates=self.replicates,
            seed=self.seed,
            macro_over=self.macro_over,
            decided=self.threshold_rule == "argmax",
        )
        return Evaluation(
            benchmark=self.name,
            metrics={f"zero_shot_{metric}": macro for metric, (_, macro) in figures.items()},
            per_finding={f"zero_shot_{metric}": findings for metric, (findings, _) in figures.items()},
            protocol={**self._protocol(truth, len(labelled)), "splits": sorted({s.split or "unnamed" for s in kept})},
            tables={"scores": self._table(scored, kept)},
            privacy=strictest(s.privacy for s in kept),
        )

    @torch.inference_mode()
    def scores(self, model: ImageTextEncoder, images: RadiographSource, studies: Iterable[Study]) -> pd.DataFrame:
        """One row per study whose frontal view is at hand: its identifiers, and a score for each finding in a column of its name."""
        by_view = {view.view_id: study for study in studies if (view := study.frontal()) is not None}
        sentences = [p for prompts in self.prompts.values() for p in (*prompts["positive"], *prompts["negative"])]
        texts = text_embeddings(model, sentences, unit_length=self.positive != "average_embedding")
        priors = prior_views(images, {view: study.study_id for view, study in by_view.items()}) if self.use_prior else None
        rows: list[dict[str, Any]] = []
        options = (self.crop, self.short_side, self.fit, self.batch_size)
        for batch in embedded_batches(model, images, list(by_view), *options, priors=priors):
            by_finding = {f: prompt_scores(batch.whole, texts, prompts, self.positive) for f, prompts in self.prompts.items()}
            for i, view_id in enumerate(batch.view_ids):
                study = by_view[view_id]
                identifiers = {"dataset": study.dataset, "patient_id": study.patient_id, "study_id": study.study_id}
                rows.append({**identifiers, "view_id": view_id, **{f: float(s[i]) for f, s in by_finding.items()}})
        return pd.DataFrame(rows)

    def _names(self, finding: str) -> tuple[str, ...]:
        return (finding, *self.prompts[finding].get("labels", ()))

    def _table(self, scored: Mapping[str, pd.DataFrame], studies: Sequence[Study]) -> pd.DataFrame:
        """One row per model, study and finding: the label as the source has it, the score, and the softmax over the two sides."""
        identifiers = ["dataset", "patient_id", "study_id", "view_id"]
        parts = []
        for role, table in scored.items():
            long = table.melt(id_vars=identifiers, var_name="finding", value_name="score")
            long["probability"] = 1 / (1 + np.exp(-long["score"]))
            long["label"] = [label_of(study, self.labels, self._names(finding)) for finding in self.prompts for study in studies]
            parts.append(long.assign(model=role))
        return pd.concat(parts, ignore_index=True)

    def _protocol(self, truth: pd.DataFrame, labelled: int) -> dict[str, Any]:
        described = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "prompts"}
        return {
            **described,
            "prompts": {finding: {k: list(v) for k, v in prompts.items()} for finding, prompts in self.prompts.items()},
            "studies": len(truth),
            "studies_without_image": labelled - len(truth),
            "positives": {finding: int((truth[finding] == 1).sum()) for finding in self.prompts},
            "negatives": {finding: int((truth[finding] == 0).sum()) for finding in self.prompts},
        }


def prompt_scores(
    embedded: torch.Tensor, texts: Mapping[str, torch.Tensor], prompts: Prompts, positive: Positive = "average_embedding"
) -> NDArray[np.float32]:
    """The scores (B,) of images for one finding.

    Args:
        embedded: (B, D), of unit length.
        texts: prompt → its embedding (D,): of unit length, or for ``average_embedding`` the projection as it is.
        prompts: the finding's ``positive`` and ``negative`` sentences.
        positive: how they are combined; see the head of this file.
    """
    sides = {side: [texts[prompt] for prompt in prompts[side]] for side in ("positive", "negative")}
    if positive == "average_embedding":
        return (embedded @ ensemble_direction(sides["positive"]) - embedded @ ensemble_direction(sides["negative"])).numpy()
    affirming, denying = (embedded @ torch.stack(side).T for side in sides.values())  # (B, P), (B, N)
    affirmed = affirming.amax(dim=1) if positive == "max" else affirming.mean(dim=1)
    return (affirmed - denying.mean(dim=1)).numpy()
