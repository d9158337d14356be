import numpy as np
import pytest

from medvl.metrics.segmentation import dice


def test_dice_of_a_worked_case():
    predicted = np.array([[[1, 1], [0, 0]]], bool)
    truth = np.array([[[1, 0], [1, 1]]], bool)

    assert dice(predicted, truth) == pytest.approx([0.4])


def test_nothing_found_where_nothing_is_has_no_dice():
    nothing = np.zeros((1, 2, 2), bool)

    assert np.isnan(dice(nothing, nothing))
    assert dice(~nothing, nothing) == [0.0]


def test_masks_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        dice(np.zeros((1, 2, 2), bool), np.zeros((1, 2, 3), bool))
