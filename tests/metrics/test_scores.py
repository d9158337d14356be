"""Scores: columns in, statistics out, and back from the columns of a file."""

import numpy as np
import pytest

from medvl.metrics.bootstrap import estimate, resample
from medvl.metrics.scores import f1_of, ratio_of, scores, statistics_from
from medvl.metrics.text import bleu, cider, meteor, rouge_l
from medvl.runtime.errors import UserError

PREDICTIONS = ["no effusion", "small left effusion", "clear lungs", "large heart"]
REFERENCES = ["no pleural effusion", "small right effusion", "lungs clear", "the heart is large"]


def test_the_mean_leaves_out_undefined_samples():
    result = scores("m", {"a": [1.0, np.nan, 0.0]}, {"version": 1})

    assert result.corpus == {"a": 0.5}
    assert len(result) == 3


def test_the_signature_names_every_option():
    assert scores("m", {"a": [1.0]}, {"version": 1, "tokenizer": "13a"}).signature == "m|tokenizer:13a|version:1"


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="differ in length"):
        scores("m", {"a": [1.0], "b": [1.0, 2.0]}, {})


def test_a_resample_counts_a_sample_as_often_as_its_weight():
    weights = np.array([[2.0, 0.0, 1.0]])

    assert ratio_of([1, 5, 0], [1, 5, 2])(weights) == pytest.approx([2 / 4])
    assert f1_of([1, 1, 0], [0, 9, 0], [0, 0, 1])(weights) == pytest.approx([4 / 5])


def test_a_figure_counts_only_the_samples_that_it_is_over():
    weights = resample(["a", "b", "c", "d"], replicates=20)
    made = scores("m", {"a": [1.0, np.nan, 0.0, np.nan]}, {"version": 1})

    assert estimate(made.statistics["a"], weights).n == 2
    assert estimate(ratio_of([1, 0, 0, 0], [2, 1, 0, 3]), weights).n == 3
    assert estimate(f1_of([1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]), weights).n == 2
    assert estimate(bleu(PREDICTIONS, REFERENCES).statistics["bleu_1"], weights).n == 4


def test_a_ratio_without_a_denominator_is_undefined():
    assert np.isnan(ratio_of([0, 1], [0, 1])(np.array([[1.0, 0.0]])))[0]


@pytest.mark.parametrize("metric", [bleu, rouge_l, cider, meteor])
def test_statistics_are_rebuilt_from_the_columns_of_a_file(metric):
    made = metric(PREDICTIONS, REFERENCES)
    columns = dict(made.per_sample) if made.aggregate.endswith(".means") else {**made.per_sample, **made.counts}

    rebuilt = statistics_from(made.aggregate, columns, made.protocol)

    weights = resample(["a", "a", "b", "c"], replicates=20)
    for name, statistic in made.statistics.items():
        assert estimate(rebuilt[name], weights) == estimate(statistic, weights)


def test_bleu_of_a_resample_is_bleu_of_the_drawn_reports():
    drawn = [0, 1, 1, 3]
    weights = np.bincount(drawn, minlength=4)[None].astype(float)

    resampled = bleu(PREDICTIONS, REFERENCES).statistics["bleu_2"](weights)

    of_drawn = bleu([PREDICTIONS[i] for i in drawn], [REFERENCES[i] for i in drawn])
    assert resampled == pytest.approx([of_drawn.corpus["bleu_2"]], abs=1e-12)


def test_a_file_cannot_name_a_function_of_another_room():
    with pytest.raises(UserError, match="no aggregate"):
        statistics_from("os.path.join", {}, {})


@pytest.mark.parametrize("metric", [bleu, rouge_l, cider, meteor])
def test_lists_of_different_length_and_single_strings_are_refused(metric):
    with pytest.raises(ValueError, match="as many"):
        metric(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="single string"):
        metric("a", "a")
    with pytest.raises(ValueError, match="at least one"):
        metric([], [])
