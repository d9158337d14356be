"""RadCliQ: the golden values of the official coefficients."""

import numpy as np
import pytest

from medvl.metrics.radcliq import FEATURES, radcliq, radcliq_of_reports, v0, v1
from medvl.metrics.text.bertscore import EncodedText
from medvl.runtime.errors import UserError

GOLDEN = [
    ((0.5, 0.5, 0.5, 0.5), 2.637013690555201, 0.5047264002612145),
    ((0.3, 0.4, 0.6, 0.2), 2.854283824092046, 0.8193770284529263),
    ((1, 1, 1, 1), -0.24213342294409346, -1.4406902828047017),
    ((0, 0, 0, 0), 5.516160804054495, 2.4501430833271307),
]


@pytest.mark.parametrize(("values", "expected_v0", "expected_v1"), GOLDEN)
def test_golden_values_of_both_versions(values, expected_v0, expected_v1):
    features = dict(zip(FEATURES, values, strict=True))

    assert v0(features) == pytest.approx(expected_v0, abs=1e-12)
    assert v1(features) == pytest.approx(expected_v1, abs=1e-12)
    assert isinstance(v1(features), float)


def test_arrays_give_arrays():
    features = {name: np.array([row[0][i] for row in GOLDEN]) for i, name in enumerate(FEATURES)}

    np.testing.assert_allclose(v1(features), [row[2] for row in GOLDEN], atol=1e-12)


def test_a_missing_feature_is_named():
    with pytest.raises(UserError, match="'semb_score'"):
        v1({"radgraph_combined": 1, "bertscore": 1, "bleu_score": 1})


def test_the_inverse_is_of_the_mean_and_undefined_where_that_is_not_positive():
    low, high = {name: np.array([0.0, 0.5]) for name in FEATURES}, {name: np.array([1.0, 1.0]) for name in FEATURES}

    result = radcliq(low).corpus
    assert result["radcliq_v1"] == pytest.approx((2.4501430833271307 + 0.5047264002612145) / 2)
    assert result["radcliq_v1_inverse"] == pytest.approx(1 / result["radcliq_v1"])
    assert np.isnan(radcliq(high).corpus["radcliq_v1_inverse"])
    assert radcliq(low).lower_is_better == {"radcliq_v1"}


class Vectors:
    """Each text the counts of a few letters."""

    def embed(self, texts):
        return [[1.0 + text.count(letter) for letter in "aeo"] for text in texts]

    def pieces(self, texts):
        return [EncodedText((0, *map(ord, t), 1), np.array([[1, i % 3, ord(c) % 5] for i, c in enumerate(f"<{t}>")], "f4")) for t in texts]


def entities(texts):
    return [
        {"entities": {w: {"tokens": w, "label": "OBS-DP", "relations": []} for w in text.lower().rstrip(".").split()}} for text in texts
    ]


def test_the_features_of_reports_are_those_of_their_metrics():
    models = {"annotator": entities, "encoder": Vectors().pieces, "embedder": Vectors(), "radgraph": "radgraph"}

    result = radcliq_of_reports(["Clear lungs.", "Left effusion."], ["Clear lungs.", "Right effusion."], baseline=None, **models)

    features = {name: result.per_sample[name] for name in FEATURES}
    np.testing.assert_allclose(features["radgraph_combined"], [1 / 2, 1 / 4])  # no relation anywhere counts 0
    np.testing.assert_allclose(features["bleu_score"][0], 1)
    assert features["semb_score"][0] == pytest.approx(1)
    assert features["bertscore"][0] == pytest.approx(1)
    np.testing.assert_allclose(result.per_sample["radcliq_v1"], v1(features))
    assert result.corpus["radgraph_combined"] == pytest.approx(3 / 8)
    assert "radgraph" in result.protocol["radgraph_combined"]
    assert result.lower_is_better == {"radcliq_v1"}
