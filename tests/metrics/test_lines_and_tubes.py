"""Lines and tubes after MAIRA-X, our definition: matching, and what each figure counts."""

import numpy as np
import pytest

from medvl.metrics.bootstrap import resample
from medvl.metrics.lines_and_tubes import Device, device_scores, lines_and_tubes, match

ETT = Device("endotracheal_tube", change="unchanged", placement="satisfactory")
PICC = Device("picc", side="right", change="new")
PORT = Device("port", side="left")


def test_the_case_of_the_docstring():
    corpus = device_scores([[ETT, PORT]], [[ETT, PICC]]).corpus

    assert corpus["type_f1"] == corpus["joint_f1"] == 1 / 2
    assert corpus["type_macro_f1"] == pytest.approx(1 / 3)
    assert corpus["change_accuracy"] == 1
    assert corpus["hallucination_rate"] == corpus["omission_rate"] == 1 / 2


def test_a_wrong_change_costs_change_and_joint_but_not_type():
    moved = Device("endotracheal_tube", change="advanced", placement="satisfactory")

    corpus = device_scores([[moved]], [[ETT]]).corpus

    assert corpus["type_f1"] == corpus["placement_accuracy"] == corpus["placement_macro_f1"] == 1
    assert corpus["change_accuracy"] == corpus["change_macro_f1"] == corpus["joint_f1"] == 0


def test_an_attribute_that_the_reference_does_not_state_is_not_judged():
    corpus = device_scores([[Device("picc", change="new", placement="malpositioned")]], [[PICC]]).corpus

    assert corpus["change_accuracy"] == 1
    assert np.isnan(corpus["placement_accuracy"])
    assert corpus["joint_f1"] == 0


def test_an_attribute_that_only_the_reference_states_is_missed():
    corpus = device_scores([[Device("picc", side="right")]], [[PICC]]).corpus

    assert corpus["change_accuracy"] == 0
    assert corpus["side_accuracy"] == 1


def test_devices_are_matched_by_side_then_by_attributes():
    left, right = Device("chest_tube", side="left", change="new"), Device("chest_tube", side="right", change="unchanged")
    said = Device("chest_tube", side="right", change="new")

    assert match([said], [left, right]) == [(said, right)]
    assert set(match([left, right], [right, left])) == {(left, left), (right, right)}


def test_as_many_devices_of_a_type_are_matched_as_both_sides_have():
    assert len(match([ETT, ETT], [ETT])) == 1
    assert match([ETT], [PICC]) == []
    assert match([], [PICC]) == []


def test_a_report_without_devices_on_either_side_is_left_out():
    result = device_scores([[], [ETT]], [[], [ETT]])

    assert np.isnan(result.per_sample["type_f1"][0])
    assert result.corpus["type_f1"] == 1


def test_macro_f1_of_change_is_over_the_classes_that_occur():
    new, gone = Device("picc", change="new"), Device("picc", change="removed")

    corpus = device_scores([[new], [new]], [[new], [gone]]).corpus

    assert corpus["change_macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_a_resample_sums_the_counts_of_the_drawn_reports():
    said, wanted = [[ETT], [PORT], [PICC, PICC], []], [[ETT], [PICC], [PICC], [ETT]]
    weights = resample(list("abcd"), replicates=6)

    resampled = device_scores(said, wanted).statistics["type_f1"](weights.astype(float))

    for row, value in zip(weights, resampled, strict=True):
        drawn = np.repeat(np.arange(4), row)
        expected = device_scores([said[i] for i in drawn], [wanted[i] for i in drawn]).corpus["type_f1"]
        assert value == pytest.approx(expected, nan_ok=True)


def test_an_extractor_is_asked_once_for_each_text_and_named():
    asked = []

    def words(text):
        asked.append(text)
        return [PICC] if "picc" in text else []

    result = lines_and_tubes(["picc", "picc"], ["picc", ""], extractor=words)

    assert sorted(asked) == ["", "picc"]
    assert result.corpus["type_recall"] == 1
    assert result.corpus["hallucination_rate"] == 1 / 2
    assert result.protocol["extractor"].endswith("words")
