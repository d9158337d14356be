"""Boxes of phrases: agreement with each reader, with their union, and with what readers reach among themselves."""

import math

import pytest

from medvl.metrics.box_agreement import box_agreement, inter_reader_iou
from medvl.records import Box, Phrase

LEFT, RIGHT, BOTH = Box(0, 0, 0.25, 1), Box(0.25, 0, 0.5, 1), Box(0, 0, 0.5, 1)
TWO_READERS = Phrase("x", boxes=(LEFT,), boxes_by_reader={"reader_1": (LEFT,), "reader_2": (RIGHT,)})
ONE_READER = Phrase("x", boxes=(LEFT,), boxes_by_reader={"reader_1": (LEFT,)})
NO_READER_NAMED = Phrase("x", boxes=(LEFT, RIGHT))
NOT_GROUNDABLE = Phrase("No effusion.")


def test_a_prediction_is_compared_with_each_reader_their_union_and_their_ceiling():
    values = box_agreement([[BOTH]], [TWO_READERS]).corpus

    assert (values["reader_1/iou"], values["reader_2/iou"], values["union/iou"]) == (0.5, 0.5, 1)
    assert (values["reader_1/precision"], values["reader_1/recall"]) == (0.5, 1)
    assert (values["readers/iou"], values["ceiling/iou"]) == (0.5, 0)
    assert (values["reader_1/iou@0.5"], values["reader_1/iou@0.3"]) == (1, 1)


def test_readers_and_ceiling_are_over_phrases_that_two_readers_drew():
    values = box_agreement([[LEFT], [LEFT]], [TWO_READERS, ONE_READER]).per_sample

    assert values["readers/iou"][0] == 0.5
    assert math.isnan(values["readers/iou"][1])
    assert math.isnan(values["ceiling/iou"][1])
    assert values["reader_1/iou"].tolist() == [1, 1]
    assert math.isnan(values["reader_2/iou"][1])


def test_where_no_reader_is_named_the_boxes_are_the_union():
    assert box_agreement([[BOTH]], [NO_READER_NAMED]).corpus["union/iou"] == 1


def test_overlapping_boxes_count_once():
    predicted = [Box(0.3, 0.3, 0.5, 0.5), Box(0.4, 0.4, 0.6, 0.6)]
    drawn = Phrase("x", boxes=(Box(0.2, 0.2, 0.4, 0.4), Box(0.1, 0.1, 0.4, 0.4)))

    exact = box_agreement([predicted], [drawn]).corpus
    pixels = box_agreement([predicted], [drawn], boxes="raster-224").corpus

    assert [exact[f"union/{name}"] for name in ("iou", "precision", "recall")] == pytest.approx([1 / 15, 1 / 7, 1 / 9])
    assert [round(pixels[f"union/{name}"], 2) for name in ("iou", "precision", "recall")] == [0.06, 0.14, 0.11]


def test_a_groundable_phrase_without_prediction_is_a_miss():
    values = box_agreement([None, []], [ONE_READER, ONE_READER]).corpus

    assert (values["found"], values["union/iou"], values["union/recall"], values["union/iou@0.1"]) == (0, 0, 0, 0)
    assert math.isnan(values["union/precision"])


def test_only_suppression_speaks_of_phrases_that_nobody_grounded():
    scores = box_agreement([None, [LEFT], [LEFT]], [NOT_GROUNDABLE, NOT_GROUNDABLE, ONE_READER])

    assert scores.corpus["suppressed"] == 0.5
    assert scores.corpus["found"] == 1
    assert math.isnan(scores.per_sample["union/iou"][0])
    assert scores.corpus["union/iou"] == 1


def test_the_inter_reader_iou_is_the_mean_over_pairs():
    phrase = Phrase("x", boxes_by_reader={"a": (LEFT,), "b": (LEFT,), "c": (BOTH,)})

    assert inter_reader_iou(phrase) == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert math.isnan(inter_reader_iou(ONE_READER))


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="as many predictions as references"):
        box_agreement([[LEFT]], [])
