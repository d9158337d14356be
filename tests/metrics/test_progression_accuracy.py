import numpy as np
import pytest

from medvl.metrics.bootstrap import estimate, paired_difference, resample
from medvl.metrics.progression import flipped, flipped_share_of, macro_accuracy, macro_accuracy_of

TRUTH = ["improving", "improving", "stable", "worsening"]
TOLD = ["improving", "stable", "stable", "improving"]


def test_macro_accuracy_is_the_mean_recall_of_the_classes():
    assert macro_accuracy(TRUTH, TOLD) == pytest.approx((1 / 2 + 1 + 0) / 3)


def test_always_saying_the_commonest_class_gives_a_third():
    assert macro_accuracy(["stable"] * 98 + ["improving", "worsening"], ["stable"] * 100) == pytest.approx(1 / 3)


def test_it_is_undefined_where_a_class_is_absent():
    assert np.isnan(macro_accuracy(["stable", "improving"], ["stable", "improving"]))


def test_a_replicate_that_lacks_a_class_is_undefined_and_counted():
    statistic = macro_accuracy_of(TRUTH, TOLD)
    counts = np.array([[1, 1, 1, 1], [2, 0, 1, 1], [2, 2, 0, 0]])

    values = statistic(counts.astype(float))
    found = estimate(statistic, counts.astype(np.uint16))

    assert values[:2] == pytest.approx([0.5, 2 / 3])
    assert np.isnan(values[2])
    assert found.undefined_replicates == 1


def test_seeds_count_as_the_mean_of_their_figures_and_not_as_a_vote():
    seeds = [TRUTH, TOLD, TOLD]

    assert macro_accuracy(TRUTH, seeds) == pytest.approx(np.mean([macro_accuracy(TRUTH, told) for told in seeds]))


def test_two_models_are_compared_over_the_same_patients():
    truth, patients = TRUTH * 20, [f"p{i // 4}" for i in range(80)]
    good, bad = macro_accuracy_of(truth, truth), macro_accuracy_of(truth, TOLD * 20)

    difference = paired_difference(good, bad, resample(patients, replicates=50))

    assert (difference.value, difference.ci_low, difference.ci_high) == pytest.approx((0.5, 0.5, 0.5))


def test_exchanging_the_films_reverses_the_class():
    assert flipped(TRUTH).tolist() == ["worsening", "worsening", "stable", "improving"]


def test_the_flipped_share_is_over_the_changes_that_were_seen():
    share = flipped_share_of(["improving", "worsening", "stable"], ["worsening", "worsening", "improving"])

    assert share(np.array([[1.0, 1, 1], [3, 1, 0], [0, 0, 1]])) == pytest.approx([1 / 2, 3 / 4, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("truth", "told", "complaint"),
    [
        (["better"], ["stable"], "truth holds 'better'"),
        (["stable"], ["better"], "predicted holds 'better'"),
        (["stable"], ["stable", "stable"], "shape"),
    ],
)
def test_wrong_input_is_named(truth, told, complaint):
    with pytest.raises(ValueError, match=complaint):
        macro_accuracy(truth, told)


def test_an_unknown_class_cannot_be_reversed():
    with pytest.raises(ValueError, match="'new'"):
        flipped(["new"])
