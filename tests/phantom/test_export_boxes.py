"""Readers' boxes from masks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medvl.geometry import box_iou
from medvl.phantom.export.boxes import AGREEMENT, lesion_boxes, second_reader
from medvl.records import Box


def mask_with(*blocks: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((100, 200), bool)
    for top, left, height, width in blocks:
        mask[top : top + height, left : left + width] = True
    return mask


def test_each_separate_part_has_its_own_tight_box_largest_first():
    boxes = lesion_boxes(mask_with((10, 20, 20, 20), (40, 120, 40, 50)))

    assert [b.xyxy for b in boxes] == [(0.6, 0.4, 0.85, 0.8), (0.1, 0.1, 0.2, 0.3)]


def test_parts_with_a_hairline_gap_are_one_lesion():
    boxes = lesion_boxes(mask_with((10, 20, 20, 20), (10, 42, 20, 20)))

    assert [b.xyxy for b in boxes] == [(0.1, 0.1, 0.31, 0.3)]


def test_specks_and_slivers_beside_a_lesion_are_left_out():
    boxes = lesion_boxes(mask_with((10, 20, 40, 40), (80, 150, 4, 4), (10, 180, 85, 2)))

    assert len(boxes) == 1


def test_a_lesion_at_the_edge_of_the_film_keeps_its_extent():
    assert [b.xyxy for b in lesion_boxes(mask_with((0, 0, 30, 50)))] == [(0.0, 0.0, 0.25, 0.3)]


def test_a_lone_speck_is_still_a_lesion():
    assert len(lesion_boxes(mask_with((50, 50, 1, 1)))) == 1


def test_an_empty_mask_has_no_box():
    assert lesion_boxes(mask_with()) == ()


@given(st.integers(0, 2**32), st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.01, 1), st.floats(0.01, 1))
def test_the_second_reader_agrees_by_half_to_four_fifths(seed, x, y, width, height):
    first = Box(x, y, min(1.0, x + width), min(1.0, y + height))

    second = second_reader(first, np.random.default_rng(seed))

    assert AGREEMENT[0] <= box_iou(first, second) <= AGREEMENT[1]
