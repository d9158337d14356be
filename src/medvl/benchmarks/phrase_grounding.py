"""Phrase grounding on MS-CXR: cosine maps of a phrase over the patches of an image, against the boxes radiologists drew for it.

Protocol of BioViL (Boecking et al., ECCV 2022) and BioViL-T (Bannur et al., CVPR 2023): the cosine of each L2-normalised projected patch
with the phrase's embedding; smoothed with a Gaussian of 1.5 patches as in the authors' engine (reflecting border, truncated at 4 σ);
stretched to the original image, NaN outside the centre crop; CNR, and mIoU over the thresholds 0.1 … 0.5; averaged per finding, then
over findings.

Beside it the best-threshold mIoU, on each model's own scale of cosines: an untrained model's cosines hardly vary and its published mIoU
is 0 whatever its maps show. The threshold comes from a validation split where one is given; else it is an oracle, and says so.

CNR is of the union of a phrase's boxes; ``cnr_per_box``, the mean over single boxes, is what a public evaluator measures, here without its
dependence on their order. Coverage, the share of the boxes that the model saw, stands beside: what the crop hides cannot be found.

Departures: all prompts are embedded once and every image once; maps are compared at no more than ``resolution`` pixels on the short side
(boxes are exact at any size; 512 was the authors' input). Films before are shown where asked for (``use_prior``), and not by default.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.ndimage import label

from medvl.benchmarks.embedding import ImageTextEncoder, RadiographSource, embedded_batches, prior_views, text_embeddings
from medvl.benchmarks.results import Evaluation, per_finding_and_macro
from medvl.benchmarks.similarity_maps import Geometry, Interpolation, Map, frame_at, map_in_original, patch_similarity
from medvl.benchmarks.similarity_maps import similarity_map as similarity_map
from medvl.data.transforms import Fit
from medvl.geometry import Frame, box_from_mask, boxes_to_mask
from medvl.metrics import grounding
from medvl.metrics.bootstrap import mean_of, resample
from medvl.records import Box, Phrase, Prediction, PrivacyPolicy, Study
from medvl.runtime.errors import UserError
from medvl.runtime.privacy import strictest

METRICS = ("cnr", "cnr_absolute", "cnr_per_box", "miou", "miou_best_threshold", "pointing_game", "coverage")


class NothingToGround(UserError):
    """No phrase with boxes has its image in the prepared dataset, or the protocol contradicts itself."""


@dataclass(frozen=True, slots=True)
class GroundedPhrase:
    """A phrase with boxes on one view; ``finding`` is the first of its labels."""

    dataset: str
    patient_id: str
    study_id: str
    view_id: str
    finding: str
    text: str
    boxes: tuple[Box, ...]
    privacy: PrivacyPolicy


@dataclass(frozen=True, slots=True)
class GroundingMap:
    """A phrase's map on the model's patch grid (h, w), in cosines, and the frame from the original image to the model's input."""

    phrase: GroundedPhrase
    patches: Map
    frame: Frame
    interpolation: Interpolation = "bilinear"
    geometry: Geometry = "frame"

    def in_original(self, resolution: int | None = None) -> Map:
        """The map over the original image (H, W), NaN outside the crop; short side at most ``resolution`` pixels."""
        frame = frame_at(self.frame, resolution)
        return map_in_original(self.patches, frame, interpolation=self.interpolation, geometry=self.geometry)


def grounded_phrases(studies: Iterable[Study]) -> list[GroundedPhrase]:
    """The phrases of the studies that have boxes and name their view, in order."""
    return [
        GroundedPhrase(
            study.dataset,
            study.patient_id,
            study.study_id,
            phrase.view_id,
            phrase.labels[0] if phrase.labels else "unlabelled",
            phrase.text,
            phrase.boxes,
            study.privacy,
        )
        for study in studies
        for phrase in study.phrases
        if phrase.boxes is not None and phrase.view_id is not None
    ]


