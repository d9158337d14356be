"""Two systems on the same samples: paired intervals, exchanges that respect patients and corpus statistics, corrected p-values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_judges import ScriptedJudge, overlap

from medvl.metrics.bootstrap import mean_of
from medvl.metrics.comparison import Incomparable, compare, draw_exchanges, holm, matching_order, mcnemar, permutation_p
from medvl.metrics.radfact import RadFactMetric
from medvl.metrics.scores import ratio_of, scores


def accuracy(values, **protocol):
    return {"accuracy": scores("accuracy", {"correct": values}, {"version": 1} | protocol)}


def patients(count):
    return [f"p{number}" for number in range(count)]


def test_the_p_value_is_that_of_all_sign_flips():
    first, second = [3.0, 5.0, 2.0, 4.0], [1.0, 4.0, 3.0, 0.0]
    signs = np.array(np.meshgrid(*[[1, -1]] * 4)).reshape(4, -1)
    differences = np.subtract(first, second)
    exact = np.mean(np.abs(differences @ signs) >= abs(differences.sum()))

    p_value, undefined = permutation_p(mean_of([*first, *second]), draw_exchanges(patients(4), replicates=20_000))

    assert p_value == pytest.approx(exact, abs=0.01)
    assert undefined == 0


def test_the_smallest_p_value_is_one_in_all_replicates_and_one():
    p_value, _ = permutation_p(mean_of([1.0] * 30 + [0.0] * 30), draw_exchanges(patients(30), replicates=99))

    assert p_value == 1 / 100


def test_equal_systems_have_a_p_value_of_one():
    comparison = compare(accuracy([1, 0, 1]), accuracy([1, 0, 1]), patients(3), permutations=50)[0]

    assert (comparison.p_value, comparison.difference.value) == (1, 0)


def test_samples_of_one_patient_are_exchanged_together():
    swapped = draw_exchanges(["a", "b", "a"], replicates=50)

    assert (swapped[:, 0] == swapped[:, 2]).all()
    assert (swapped[:, 0] != swapped[:, 1]).any()
    assert (draw_exchanges(["b", "a", "a"], replicates=50)[:, ::-1] == draw_exchanges(["a", "a", "b"], replicates=50)).all()


def test_a_corpus_ratio_is_exchanged_as_counts_not_as_a_mean():
    # The one long report carries the corpus value whatever the two short ones do; a mean over reports would follow them.
    first, second, lengths = [70, 0, 0], [30, 1, 1], [100, 1, 1]
    exchanges = draw_exchanges(patients(3), replicates=4000)

    of_ratio, _ = permutation_p(ratio_of(first + second, lengths * 2), exchanges)
    of_mean, _ = permutation_p(mean_of(np.divide(first + second, lengths * 2)), exchanges)

    assert of_ratio == 1
    assert of_mean == pytest.approx(1 / 2, abs=0.03)


def test_exchanges_without_a_defined_difference_are_left_out_and_counted():
    nan = float("nan")

    # Exchanging one of the two samples leaves one system without any value.
    p_value, undefined = permutation_p(mean_of([1, nan, nan, 0]), draw_exchanges(patients(2), replicates=400))

    assert p_value == 1
    assert 150 < undefined < 250


def test_an_undefined_difference_has_no_p_value():
    assert permutation_p(mean_of([float("nan"), 1]), draw_exchanges(["p"], replicates=10)) == (None, 0)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(p_values):
    adjusted = holm(p_values)

    pairs = sorted((p, q) for p, q in zip(p_values, adjusted, strict=True) if p is not None)
    assert [q is None for q in adjusted] == [p is None for p in p_values]
    assert all(p <= q <= 1 for p, q in pairs)
    assert [q for _, q in pairs] == sorted(q for _, q in pairs)


def test_holm_multiplies_the_smallest_by_the_number_of_tests():
    assert holm([0.01, None, 0.04, 0.03]) == [0.03, None, 0.06, 0.06]


def test_mcnemar_is_the_exact_binomial_test():
    first, second = [True] + [False] * 5 + [True, False], [False] + [True] * 5 + [True, False]

    assert mcnemar(first, second) == (1, 5, pytest.approx(2 * (1 + 6) / 2**6))
    assert mcnemar(second, first) == (5, 1, pytest.approx(2 * (1 + 6) / 2**6))
    assert mcnemar([True, False], [True, False]) == (0, 0, 1)


def test_mcnemar_needs_the_same_questions():
    with pytest.raises(ValueError, match="same questions"):
        mcnemar([True], [True, False])


def test_a_better_system_is_found_better_and_its_interval_is_paired():
    rng = np.random.default_rng(0)
    difficulty = rng.normal(size=120)
    worse, better = difficulty, difficulty + 0.1 + 0.01 * rng.normal(size=120)

    (comparison,) = compare(accuracy(better), accuracy(worse), patients(120), replicates=200, permutations=200)

    assert comparison.difference.ci_low > 0
    assert comparison.first.ci_low < comparison.second.ci_high  # apart, the intervals overlap
    assert comparison.p_value == comparison.p_adjusted == 1 / 201
    assert (comparison.metric, comparison.statistic) == ("accuracy", "correct")


def test_every_statistic_of_radfact_is_compared_and_corrected():
    references = {str(number): ["No effusion.", "Heart size normal."] for number in range(12)}
    systems = []
    for candidate in (["No effusion.", "Heart size normal."], ["No effusion.", "Acute fracture."]):
        metric = RadFactMetric(ScriptedJudge(overlap))
        metric.compute_metric_score(dict.fromkeys(references, candidate), references)
        systems.append({"radfact": metric.scores()})

    found = compare(
        *systems, patients(12), replicates=100, permutations=500, statistics=["radfact/logical_f1", "micro/logical_recall", "spatial_f1"]
    )

    by_name = {comparison.statistic: comparison for comparison in found}
    assert by_name["logical_f1"].difference.value == pytest.approx(0.5)
    assert by_name["logical_f1"].p_value < 0.01
    assert by_name["logical_f1"].p_adjusted == pytest.approx(2 * by_name["micro/logical_recall"].p_value, rel=0.5)
    assert by_name["spatial_f1"].p_value is None
    assert by_name["spatial_f1"].difference.value is None


def test_systems_scored_by_different_rules_are_not_compared():
    with pytest.raises(Incomparable, match="accuracy was not computed alike in the two runs: judge differs"):
        compare(accuracy([1.0]), accuracy([1.0], judge="rules"), ["p"])
    with pytest.raises(Incomparable, match="has 1 and 2 samples where 1 are compared"):
        compare(accuracy([1.0]), accuracy([1.0, 0.0]), ["p"])


def test_a_statistic_that_the_runs_do_not_share_is_an_error():
    with pytest.raises(Incomparable, match="share no statistic 'corect' — did you mean 'correct'"):
        compare(accuracy([1.0]), accuracy([1.0]), ["p"], statistics=["corect"])


def test_examples_are_matched_by_identifier():
    assert matching_order(["a", "b"], ["b", "a"]) == [1, 0]
    with pytest.raises(Incomparable, match=r"2 examples are in one of the two runs only, e\.g\. 'a'"):
        matching_order(["a", "b"], ["b", "c"])
    with pytest.raises(Incomparable, match="'a' comes twice"):
        matching_order(["a", "a"], ["a", "b"])
