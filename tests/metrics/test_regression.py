import numpy as np
import pytest
from sklearn.metrics import r2_score

from medvl.metrics.bootstrap import resample
from medvl.metrics.regression import r_squared_of


def test_r_squared_of_a_worked_case():
    assert r_squared_of([1, 2, 3], [1, 2, 2])(np.ones((1, 3)))[0] == pytest.approx(0.5)


def test_r_squared_equals_scikit_learn_in_every_replicate():
    draw = np.random.default_rng(0)
    truth = draw.normal(1e4, 2, 40)
    predicted = truth + draw.normal(0, 1, 40)
    weights = resample([str(i) for i in range(40)], replicates=20).astype(float)

    found = r_squared_of(truth, predicted)(weights)

    assert found == pytest.approx([r2_score(truth, predicted, sample_weight=row) for row in weights], abs=1e-9)


def test_r_squared_is_undefined_without_variance():
    assert np.isnan(r_squared_of([2, 2], [1, 3])(np.ones((1, 2)))[0])


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        r_squared_of([1, np.nan], [1, 2])
