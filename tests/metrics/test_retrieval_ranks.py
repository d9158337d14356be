import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvl.metrics.bootstrap import resample
from medvl.metrics.retrieval import chance_recall, hit_ranks, median_of


def test_the_worked_example_of_a_rank():
    assert hit_ranks(np.array([[0.9, 0.5, 0.5, 0.1]]), np.array([[False, False, True, False]])) == [2.5]


def test_the_best_of_several_hits_counts_and_hits_do_not_tie_with_each_other():
    similarity = np.array([[0.9, 0.5, 0.5, 0.1], [0.9, 0.5, 0.5, 0.9]])
    hits = np.array([[False, True, True, True], [True, False, False, True]])

    assert hit_ranks(similarity, hits).tolist() == [2, 1]


def test_one_embedding_for_everything_ranks_as_by_chance():
    ranks = hit_ranks(np.zeros((5, 5)), np.eye(5, dtype=bool))

    assert ranks.tolist() == [3] * 5  # the middle of 1 … 5


def test_a_query_without_a_hit_is_refused():
    with pytest.raises(ValueError, match="1 of 2 queries"):
        hit_ranks(np.zeros((2, 2)), np.array([[True, False], [False, False]]))
    with pytest.raises(ValueError, match="one shape"):
        hit_ranks(np.zeros((2, 2)), np.ones((2, 3), bool))


def test_the_worked_example_of_chance():
    assert chance_recall([2], 4, 2) == pytest.approx(5 / 6)


@given(st.integers(1, 6), st.integers(6, 12), st.integers(1, 14))
def test_chance_is_the_share_of_draws_that_hold_a_hit(hits, candidates, k):
    expected = 1 - math.comb(candidates - hits, min(k, candidates)) / math.comb(candidates, min(k, candidates))

    assert chance_recall([hits], candidates, k) == pytest.approx(expected)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=15))
def test_the_median_of_a_replicate_is_that_of_samples_repeated(values):
    weights = resample([str(i) for i in range(len(values))], replicates=5)

    medians = median_of(values)(weights.astype(float))

    assert medians == pytest.approx([np.median(np.repeat(values, row)) for row in weights])
