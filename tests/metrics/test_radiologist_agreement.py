"""Agreement with radiologists: tau-b as SciPy computes it, for whole bootstrap replicates at once."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from medvl.metrics.bootstrap import paired_difference, resample
from medvl.metrics.radiologist_agreement import RaterCount, errors_per_report, kendall_tau_b_of, radiologist_agreement
from medvl.runtime.errors import UserError

RATED = [  # invented: three studies, each with four candidate reports; errors of two raters, significant and not; a metric's value
    ("s1/a", (0, 0), (0, 1), 0.95),
    ("s1/b", (1, 1), (0, 0), 0.80),
    ("s1/c", (2, 3), (1, 0), 0.55),
    ("s1/d", (4, 3), (0, 2), 0.30),
    ("s2/a", (0, 1), (0, 0), 0.90),
    ("s2/b", (1, 0), (2, 1), 0.85),
    ("s2/c", (3, 3), (1, 1), 0.40),
    ("s2/d", (2, 2), (0, 0), 0.60),
    ("s3/a", (0, 0), (0, 0), 0.99),
    ("s3/b", (2, 1), (1, 1), 0.70),
    ("s3/c", (5, 4), (0, 1), 0.20),
    ("s3/d", (1, 2), (3, 2), 0.65),
]
EXAMPLES = [row[0] for row in RATED]
STUDIES = [example.partition("/")[0] for example in EXAMPLES]
METRIC = [row[3] for row in RATED]
COUNTS = [
    RaterCount(example, f"rater {rater}", "false finding", significant, errors)
    for example, significant_errors, other_errors, _ in RATED
    for significant, by_rater in ((True, significant_errors), (False, other_errors))
    for rater, errors in enumerate(by_rater)
]

small = st.integers(0, 4).map(float)


def test_errors_are_summed_over_categories_and_averaged_over_raters():
    assert errors_per_report(COUNTS, ["s1/c", "s1/a"]).tolist() == [3.0, 0.5]
    assert errors_per_report(COUNTS, ["s1/c", "s1/a"], significant=True).tolist() == [2.5, 0.0]


def test_an_example_that_nobody_rated_is_an_error():
    with pytest.raises(UserError, match="1 of 2 examples have no error counts, first 's9/a'"):
        errors_per_report(COUNTS, ["s1/a", "s9/a"])
    with pytest.raises(UserError, match="counts -1 errors"):
        errors_per_report([RaterCount("s1/a", "r", "c", True, -1)], ["s1/a"])


@given(st.lists(st.tuples(small, small, st.integers(0, 3)), min_size=2, max_size=12))
def test_tau_b_under_counts_is_scipys_on_the_repeated_samples(rows):
    x, y, counts = (np.array(column) for column in zip(*rows, strict=True))

    ours = kendall_tau_b_of(x, y)(counts[None].astype(float))[0]

    repeated = np.repeat(x, counts), np.repeat(y, counts)
    expected = kendalltau(*repeated).statistic if all(len(set(v)) > 1 for v in repeated) else math.nan
    assert ours == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_a_metric_that_falls_with_errors_agrees_with_radiologists():
    errors = errors_per_report(COUNTS, EXAMPLES, significant=True)

    agreement = radiologist_agreement(METRIC, errors, STUDIES, replicates=300)
    inverted = radiologist_agreement(np.negative(METRIC), errors, STUDIES, lower_is_better=True, replicates=300)

    assert agreement.value == pytest.approx(-kendalltau(METRIC, errors).statistic, abs=1e-12)
    assert agreement.value > 0.8
    assert agreement.ci_low <= agreement.value <= agreement.ci_high
    assert agreement == inverted


def test_an_undefined_value_of_the_metric_is_left_out():
    errors = errors_per_report(COUNTS, EXAMPLES)

    agreement = radiologist_agreement([math.nan, *METRIC[1:]], errors, STUDIES, replicates=20)

    assert agreement.value == pytest.approx(-kendalltau(METRIC[1:], errors[1:]).statistic, abs=1e-12)
    assert agreement.n == 11


def test_two_metrics_are_compared_by_the_paired_difference_of_their_taus():
    errors = -errors_per_report(COUNTS, EXAMPLES, significant=True)
    noise = np.random.default_rng(0).permutation(METRIC)

    difference = paired_difference(kendall_tau_b_of(METRIC, errors), kendall_tau_b_of(noise, errors), resample(EXAMPLES, replicates=300))

    assert difference.ci_low > 0


def test_rankings_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="two rankings of one shape"):
        kendall_tau_b_of([1.0], [1.0, 2.0])
