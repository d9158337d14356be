import numpy as np
import pytest

from medvl.metrics.calibration import expected_calibration_error_of


def once(count):
    return np.ones((1, count))


def test_calibration_error_of_a_worked_case():
    assert expected_calibration_error_of([False, True, True], [0.2, 0.4, 0.9], bins=2)(once(3))[0] == pytest.approx(1 / 6)


def test_honest_probabilities_have_no_error():
    probabilities = np.repeat(0.25, 4)

    assert expected_calibration_error_of([True, False, False, False], probabilities)(once(4))[0] == pytest.approx(0)


def test_a_sample_counts_as_often_as_it_is_drawn():
    found = expected_calibration_error_of([True, False], [0.5, 0.5], bins=1)(np.array([[1.0, 3.0]]))

    assert found[0] == pytest.approx(0.25)


def test_a_certain_probability_belongs_to_the_last_bin():
    assert expected_calibration_error_of([True, False], [1.0, 0.95], bins=10)(once(2))[0] == pytest.approx(0.475)


def test_probabilities_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        expected_calibration_error_of([True], [1.5])
