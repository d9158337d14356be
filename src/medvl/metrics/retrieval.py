"""Retrieval: at which rank a query finds what belongs to it, recall at k and the median rank.

Candidates are ranked by similarity, the greatest first. A query may have several hits (reports of the same words); the best of them counts.

    rank = 1 + #(other candidates above the best hit) + ½ · #(other candidates level with it)

Ties count half, so that a model that gives everything one embedding ranks as by chance and not first. Recall at k is the share of queries
whose rank is at most k.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medvl.metrics.bootstrap import Statistic


def hit_ranks(similarity: NDArray[np.floating], hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The rank of each query's best hit.

    Example: similarities .9, .5, .5, .1 with the hit third: one candidate is above, one level: 1 + 1 + ½ = 2.5.

    Args:
        similarity: (Q, C) of queries and candidates.
        hits: (Q, C), which candidates belong to a query.

    Returns:
        (Q,) from 1.

    Raises:
        ValueError: if the shapes differ, or a query has no hit.
    """
    if similarity.shape != hits.shape or similarity.ndim != 2:
        raise ValueError(f"similarities and hits need one shape (Q, C), got {similarity.shape} and {hits.shape}")
    if not hits.any(axis=1).all():
        raise ValueError(f"{np.count_nonzero(~hits.any(axis=1))} of {len(hits)} queries have no candidate that belongs to them")
    best = np.where(hits, similarity, -np.inf).max(axis=1, keepdims=True)
    above, level = (similarity > best).sum(axis=1), ((similarity == best) & ~hits).sum(axis=1)
    return 1 + above + level / 2


def chance_recall(hits: ArrayLike, candidates: int, k: int) -> float:
    """Recall at k of a random order, averaged over queries: 1 − C(C − h, k) / C(C, k).

    Example: of 4 candidates 2 are hits; both of the first two miss with probability 2/4 · 1/3 = 1/6, so recall at 2 is 5/6.

    Args:
        hits: (Q,) h, how many candidates belong to each query.
        candidates: C.
        k: how many are looked at.
    """
    counts = np.asarray(hits, np.float64)
    drawn = np.arange(min(k, candidates))
    missed = np.clip((candidates - counts[:, None] - drawn) / (candidates - drawn), 0, None).prod(axis=1)
    return float((1 - missed).mean())


def median_of(values: ArrayLike) -> Statistic:
    """The median of per-sample values (N,) as a statistic of the bootstrap; between two middle values their mean."""
    ordered = np.sort(np.asarray(values, np.float64))
    order = np.argsort(np.asarray(values, np.float64), kind="stable")

    def median(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        passed = np.cumsum(weights[:, order], axis=1)
        half = passed[:, -1:] / 2
        low, high = (passed >= half).argmax(axis=1), (passed > half).argmax(axis=1)
        return np.where(half[:, 0] > 0, (ordered[low] + ordered[high]) / 2, np.nan)

    return median
