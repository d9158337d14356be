import math

import numpy as np
import pytest

from medvl.metrics.bootstrap import estimate, macro_of, mean_of, paired_difference, resample


def test_all_samples_of_a_patient_occur_together():
    weights = resample(["b", "a", "b", "c"], replicates=200)

    assert (weights[:, 0] == weights[:, 2]).all()
    assert not (weights[:, 0] == weights[:, 1]).all()


def test_each_replicate_draws_as_many_patients_as_there_are():
    weights = resample(["a", "b", "c", "d"], replicates=50)

    assert (weights.sum(axis=1) == 4).all()


def test_counts_follow_seed_and_patient_and_not_the_order_of_samples():
    patients = np.array(["a", "b", "c", "a"])
    order = [3, 1, 0, 2]

    assert (resample(patients[order], seed=7) == resample(patients, seed=7)[:, order]).all()
    assert not (resample(patients, seed=7) == resample(patients, seed=8)).all()


def test_no_samples_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        resample([])


def test_the_interval_of_a_mean_is_that_of_the_normal_approximation():
    values = np.random.default_rng(0).normal(size=400)
    half_width = 1.96 * values.std() / math.sqrt(400)

    found = estimate(mean_of(values), resample([str(i) for i in range(400)], replicates=4000))

    assert found.value == pytest.approx(values.mean())
    assert found.ci_low == pytest.approx(values.mean() - half_width, abs=0.15 * half_width)
    assert found.ci_high == pytest.approx(values.mean() + half_width, abs=0.15 * half_width)
    assert found.n == 400


def test_clustering_widens_the_interval_of_correlated_samples():
    patient_effect = np.random.default_rng(0).normal(size=50).repeat(4)
    by_patient = estimate(mean_of(patient_effect), resample(np.arange(50).repeat(4).astype(str)))
    by_sample = estimate(mean_of(patient_effect), resample(np.arange(200).astype(str)))

    assert by_patient.ci_high - by_patient.ci_low > 1.5 * (by_sample.ci_high - by_sample.ci_low)


def test_samples_without_a_value_do_not_count():
    found = estimate(mean_of([1.0, math.nan, 3.0]), resample(["a", "b", "c"]))

    assert found.value == 2.0
    assert found.n == 2


def test_a_figure_made_of_others_is_over_the_samples_of_any_of_them():
    first, second, weights = mean_of([1.0, math.nan, math.nan]), mean_of([math.nan, 2.0, math.nan]), resample(["a", "b", "c"])

    assert estimate(macro_of([first, second]), weights).n == 2
    assert paired_difference(first, second, weights).n == 2
    assert estimate(macro_of([first, lambda rows: rows.sum(axis=1)]), weights).n == 3
    assert estimate(first, weights, n=7).n == 7


def test_replicates_where_the_statistic_is_undefined_are_left_out_and_counted():
    weights = resample(["a", "b"], replicates=1000)
    without_a = int((weights[:, 0] == 0).sum())

    found = estimate(mean_of([5.0, math.nan]), weights)

    assert (found.value, found.ci_low, found.ci_high) == (5.0, 5.0, 5.0)
    assert found.undefined_replicates == without_a > 0


def test_a_statistic_undefined_everywhere_is_none():
    found = estimate(mean_of([math.nan]), resample(["a"], replicates=10))

    assert (found.value, found.ci_low, found.ci_high, found.undefined_replicates) == (None, None, None, 10)


def test_a_macro_mean_weighs_findings_and_not_samples():
    rare, common = mean_of([1.0, math.nan, math.nan]), mean_of([math.nan, 0.0, 0.0])

    found = estimate(macro_of([rare, common]), resample(["a", "b", "c"]))

    assert found.value == 0.5


def test_a_paired_difference_is_narrower_than_its_parts():
    first = np.random.default_rng(0).normal(size=100)
    weights = resample([str(i) for i in range(100)])

    alone = estimate(mean_of(first), weights)
    difference = paired_difference(mean_of(first), mean_of(first - 0.1), weights)

    assert difference.value == pytest.approx(0.1)
    assert difference.ci_high - difference.ci_low < 1e-9 < alone.ci_high - alone.ci_low
