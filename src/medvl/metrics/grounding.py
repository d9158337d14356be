"""Phrase grounding: how well a similarity map over an image agrees with the boxes drawn for a phrase.

Contrast-to-noise ratio and mean IoU as in BioViL (Boecking et al., ECCV 2022, section 4) and BioViL-T (Bannur et al., CVPR 2023); the
pointing game of Zhang et al. (2016); Dice. Every function takes a map (H, W) of cosines in the space of the original image, NaN where
the model did not look (outside the centre crop), and the union of the phrase's boxes as a mask (H, W).

Pixels that the model did not see are left out of means and variances (CNR), and count as not predicted in overlaps (IoU, Dice):
a box that lies partly outside the crop can never be matched fully, and ``coverage`` says how much of it could.

Departure: a public evaluator measures CNR per box and writes NaN into earlier boxes, so that its value depends on their order. Here
a phrase is one region, the union of its boxes; ``contrast_to_noise_ratio_per_box`` is the variant, with or without that quirk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Cosine thresholds of the published mIoU. Being positive they also clamp the map at 0."""


def contrast_to_noise_ratio(similarity: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Signed contrast-to-noise ratio of the region against the rest.

        CNR = (μ_in − μ_out) / √(σ²_in + σ²_out)

    with population variances over the pixels seen. Example: inside 3, 5 (mean 4, variance 1), outside 0, 2 (mean 1, variance 1):
    3 / √2 = 2.121. BioViL prints the absolute value of the numerator; a map that is consistently dark inside the boxes then scores well,
    so the signed value is the one to read and the absolute one (``abs`` of this, per sample) the one to compare with papers.

    Args:
        similarity: (H, W), NaN where not seen.
        mask: (H, W), the union of the phrase's boxes.

    Returns:
        The ratio; NaN if no pixel inside or none outside was seen, or if both regions are constant.
    """
    seen = ~np.isnan(similarity)
    inside, outside = similarity[mask & seen].astype(np.float64), similarity[~mask & seen].astype(np.float64)
    if not len(inside) or not len(outside):
        return math.nan
    noise = math.sqrt(inside.var() + outside.var())
    return float((inside.mean() - outside.mean()) / noise) if noise > 0 else math.nan


def contrast_to_noise_ratio_per_box(
    similarity: NDArray[np.floating], boxes: Sequence[NDArray[np.bool_]], *, blank_earlier: bool = False
) -> float:
    """The mean signed CNR of each box against all that lies outside that box, other boxes of the phrase included.

    Example: map 5, 3, 0, 2 with the boxes {0} and {1}: the first has 5 inside and 3, 0, 2 outside, the second 3 against 5, 0, 2.

    Args:
        similarity: (H, W), NaN where not seen.
        boxes: each box as a mask (H, W).
        blank_earlier: leave the boxes before out of sight of those after, as the public evaluator does; the order then matters.

    Returns:
        The mean over the boxes for which it is defined; NaN if there is none.
    """
    seen, values = np.array(similarity, np.float64), []
    for box in boxes:
        values.append(contrast_to_noise_ratio(seen, box))
        if blank_earlier:
            seen[box] = np.nan
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def iou_at_thresholds(similarity: NDArray[np.floating], mask: NDArray[np.bool_], thresholds: ArrayLike = THRESHOLDS) -> NDArray[np.float64]:
    """Intersection over union of {similarity > t} with the mask, for every threshold t in one pass.

    Example: map 0.05, 0.25, 0.45, 0.65 with the last two pixels in the mask: at t = 0.1 the prediction has three pixels, IoU 2/3; at 0.3
    two, IoU 1; at 0.5 one, IoU 1/2.

    Args:
        similarity: (H, W), NaN where not seen; a pixel not seen is never predicted.
        mask: (H, W), the union of the phrase's boxes, whole.
        thresholds: (T,) in any order.

    Returns:
        (T,); 0 where neither has a pixel.
    """
    levels = np.asarray(thresholds, np.float64)
    order = np.argsort(levels)
    seen = ~np.isnan(similarity)
    exceeded = np.searchsorted(levels[order], similarity[seen].astype(np.float64), side="left")  # thresholds below each pixel
    predicted = _at_least(exceeded, len(levels))
    shared = _at_least(exceeded[mask[seen]], len(levels))
    union = predicted + np.count_nonzero(mask) - shared
    iou = np.empty(len(levels))
    iou[order] = np.divide(shared, union, out=np.zeros(len(levels)), where=union > 0)
    return iou


def mean_iou(similarity: NDArray[np.floating], mask: NDArray[np.bool_], thresholds: ArrayLike = THRESHOLDS) -> float:
    """Mean of the IoU over thresholds: BioViL's mIoU of one phrase. See ``iou_at_thresholds``."""
    return float(iou_at_thresholds(similarity, mask, thresholds).mean())


def dice(iou: ArrayLike) -> NDArray[np.float64]:
    """Dice from IoU of the same two regions: 2·IoU / (1 + IoU). Example: IoU 1/3 is Dice 1/2."""
    overlap = np.asarray(iou, np.float64)
    return 2 * overlap / (1 + overlap)


def pointing_game(similarity: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """1 if the map's greatest pixel lies in the mask, else 0; among equal maxima the share that does; NaN for a map never seen."""
    if np.isnan(similarity).all():
        return math.nan
    return float(mask[similarity == np.nanmax(similarity)].mean())


def coverage(similarity: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """The share of the mask that the model saw; NaN for an empty mask."""
    return float((~np.isnan(similarity[mask])).mean()) if mask.any() else math.nan


def candidate_thresholds(maps: list[NDArray[np.floating]], count: int = 64) -> NDArray[np.float64]:
    """Thresholds on a model's own scale, rising: ``count`` quantiles of all its maps' values and as many even steps over their range.

    Cosines of an untrained model may all lie within 0.01 of each other, where no fixed threshold separates anything.
    """
    values = np.concatenate([m[~np.isnan(m)] for m in maps]).astype(np.float64)
    shares = np.arange(count) / count
    steps = values.min() + shares * np.ptp(values)
    return np.unique(np.concatenate([np.quantile(values, shares), steps]))


def best_threshold(iou: NDArray[np.floating], findings: ArrayLike, thresholds: ArrayLike) -> float:
    """The one threshold whose IoU, averaged per finding and then over findings, is greatest.

    Chosen on the samples that are then scored it is an oracle and flatters; chosen on a validation split it is not. The caller says which.

    Args:
        iou: (N, T) from ``iou_at_thresholds``.
        findings: (N,) names.
        thresholds: (T,).

    Returns:
        The threshold; the lowest among equals.
    """
    names = np.asarray(findings)
    macro = np.mean([iou[names == name].mean(axis=0) for name in np.unique(names)], axis=0)
    levels = np.asarray(thresholds, np.float64)
    return float(levels[macro == macro.max()].min())


def _at_least(exceeded: NDArray[np.intp], levels: int) -> NDArray[np.int64]:
    """How many pixels exceed threshold 0, 1, … of ``levels``, given how many thresholds each pixel exceeds."""
    histogram = np.bincount(exceeded, minlength=levels + 1)
    return np.cumsum(histogram[::-1])[::-1][1:]