@dataclass(frozen=True)
class PhraseGrounding:
    """The protocol; ``evaluate`` runs it.

    Attributes:
        crop, short_side, fit: how an image becomes the model's input; see ``image_batches``.
        smoothing: see ``similarity_map``.
        interpolation, geometry: how a map comes to lie over the original; see ``map_in_original``.
        thresholds: cosine thresholds of the published mIoU.
        resolution: short side at which maps and boxes are compared, at most; ``None`` for the original's.
        blank_earlier_boxes: measure ``cnr_per_box`` with the public evaluator's quirk; see ``contrast_to_noise_ratio_per_box``.
        use_prior: show the model the film before, where the prepared dataset names one.
        macro_over: findings that enter the headline figures; all by default.
        batch_size: images encoded at once.
        replicates, seed: of the bootstrap over patients.
    """

    crop: int
    smoothing: float | None = 1.5
    thresholds: Sequence[float] = grounding.THRESHOLDS
    resolution: int | None = 512
    macro_over: Sequence[str] | None = None
    short_side: int | None = None
    fit: Fit = "crop"
    batch_size: int = 32
    replicates: int = 1000
    seed: int = 0
    interpolation: Interpolation = "bilinear"
    geometry: Geometry = "frame"
    blank_earlier_boxes: bool = False
    use_prior: bool = False
    name: Literal["phrase_grounding"] = field(default="phrase_grounding", init=False)

    def __post_init__(self) -> None:
        if self.geometry == "official" and self.fit != "crop":
            raise NothingToGround(f"geometry=official is that of the centre crop and does not go with fit={self.fit}; take geometry=frame")

    def evaluate(
        self,
        model: ImageTextEncoder,
        images: RadiographSource,
        studies: Iterable[Study],
        *,
        untrained: ImageTextEncoder | None = None,
        validation: Iterable[Study] | None = None,
    ) -> Evaluation:
        """Measure a model, and an untrained one beside it, on the phrases of ``studies``.

        Args:
            model: in evaluation mode, as is ``untrained``.
            images: the prepared images.
            studies: e.g. from ``medvl.data.ms_cxr.read_studies``, already of one split; phrases without boxes or image are left out.
            untrained: the same architecture before training.
            validation: studies to choose the best threshold on; without them the choice is an oracle.

        Raises:
            NothingToGround: if no phrase is left.
            NoPriors: with ``use_prior``, if ``images`` does not know which film came before another.
        """
        studies = list(studies)
        models = {"trained": model} | ({"untrained": untrained} if untrained is not None else {})
        wanted = grounded_phrases(studies)
        choose_on = grounded_phrases(validation or ())
        tables, chosen, maps, validated = {}, {}, {}, {}
        for role, candidate in models.items():
            maps[role] = self.maps(candidate, images, wanted)
            if not maps[role]:
                raise NothingToGround(f"none of {len(wanted)} phrases with boxes has its image in the prepared dataset")
            validated[role] = self.maps(candidate, images, choose_on)
            chosen[role] = self._best_threshold(validated[role] or maps[role])
            tables[role] = self._table(maps[role], chosen[role])
        protocol = {
            **asdict(self),
            "splits": sorted({study.split or "unnamed" for study in studies}),
            "phrases": len(maps["trained"]),
            "phrases_without_image": len(wanted) - len(maps["trained"]),
            "best_threshold": chosen,
            "best_threshold_chosen_on": "validation" if validated["trained"] else "the samples themselves (oracle)",
            "validation_phrases": len(validated["trained"]),
        }
        figures = self._figures(tables)
        return Evaluation(
            benchmark=self.name,
            metrics={f"grounding_{metric}": macro for metric, (_, macro) in figures.items()},
            per_finding={f"grounding_{metric}": findings for metric, (findings, _) in figures.items()},
            protocol=protocol,
            tables={"per_sample": pd.concat([t.assign(model=role) for role, t in tables.items()], ignore_index=True)},
            predictions=_predictions(maps["trained"], chosen["trained"], self.resolution),
            privacy=strictest(phrase.privacy for phrase in wanted),
        )

    @torch.inference_mode()
    def maps(self, model: ImageTextEncoder, images: RadiographSource, phrases: Sequence[GroundedPhrase]) -> list[GroundingMap]:
        """The map of each phrase whose image is at hand, ordered by view and then as given."""
        by_view: dict[str, list[GroundedPhrase]] = {}
        for phrase in phrases:
            by_view.setdefault(phrase.view_id, []).append(phrase)
        texts = text_embeddings(model, [phrase.text for phrase in phrases])
        study_ids = {view_id: here[0].study_id for view_id, here in by_view.items()}
        priors = prior_views(images, study_ids) if self.use_prior else None
        options = (self.crop, self.short_side, self.fit, self.batch_size)
        found = []
        for batch in embedded_batches(model, images, list(by_view), *options, priors=priors):
            for view_id, patches, frame in zip(batch.view_ids, batch.patches, batch.frames, strict=True):
                here = by_view[view_id]
                stack = patch_similarity(patches, torch.stack([texts[p.text] for p in here]), smoothing=self.smoothing)
                found += [GroundingMap(p, each, frame, self.interpolation, self.geometry) for p, each in zip(here, stack, strict=True)]
        return found

    def _best_threshold(self, maps: Sequence[GroundingMap]) -> float:
        """The threshold with the greatest macro mIoU among quantiles of these maps' cosines."""
        candidates = grounding.candidate_thresholds([m.patches for m in maps])
        overlaps = []
        for each in maps:
            similarity = each.in_original(self.resolution)
            overlaps.append(grounding.iou_at_thresholds(similarity, _mask(each.phrase, similarity), candidates))
        return grounding.best_threshold(np.stack(overlaps), [m.phrase.finding for m in maps], candidates)

    def _table(self, maps: Sequence[GroundingMap], threshold: float) -> pd.DataFrame:
        """One row per phrase."""
        rows = []
        for each in maps:
            phrase, similarity = each.phrase, each.in_original(self.resolution)
            mask = _mask(phrase, similarity)
            iou = grounding.iou_at_thresholds(similarity, mask, [*self.thresholds, threshold])
            cnr = grounding.contrast_to_noise_ratio(similarity, mask)
            rows.append(
                {
                    **{name: getattr(phrase, name) for name in ("dataset", "patient_id", "study_id", "view_id", "finding", "text")},
                    "coverage": grounding.coverage(similarity, mask),
                    "cnr": cnr,
                    "cnr_absolute": abs(cnr),
                    "cnr_per_box": self._cnr_per_box(phrase, similarity),
                    "miou": iou[:-1].mean(),
                    **{f"iou@{t:g}": value for t, value in zip(self.thresholds, iou, strict=False)},
                    "miou_best_threshold": iou[-1],
                    "dice_best_threshold": float(grounding.dice(iou[-1])),
                    "pointing_game": grounding.pointing_game(similarity, mask),
                }
            )
        return pd.DataFrame(rows)

    def _cnr_per_box(self, phrase: GroundedPhrase, similarity: Map) -> float:
        masks = [boxes_to_mask([box], similarity.shape[:2]) for box in phrase.boxes]
        return grounding.contrast_to_noise_ratio_per_box(similarity, masks, blank_earlier=self.blank_earlier_boxes)

    def _figures(self, tables: dict[str, pd.DataFrame]) -> dict[str, tuple[dict[str, dict], dict]]:
        """Metric → per-finding figures and the macro figure."""
        rows = tables["trained"]
        weights = resample(rows["patient_id"].to_numpy(), replicates=self.replicates, seed=self.seed)
        of_finding = {name: (rows["finding"] == name).to_numpy() for name in sorted(rows["finding"].unique())}
        figures = {}
        for metric in METRICS:
            shown = {"trained": rows} if metric == "coverage" else tables  # of the crop, not of a model
            statistics = {
                name: {role: mean_of(table[metric].where(member)) for role, table in shown.items()} for name, member in of_finding.items()
            }
            members = {name: member & rows[metric].notna().to_numpy() for name, member in of_finding.items()}
            figures[metric] = per_finding_and_macro(statistics, members, weights, self.macro_over)
        return figures


