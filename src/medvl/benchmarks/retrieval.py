"""Retrieval both ways: which report belongs to this radiograph, and which radiograph to this report, among all of a test set.

The pool holds one frontal radiograph and one report per study. With embeddings of unit length and the similarity v·t, image → text ranks
the reports for each radiograph and text → image the radiographs for each report; recall at 1, 5 and 10 and the median rank, with intervals
over patients. A replicate draws queries and keeps the pool.

Two things decide such a figure, so both have names. Many normal reports are word for word the same: ``hits="same_text"`` counts any report
of the same words as found, ``same_study`` only the study's own. Papers rank within the whole test set, or within pools of a fixed size:
``pool_size`` cuts the studies, shuffled by the seed, into such pools and leaves the rest out. Recall of a random order stands beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from medvl.benchmarks.embedding import ImageTextEncoder, RadiographSource, embedded_batches, prior_views, text_embeddings
from medvl.benchmarks.findings_task import identifiers
from medvl.benchmarks.results import Evaluation, figure
from medvl.data.report_text import join_sections
from medvl.data.transforms import Fit
from medvl.metrics.bootstrap import mean_of, resample
from medvl.metrics.retrieval import chance_recall, hit_ranks, median_of
from medvl.records import Study
from medvl.runtime.errors import UserError
from medvl.runtime.privacy import strictest

Direction = Literal["image_to_text", "text_to_image"]
DIRECTIONS: tuple[Direction, ...] = ("image_to_text", "text_to_image")
QUERIES_AT_ONCE = 1024


class NothingToMatch(UserError):
    """Too few studies have both a report and a prepared frontal image, or the protocol asks for no rank."""


@dataclass(frozen=True)
class Retrieval:
    """The protocol; ``evaluate`` runs it.

    Attributes:
        crop, short_side, fit: how an image becomes the model's input; see ``image_batches``.
        sections: of the report, joined in this order; studies that have none of them are left out and counted.
        hits: ``same_text`` counts every report of the same words, ``same_study`` the study's own.
        pool_size: studies in a pool; ``None`` for the whole test set in one.
        ranks: the k of recall at k.
        truncate: cut reports that are too long for the model; they are an error otherwise.
        use_prior: show the model the film before, where the prepared dataset names one.
        batch_size: images encoded at once.
        replicates, seed: of the bootstrap over patients; the seed is that of the pools as well.
    """

    crop: int
    sections: Sequence[str] = ("impression",)
    hits: Literal["same_text", "same_study"] = "same_text"
    pool_size: int | None = None
    ranks: Sequence[int] = (1, 5, 10)
    truncate: bool = True
    use_prior: bool = False
    short_side: int | None = None
    fit: Fit = "crop"
    batch_size: int = 32
    replicates: int = 1000
    seed: int = 0
    name: Literal["retrieval"] = field(default="retrieval", init=False)

    def __post_init__(self) -> None:
        if not self.ranks or min(self.ranks) < 1:
            raise NothingToMatch(f"ranks holds the k of recall at k, whole numbers from 1; got {list(self.ranks)}")
        if self.pool_size is not None and self.pool_size < 2:
            raise NothingToMatch(f"a pool holds at least two studies, got pool_size={self.pool_size}; null takes the whole test set")

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
            studies: already of one split; those without text or a prepared frontal view are left out.
            untrained: the same architecture before training.

        Raises:
            NothingToMatch: if fewer studies are left than make a pool.
            NoPriors: with ``use_prior``, if ``images`` does not know which film came before another.
        """
        given = list(studies)
        models = {"trained": model} | ({"untrained": untrained} if untrained is not None else {})
        texts = {view.view_id: text for s in given if (view := s.frontal()) is not None and (text := self._text(s))}
        by_view = {view.view_id: s for s in given if (view := s.frontal()) is not None and view.view_id in texts}
        embedded = {role: self._embedded(candidate, images, by_view, texts) for role, candidate in models.items()}
        shown = list(embedded["trained"][0])
        everyone = self._pools([by_view[view].study_id for view in shown])
        rows = np.flatnonzero(everyone >= 0)
        pools, kept = everyone[rows], [by_view[shown[row]] for row in rows]
        words = _numbered([texts[shown[row]] for row in rows])
        ranks = {role: self._ranks(found[1][rows], found[2][rows], words, pools) for role, found in embedded.items()}
        return Evaluation(
            benchmark=self.name,
            metrics=self._figures(ranks, [study.patient_id for study in kept]),
            per_finding={},
            protocol=self._protocol(given, kept, words, pools),
            tables={"retrieval": _table(kept, words, pools, ranks)},
            privacy=strictest(study.privacy for study in kept),
        )

    def _embedded(
        self, model: ImageTextEncoder, images: RadiographSource, by_view: Mapping[str, Study], texts: Mapping[str, str]
    ) -> tuple[list[str], torch.Tensor, torch.Tensor]:
        """The views at hand, and their images and texts, both (N, D)."""
        priors = prior_views(images, {view: s.study_id for view, s in by_view.items()}) if self.use_prior else None
        options = (self.crop, self.short_side, self.fit, self.batch_size)
        ids: list[str] = []
        parts: list[torch.Tensor] = []
        for batch in embedded_batches(model, images, list(by_view), *options, priors=priors):
            ids += batch.view_ids
            parts.append(batch.whole)
        if not ids:
            raise NothingToMatch(f"none of {len(by_view)} studies with {' or '.join(self.sections)} has a prepared frontal image")
        by_text = text_embeddings(model, [texts[view] for view in ids], truncate=self.truncate)
        return ids, torch.cat(parts), torch.stack([by_text[texts[view]] for view in ids])

    def _pools(self, study_ids: Sequence[str]) -> NDArray[np.int64]:
        """(N,) the pool of each study, −1 for the rest that fills none; the same seed and studies give the same pools."""
        count = len(study_ids)
        size = self.pool_size or count
        if count < max(size, 2):
            raise NothingToMatch(f"{count} studies have a report and a prepared frontal image, fewer than a pool of {max(size, 2)}")
        place = np.empty(count, np.int64)
        place[np.argsort(np.asarray(study_ids))[np.random.default_rng(self.seed).permutation(count)]] = np.arange(count)
        return np.where(place < count // size * size, place // size, -1)

    def _ranks(
        self, images: torch.Tensor, texts: torch.Tensor, words: NDArray[np.int64], pools: NDArray[np.int64]
    ) -> dict[Direction, NDArray[np.float64]]:
        """The rank (N,) of each query within its pool, both ways, from embeddings (N, D)."""
        asked: dict[Direction, tuple[torch.Tensor, torch.Tensor]] = {
            "image_to_text": (images, texts),
            "text_to_image": (texts, images),
        }
        belongs = words if self.hits == "same_text" else np.arange(len(words))
        ranks = {direction: np.empty(len(words)) for direction in DIRECTIONS}
        for pool in range(pools.max() + 1):
            rows = np.flatnonzero(pools == pool)
            for direction, (queries, candidates) in asked.items():
                for part in np.array_split(rows, -(-len(rows) // QUERIES_AT_ONCE)):
                    similarity = (queries[part] @ candidates[rows].T).numpy()
                    ranks[direction][part] = hit_ranks(similarity, belongs[part][:, None] == belongs[rows][None])
        return ranks

    def _figures(self, ranks: Mapping[str, Mapping[Direction, NDArray[np.float64]]], patients: Sequence[str]) -> dict[str, dict[str, Any]]:
        weights = resample(patients, replicates=self.replicates, seed=self.seed)
        figures = {}
        for direction in DIRECTIONS:
            for k in self.ranks:
                recalls = {role: mean_of(found[direction] <= k) for role, found in ranks.items()}
                figures[f"retrieval_{direction}_recall_at_{k}"] = figure(recalls, weights, n=len(patients))
            medians = {role: median_of(found[direction]) for role, found in ranks.items()}
            figures[f"retrieval_{direction}_median_rank"] = figure(medians, weights, n=len(patients))
        return figures

    def _text(self, study: Study) -> str:
        return (join_sections(study.report.sections, self.sections) if study.report else None) or ""

    def _protocol(
        self, given: Sequence[Study], kept: Sequence[Study], words: NDArray[np.int64], pools: NDArray[np.int64]
    ) -> dict[str, Any]:
        size = self.pool_size or len(kept)
        counts = np.ones(len(kept)) if self.hits == "same_study" else _same_in_pool(words, pools)
        return {
            **asdict(self),
            "splits": sorted({study.split or "unnamed" for study in kept}),
            "studies": len(kept),
            "studies_left_out": len(given) - len(kept),
            "pools": int(pools.max()) + 1,
            "candidates": size,
            "distinct_texts": len(np.unique(words)),
            "chance": {f"recall_at_{k}": chance_recall(counts, size, k) for k in self.ranks},
            "intervals": "queries drawn by patient, pools fixed",
        }


def _numbered(texts: Sequence[str]) -> NDArray[np.int64]:
    """A number for each text, equal for equal words."""
    number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return np.array([number[text] for text in texts], np.int64)


def _same_in_pool(words: NDArray[np.int64], pools: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) how many studies of its pool say what a study says, itself included."""
    _, place, counts = np.unique(pools * (words.max() + 1) + words, return_inverse=True, return_counts=True)
    return counts[place]


def _table(
    studies: Sequence[Study],
    words: NDArray[np.int64],
    pools: NDArray[np.int64],
    ranks: Mapping[str, Mapping[Direction, NDArray[np.float64]]],
) -> pd.DataFrame:
    """One row per model and study: its pool, how many in it say the same, and both ranks."""
    rows = identifiers(studies).assign(pool=pools, same_text=_same_in_pool(words, pools))
    named = {role: {f"{direction}_rank": found[direction] for direction in DIRECTIONS} for role, found in ranks.items()}
    return pd.concat([rows.assign(**columns, model=role) for role, columns in named.items()], ignore_index=True)
