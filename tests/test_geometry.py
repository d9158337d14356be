"""Frames compose, invert, and move points, boxes and maps consistently."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from medvl import geometry
from medvl.geometry import Frame
from medvl.records import Box

sizes = st.tuples(st.integers(8, 400), st.integers(8, 400))
frames = st.builds(
    lambda source, side, top, left, crop: Frame.identity(source).short_side(side).cropped(top, left, (crop, crop)),
    sizes,
    st.integers(8, 200),
    st.integers(-20, 60),
    st.integers(-20, 60),
    st.integers(8, 200),
)
points = st.lists(st.tuples(st.floats(-500, 500), st.floats(-500, 500)), min_size=1, max_size=4).map(np.array)


@given(frames, points)
def test_points_return_to_where_they_came_from(frame, xy):
    assert np.allclose(frame.points_to_source(frame.points_to_target(xy)), xy, atol=1e-6)


@given(frames, st.integers(8, 99), points)
def test_composition_is_one_map_after_the_other(first, side, xy):
    second = Frame.identity(first.target).resized((side, side))

    assert np.allclose(first.then(second).points_to_target(xy), second.points_to_target(first.points_to_target(xy)), atol=1e-6)


def test_frames_that_do_not_meet_are_refused():
    with pytest.raises(ValueError, match="ends at \\(8, 8\\)"):
        Frame.identity((8, 8)).then(Frame.identity((9, 9)))


@given(frames)
def test_a_box_inside_the_crop_returns_unchanged(frame):
    box = frame.box_to_source(Box(0.25, 0.25, 0.75, 0.75))
    if box is None:
        return

    back = frame.box_to_target(box)

    assert back is None or all(0 <= v <= 1 for v in back.xyxy)


def test_a_box_follows_resize_and_crop():
    frame = Frame.identity((200, 100)).short_side(50).center_cropped((50, 50))  # 100 × 50, then rows 25…75

    assert frame.box_to_target(Box(0, 0.25, 1, 0.75)) == Box(0, 0, 1, 1)
    assert frame.box_to_target(Box(0, 0, 1, 0.2)) is None
    assert frame.box_to_source(Box(0, 0, 1, 1)) == Box(0, 0.25, 1, 0.75)


def test_a_map_is_nan_outside_the_crop_and_true_inside():
    frame = Frame.identity((4, 8)).center_cropped((4, 4))

    full = frame.map_to_source(np.arange(4, dtype=np.float32).reshape(2, 2), nearest=True)

    assert np.isnan(full[:, :2]).all()
    assert np.isnan(full[:, 6:]).all()
    assert full[0, 2:6].tolist() == [0, 0, 1, 1]
    assert full[3, 2:6].tolist() == [2, 2, 3, 3]


def test_bilinear_maps_equal_torch_interpolate():
    values = np.random.default_rng(0).random((5, 7)).astype(np.float32)

    ours = Frame.identity((40, 60)).map_to_source(values)

    theirs = torch.nn.functional.interpolate(torch.from_numpy(values)[None, None], (40, 60), mode="bilinear", align_corners=False)[0, 0]
    assert np.allclose(ours, theirs.numpy(), atol=1e-6)


def test_a_mask_moves_with_its_box():
    box = Box(0.5, 0.0, 1.0, 0.5)
    frame = Frame.identity((64, 64)).resized((32, 32)).cropped(0, 8, (24, 24))

    moved = frame.mask_to_target(geometry.boxes_to_mask([box], (64, 64)))

    assert geometry.box_from_mask(moved) == frame.box_to_target(box)


@given(boxes=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9)), min_size=2, max_size=2))
def test_iou_of_boxes_is_iou_of_their_masks(boxes):
    a, b = (Box(x / 20, y / 20, (x + w) / 20, (y + h) / 20) for x, y, w, h in boxes)

    masks = [geometry.boxes_to_mask([box], (20, 20)) for box in (a, b)]

    assert geometry.box_iou(a, b) == pytest.approx(geometry.mask_iou(*masks))
    assert geometry.box_iou(a, b) == geometry.box_iou(b, a)


def test_empty_masks_overlap_by_nothing():
    empty = np.zeros((4, 4), bool)

    assert geometry.mask_iou(empty, empty) == 0
    assert geometry.box_from_mask(empty) is None


def test_pixel_boxes_make_the_round_trip():
    box = geometry.box_from_pixels(10, 20, 30, 40, (100, 200))

    assert box == Box(0.05, 0.2, 0.2, 0.6)
    assert geometry.box_to_pixels(box, (100, 200)) == pytest.approx((10, 20, 30, 40))


def test_a_pixel_box_may_leave_its_image_by_one_pixel_only():
    assert geometry.box_from_pixels(-1, 0, 11, 10, (10, 10)) == Box(0, 0, 1, 1)
    with pytest.raises(ValueError, match="leaves its image of 10×10"):
        geometry.box_from_pixels(-2, 0, 5, 5, (10, 10))


boxes = st.builds(
    lambda x, y: Box(min(x), min(y), max(x), max(y)),
    st.tuples(*[st.integers(0, 16).map(lambda v: v / 16)] * 2),
    st.tuples(*[st.integers(0, 16).map(lambda v: v / 16)] * 2),
)


@given(st.lists(boxes, max_size=4), st.lists(boxes, max_size=4))
def test_the_overlap_of_unions_is_that_of_their_masks(first, second):
    a, b = geometry.boxes_to_mask(first, (16, 16)), geometry.boxes_to_mask(second, (16, 16))

    overlap = geometry.union_overlap(first, second)

    assert overlap.first * 256 == pytest.approx(a.sum())
    assert overlap.second * 256 == pytest.approx(b.sum())
    assert overlap.shared * 256 == pytest.approx((a & b).sum())
    assert geometry.raster_overlap(first, second, side=16) == geometry.Overlap(a.sum(), b.sum(), (a & b).sum())


def test_an_overlap_states_iou_precision_and_recall():
    overlap = geometry.union_overlap([Box(0, 0, 0.5, 1)], [Box(0.25, 0, 0.5, 1), Box(0.25, 0, 0.5, 0.5)])

    assert (overlap.iou, overlap.precision, overlap.recall) == (0.5, 0.5, 1)


def test_an_empty_region_has_no_precision():
    overlap = geometry.union_overlap([Box(0.5, 0, 0.5, 1)], [Box(0, 0, 1, 1)])

    assert np.isnan(overlap.precision)
    assert overlap.recall == 0
    assert np.isnan(geometry.union_overlap([], []).iou)


def test_the_raster_truncates_to_whole_pixels():
    assert geometry.raster_overlap([Box(0.301, 0, 0.3035, 1)], [Box(0, 0, 1, 1)]).first == 0
    assert geometry.raster_overlap([Box(0, 0, 0.0099, 1)], []).first == 2 * 224


@given(st.tuples(st.integers(12, 90), st.integers(12, 90)), st.floats(0.3, 1), st.integers(1, 15), st.integers(1, 15), st.booleans())
def test_a_map_over_the_centre_square_is_interpolated_as_torch_does_and_nan_around(source, share, rows, columns, nearest):
    side = max(1, int(share * min(source)))
    values = np.random.default_rng(rows * columns).normal(size=(rows, columns)).astype(np.float32)

    whole = geometry.center_square_to_source(values, source, side, nearest=nearest)

    mode = {"mode": "nearest"} if nearest else {"mode": "bilinear", "align_corners": False}
    square = interpolate(torch.from_numpy(values)[None, None], size=(side, side), **mode)[0, 0].numpy()
    top, left = (source[0] - side) // 2, (source[1] - side) // 2
    below, right = source[0] - side - top, source[1] - side - left
    assert 0 <= below - top <= 1
    assert 0 <= right - left <= 1
    expected = np.pad(square, ((top, below), (left, right)), constant_values=np.nan)
    assert np.allclose(whole, expected, atol=1e-5, equal_nan=True)


def test_a_square_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match="square of 9 pixels does not lie in an image of 20×8"):
        geometry.center_square_to_source(np.zeros((2, 2)), (8, 20), 9)
