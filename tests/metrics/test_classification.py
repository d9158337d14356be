import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from medvl.metrics.bootstrap import resample
from medvl.metrics.classification import accuracy_of, auroc, auroc_of, average_precision, average_precision_of, f1_of

SAMPLES = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30).filter(
    lambda rows: len({truth for truth, _ in rows}) == 2
)


def test_the_worked_example_of_auroc():
    assert auroc([True, True, False, False], [1, 2, 0, 1]) == 0.875


def test_the_worked_example_of_average_precision():
    assert average_precision([True, False, True], [3, 2, 1]) == pytest.approx(5 / 6)


@given(SAMPLES)
def test_areas_equal_scikit_learn_with_ties(rows):
    truth, scores = zip(*rows, strict=True)

    assert auroc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))
    assert average_precision(truth, scores) == pytest.approx(average_precision_score(truth, scores))


@given(SAMPLES)
def test_a_replicate_equals_scikit_learn_with_samples_repeated(rows):
    truth, scores = (np.array(column) for column in zip(*rows, strict=True))
    weights = resample([str(i) for i in range(len(rows))], replicates=5)

    found = auroc_of(truth, scores)(weights.astype(float)), average_precision_of(truth, scores)(weights.astype(float))

    for row, area, precision in zip(weights, *found, strict=True):
        drawn_truth, drawn_scores = np.repeat(truth, row), np.repeat(scores, row)
        if drawn_truth.all() or not drawn_truth.any():
            assert math.isnan(area)
            assert math.isnan(precision)
        else:
            assert area == pytest.approx(roc_auc_score(drawn_truth, drawn_scores))
            assert precision == pytest.approx(average_precision_score(drawn_truth, drawn_scores))


@pytest.mark.parametrize("truth", [[], [True], [False, False]])
def test_one_class_alone_has_no_area(truth):
    assert math.isnan(auroc(truth, [0.5] * len(truth)))
    assert math.isnan(average_precision(truth, [0.5] * len(truth)))


def test_scores_must_be_finite():
    with pytest.raises(ValueError, match="1 of 2 scores are not finite"):
        auroc([True, False], [math.nan, 1.0])


def test_truth_and_scores_must_pair():
    with pytest.raises(ValueError, match="one shape"):
        auroc([True, False], [1.0])


def test_the_worked_example_of_f1():
    assert f1_of([True, True, False], [True, False, True])(np.ones((1, 3))) == [0.5]


@settings(max_examples=20)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=20))
def test_accuracy_and_f1_of_a_replicate_equal_scikit_learn_with_samples_repeated(rows):
    truth, decided = (np.array(column) for column in zip(*rows, strict=True))
    weights = resample([str(i) for i in range(len(rows))], replicates=4)

    found = accuracy_of(truth, decided)(weights.astype(float)), f1_of(truth, decided)(weights.astype(float))

    for counts, accuracy, f1 in zip(weights, *found, strict=True):
        drawn = np.repeat(truth, counts), np.repeat(decided, counts)
        assert accuracy == pytest.approx(accuracy_score(*drawn))
        if drawn[0].any() or drawn[1].any():
            assert f1 == pytest.approx(f1_score(*drawn))
        else:
            assert math.isnan(f1)


def test_truth_and_decisions_must_pair():
    with pytest.raises(ValueError, match="one shape"):
        f1_of([True, False], [True])
