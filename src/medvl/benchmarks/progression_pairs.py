"""Pairs of films with what changed between them: which of them can be used, and their labels as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medvl.benchmarks.embedding import RadiographSource
from medvl.data.progression_samples import ProgressionPair
from medvl.metrics.progression import CLASSES
from medvl.runtime.errors import UserError, did_you_mean

MissingImages = Literal["error", "leave_out"]

UNLABELLED = -100  # what torch's cross-entropy leaves out


class NoProgressionPairs(UserError):
    """A part of the data, a fold or a finding has too few pairs; or patients of the test pairs are in training."""


class UnknownProgression(UserError):
    """A pair is labelled with something else than improving, stable or worsening."""


class MissingPairImage(UserError):
    """A film of a pair has no prepared image."""


@dataclass(frozen=True)
class PairSplits:
    """Pairs by what they are for.

    Attributes:
        train, validation: pairs with silver labels, for a protocol that learns from them; validation may be empty.
        test: the pairs of MS-CXR-T.
    """

    train: Sequence[ProgressionPair]
    validation: Sequence[ProgressionPair]
    test: Sequence[ProgressionPair]


def usable_pairs(
    images: RadiographSource, pairs: Sequence[ProgressionPair], findings: Sequence[str], part: str, missing: MissingImages
) -> list[ProgressionPair]:
    """The pairs that have a label among the findings, in order.

    Args:
        images: the prepared images.
        part: what errors call the pairs: training, validation or test.
        missing: what happens to a pair of which a film has no prepared image.

    Raises:
        NoProgressionPairs: if none is left.
        UnknownProgression: naming the pair, the finding and its label.
        MissingPairImage: naming the pair and the film.
    """
    for pair in pairs:
        for finding, label in pair.labels.items():
            if label not in CLASSES:
                where = f"the {part} pair of study {pair.study_id} labels {finding} {label!r}"
                raise UnknownProgression(f"{where}, not {', '.join(CLASSES)}{did_you_mean(label, CLASSES)}")
    labelled = [pair for pair in pairs if any(finding in pair.labels for finding in findings)]
    kept = [pair for pair in labelled if _has_images(images, pair, part, missing)]
    if not kept:
        what = f"{len(pairs)} {part} pairs were given, {len(labelled)} with a label of {', '.join(findings)}, {len(kept)} with both images"
        raise NoProgressionPairs(f"progression classification has no {part} pair: {what}")
    return kept


def check_disjoint(train: Sequence[ProgressionPair], test: Sequence[ProgressionPair]) -> None:
    """Check that no patient is both in training and in the test.

    Raises:
        NoProgressionPairs: naming how many are, and one.
    """
    shared = {pair.patient_id for pair in train} & {pair.patient_id for pair in test}
    if shared:
        raise NoProgressionPairs(
            f"{len(shared)} patients of the test pairs are in training (patient {min(shared)}); prepare with evaluation patients held out"
        )


def targets(pairs: Sequence[ProgressionPair], findings: Sequence[str]) -> NDArray[np.int64]:
    """(N, F) index of each class in ``CLASSES``, ``UNLABELLED`` where there is no label."""
    index = {name: number for number, name in enumerate(CLASSES)}
    rows = [[index[pair.labels[finding]] if finding in pair.labels else UNLABELLED for finding in findings] for pair in pairs]
    return np.asarray(rows, dtype=np.int64).reshape(len(pairs), len(findings))


def class_counts(pairs: Sequence[ProgressionPair], findings: Sequence[str]) -> dict[str, dict[str, int]]:
    """Finding → class → number of pairs."""
    counts = {finding: Counter(pair.labels[finding] for pair in pairs if finding in pair.labels) for finding in findings}
    return {finding: {name: counts[finding][name] for name in CLASSES} for finding in findings}


def label_sources(parts: Mapping[str, Sequence[ProgressionPair]]) -> dict[str, list[str]]:
    """Part → the datasets whose labels its pairs carry."""
    return {name: sorted({pair.dataset for pair in pairs}) for name, pairs in parts.items()}


def _has_images(images: RadiographSource, pair: ProgressionPair, part: str, missing: MissingImages) -> bool:
    for role, view_id in (("current", pair.view_id), ("previous", pair.previous_view_id)):
        try:
            images.image(view_id)
        except KeyError:
            if missing == "error":
                raise MissingPairImage(
                    f"the {role} film {view_id} of the {part} pair of study {pair.study_id} has no prepared image;"
                    " prepare it, or set missing_images=leave_out"
                ) from None
            return False
    return True