def _mask(phrase: GroundedPhrase, similarity: Map) -> NDArray[np.bool_]:
    return boxes_to_mask(phrase.boxes, similarity.shape[:2])


def _largest_region(mask: NDArray[np.bool_]) -> Box | None:
    regions, count = label(mask)
    return box_from_mask(regions == 1 + np.bincount(regions.ravel())[1:].argmax()) if count else None


def _predictions(maps: Sequence[GroundingMap], threshold: float, resolution: int | None) -> list[Prediction]:
    """One prediction per study: its phrases, each with the box around the largest region where its map exceeds the threshold."""
    by_study: dict[tuple[str, str], list[GroundingMap]] = {}
    for each in maps:
        by_study.setdefault((each.phrase.dataset, each.phrase.study_id), []).append(each)
    predictions = []
    for (dataset, study_id), here in by_study.items():
        phrases = []
        for each in here:
            box = _largest_region(each.in_original(resolution) > threshold)
            boxes = None if box is None else (box,)
            phrases.append(Phrase(each.phrase.text, boxes=boxes, labels=(each.phrase.finding,), view_id=each.phrase.view_id))
        meta = {"threshold": threshold, "privacy": here[0].phrase.privacy}
        predictions.append(Prediction(study_id, dataset, phrases=tuple(phrases), meta=meta))
    return predictions
