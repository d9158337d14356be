import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from medvl.metrics import grounding

NAN = math.nan


def row(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def mask(*values: int) -> np.ndarray:
    return np.array([values], bool)


def test_the_worked_example_of_cnr():
    assert grounding.contrast_to_noise_ratio(row(3, 5, 0, 2), mask(1, 1, 0, 0)) == pytest.approx(3 / math.sqrt(2))


def test_cnr_is_negative_where_the_map_is_darker_inside():
    assert grounding.contrast_to_noise_ratio(row(0, 2, 3, 5), mask(1, 1, 0, 0)) == pytest.approx(-3 / math.sqrt(2))


def test_pixels_outside_the_crop_do_not_enter_cnr():
    assert grounding.contrast_to_noise_ratio(row(NAN, 3, 5, 0, 2, NAN), mask(1, 1, 1, 0, 0, 0)) == pytest.approx(3 / math.sqrt(2))


@pytest.mark.parametrize(
    ("similarity", "region"),
    [
        (row(NAN, NAN, 1, 2), mask(1, 1, 0, 0)),  # the box lies outside the crop
        (row(1, 2, NAN, NAN), mask(1, 1, 0, 0)),  # the box covers the crop
        (row(1, 1, 0, 0), mask(1, 1, 0, 0)),  # no noise at all
    ],
)
def test_cnr_without_both_regions_or_without_noise_is_undefined(similarity, region):
    assert math.isnan(grounding.contrast_to_noise_ratio(similarity, region))


@given(arrays.arrays(np.float32, (4, 4), elements=st.floats(-1, 1, width=16)), st.floats(0.5, 4), st.floats(-1, 1))
def test_cnr_does_not_depend_on_the_scale_of_the_map(similarity, scale, shift):
    region = np.tri(4, dtype=bool)
    before = grounding.contrast_to_noise_ratio(similarity, region)
    after = grounding.contrast_to_noise_ratio(similarity * scale + shift, region)

    if similarity[region].std() > 1e-2:
        assert after == pytest.approx(before, abs=1e-2)


def test_the_worked_example_of_iou():
    iou = grounding.iou_at_thresholds(row(0.05, 0.25, 0.45, 0.65), mask(0, 0, 1, 1), [0.1, 0.3, 0.5])

    assert iou == pytest.approx([2 / 3, 1, 1 / 2])


def test_thresholds_are_exceeded_strictly_and_may_come_in_any_order():
    iou = grounding.iou_at_thresholds(row(0.25, 0.5), mask(0, 1), [0.5, 0.25, -1.0])

    assert iou.tolist() == [0.0, 1.0, 0.5]


def test_pixels_outside_the_crop_are_never_predicted_and_their_box_still_counts():
    assert grounding.iou_at_thresholds(row(NAN, 0.9), mask(1, 1), [0.1]) == pytest.approx([0.5])


@given(
    arrays.arrays(np.float32, (3, 5), elements=st.one_of(st.just(math.nan), st.floats(-1, 1, width=32))),
    arrays.arrays(bool, (3, 5)),
    st.lists(st.floats(-1, 1), min_size=1, max_size=6),
)
def test_iou_in_one_pass_equals_iou_of_each_mask(similarity, region, thresholds):
    found = grounding.iou_at_thresholds(similarity, region, thresholds)

    for threshold, iou in zip(thresholds, found, strict=True):
        predicted = similarity.astype(np.float64) > threshold
        union = (predicted | region).sum()
        assert iou == pytest.approx((predicted & region).sum() / union if union else 0.0)


def test_mean_iou_averages_the_published_thresholds():
    assert grounding.mean_iou(row(0.35, 0.0), mask(1, 0)) == pytest.approx(3 / 5)


def test_dice_of_iou_one_third_is_one_half():
    assert grounding.dice(1 / 3) == pytest.approx(1 / 2)


def test_pointing_game_shares_equal_maxima():
    assert grounding.pointing_game(row(0.1, 0.9), mask(0, 1)) == 1
    assert grounding.pointing_game(row(0.9, 0.1), mask(0, 1)) == 0
    assert grounding.pointing_game(row(0.9, 0.9, NAN), mask(1, 0, 1)) == 0.5
    assert math.isnan(grounding.pointing_game(row(NAN, NAN), mask(1, 0)))


def test_coverage_is_the_share_of_the_boxes_that_was_seen():
    assert grounding.coverage(row(NAN, 0.5, 0.5, 0.5), mask(1, 1, 0, 0)) == 0.5
    assert math.isnan(grounding.coverage(row(1.0), mask(0)))


def test_candidate_thresholds_follow_the_scale_of_the_maps():
    narrow = row(0.500, 0.501, 0.502, 0.503, NAN)

    candidates = grounding.candidate_thresholds([narrow], count=4)

    assert 4 <= len(candidates) <= 8
    assert candidates.min() == pytest.approx(0.500)
    assert candidates.max() < 0.503


def test_the_best_threshold_weighs_findings_alike():
    iou = np.array([[0.9, 0.5], [0.9, 0.5], [0.9, 0.5], [0.0, 0.8]])

    assert grounding.best_threshold(iou, ["common"] * 3 + ["rare"], [0.1, 0.2]) == 0.2


def test_cnr_per_box_is_the_mean_over_boxes_against_all_the_rest():
    similarity = row(5, 4, 0, 2)
    first, second = mask(1, 0, 0, 0), mask(0, 1, 0, 0)

    found = grounding.contrast_to_noise_ratio_per_box(similarity, [first, second])

    each = [grounding.contrast_to_noise_ratio(similarity, box) for box in (first, second)]
    assert found == pytest.approx(np.mean(each))
    assert found == pytest.approx(grounding.contrast_to_noise_ratio_per_box(similarity, [second, first]))


def test_the_public_evaluator_hides_earlier_boxes_from_later_ones():
    similarity, boxes = row(5, 4, 0, 2), [mask(1, 0, 0, 0), mask(0, 1, 0, 0)]

    there = grounding.contrast_to_noise_ratio_per_box(similarity, boxes, blank_earlier=True)
    back = grounding.contrast_to_noise_ratio_per_box(similarity, boxes[::-1], blank_earlier=True)

    second = grounding.contrast_to_noise_ratio(row(NAN, 4, 0, 2), boxes[1])
    assert there == pytest.approx((grounding.contrast_to_noise_ratio(similarity, boxes[0]) + second) / 2)
    assert there != pytest.approx(back)
    assert not np.isnan(similarity).any()


def test_cnr_per_box_passes_over_boxes_that_were_not_seen():
    found = grounding.contrast_to_noise_ratio_per_box(row(NAN, 4, 0, 2), [mask(1, 0, 0, 0), mask(0, 1, 0, 0)])

    assert found == pytest.approx(3)
    assert math.isnan(grounding.contrast_to_noise_ratio_per_box(row(NAN, 1, 2), [mask(1, 0, 0)]))
