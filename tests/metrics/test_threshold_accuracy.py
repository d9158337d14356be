"""Accuracy at a threshold chosen on other samples."""

import numpy as np
import pytest

from medvl.metrics.threshold_accuracy import best_threshold, group_folds, held_out_answers, linked_groups


def test_the_best_threshold_is_the_one_worked_by_hand():
    assert best_threshold([False, True, False, True], [0.1, 0.3, 0.4, 0.8]) == pytest.approx(0.2)  # 0.2 and 0.6: three of four each
    assert best_threshold([False, False, True], [0.0, 0.5, 1.0]) == 0.75


def test_where_nothing_can_be_told_the_commoner_answer_is_given_to_all():
    assert best_threshold([True, True, False], [0.5, 0.5, 0.5]) == -np.inf
    assert best_threshold([True, False, False], [0.5, 0.5, 0.5]) == np.inf


def test_each_fold_is_answered_by_the_threshold_of_the_others():
    positive, scores = np.array([False, True, True, False]), np.array([0.1, 0.9, 0.4, 0.6])

    found = held_out_answers(positive, scores, ["a", "b", "c", "d"], folds=4)

    # without .1: .9 and .4 against .6 → all positive (2 of 3), or above .75 (2 of 3); the middle of −∞ and .75, the lower: −∞ → wrong
    # without .9: .4 against .1 and .6 → .25 (2 of 3) or none (2 of 3) → .25 → right
    # without .4: .9 against .1 and .6 → .75 → .4 is called negative: wrong
    # without .6: .9 and .4 against .1 → .25 → .6 is called positive: wrong
    by_sample = found.thresholds[found.folds]
    assert by_sample.tolist() == pytest.approx([-np.inf, 0.25, 0.75, 0.25])
    assert found.correct.tolist() == [False, True, False, False]


def test_a_separable_set_is_answered_rightly_throughout():
    positive = np.arange(40) % 2 == 0

    found = held_out_answers(positive, np.where(positive, 0.9, 0.1), np.arange(40), folds=10)

    assert found.correct.all()
    assert np.bincount(found.folds).tolist() == [4] * 10


def test_a_group_stands_in_one_fold_and_folds_are_about_equal():
    groups = np.repeat(np.arange(30), np.arange(30) % 3 + 1)

    folds = group_folds(groups, folds=5, seed=1)

    assert all(len(set(folds[groups == group])) == 1 for group in range(30))
    assert np.ptp(np.bincount(folds)) <= 1


def test_folds_do_not_depend_on_the_order_of_the_samples_but_on_the_seed():
    groups = np.array([f"g{i % 17}" for i in range(50)])
    order = np.random.default_rng(0).permutation(50)

    assert (group_folds(groups[order], folds=5, seed=3) == group_folds(groups, folds=5, seed=3)[order]).all()
    assert (group_folds(groups, folds=5, seed=3) != group_folds(groups, folds=5, seed=4)).any()


def test_pairs_that_share_an_item_are_one_group_through_others_as_well():
    assert linked_groups([("a", "b"), ("c", "d"), ("d", "e"), ("b", "f")]) == ["a", "c", "c", "a"]
    assert linked_groups([("a", "b"), ("c", "d"), ("d", "b")]) == ["a", "a", "a"]


@pytest.mark.parametrize("folds", [1, 4])
def test_folds_without_a_group_are_an_error(folds):
    with pytest.raises(ValueError, match=f"3 groups of samples cannot make {folds} folds"):
        group_folds(["a", "b", "c"], folds=folds, seed=0)


@pytest.mark.parametrize(
    ("positive", "scores", "what"), [([], [], "at least 1"), ([True], [0.1, 0.2], "one shape"), ([True], [np.nan], "finite")]
)
def test_wrong_inputs_are_named(positive, scores, what):
    with pytest.raises(ValueError, match=what):
        best_threshold(positive, scores)
