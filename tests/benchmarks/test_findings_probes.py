"""Probes of frozen encoders, on invented features whose answer is known."""

from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from images_in_memory import Images
from sklearn.metrics import roc_auc_score

from medvl.benchmarks.attributes import AttributeProbe
from medvl.benchmarks.features import Encoding, Features
from medvl.benchmarks.findings_task import FindingsTask, LabelledFeatures, NothingToProbe, Splits
from medvl.benchmarks.knn import KNearestNeighbours
from medvl.benchmarks.linear_probe import LinearProbe, _Heads
from medvl.benchmarks.logistic_regression import LogisticRegressionProbe
from medvl.records import Study, View

SIZE = 8
FINDINGS = {"edema": ["Edema"], "fracture": []}


class GreyEncoder:
    """Class token: (grey, 1 − grey), or noise that knows nothing; patches: the same twice."""

    def __init__(self, *, blind=False):
        self.blind = blind

    def standardize(self, images):
        return images

    def encode(self, pixels, layers=(-1,), norm=True):
        grey = pixels.mean(dim=(1, 2, 3))
        known = torch.sin(1e4 * grey) if self.blind else grey
        cls = torch.stack([known, 1 - known], dim=1)
        return SimpleNamespace(cls_by_layer=[cls for _ in layers], patches=[torch.stack([cls, cls], dim=1) for _ in layers])


@pytest.fixture(scope="module")
def world():
    """90 studies of 45 patients; bright films have edema, old patients and come from AP."""
    draw = np.random.default_rng(0)
    images, studies = Images(), []
    for number in range(90):
        grey = draw.uniform(20, 230)
        bright = grey + draw.normal(0, 10) > 125
        images[f"v{number}"] = np.full((SIZE, SIZE), grey, np.uint8)
        labels = {"Edema": "positive" if bright else "negative"} | ({"fracture": "uncertain"} if number % 2 else {})
        studies.append(
            Study(
                "invented",
                patient_id=f"p{number // 2}",
                study_id=f"s{number}",
                time=datetime(2100, 1, 1),
                sex="M" if number % 3 else "F",
                age=20 + grey / 4,
                views=(View(f"v{number}", projection="AP" if bright else "PA"),),
                labels={"chexpert": labels},
            )
        )
    return images, Splits(train=studies[:50], validation=studies[50:66], test=studies[66:])


@pytest.fixture
def findings_task():
    return FindingsTask(FINDINGS, Encoding(crop=SIZE), macro_over=["edema"], replicates=50)


PROBES = {
    "knn": lambda task: KNearestNeighbours(task, neighbours=(5, 10, 1000)),
    "linear_probe": lambda task: LinearProbe(task, blocks=(1, 2), steps=200, batch_size=32, learning_rates=(1e-3, 1.0)),
    "logistic_regression": lambda task: LogisticRegressionProbe(task, scaling="standard", exponents=(-3, 3, 5)),
}


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_finds_what_the_features_hold_and_nothing_in_blind_ones(name, world, findings_task):
    images, splits = world

    found = PROBES[name](findings_task).evaluate(GreyEncoder(), images, splits, untrained=GreyEncoder(blind=True))

    entry = found.metrics[f"{name}_auroc"]
    assert entry["value"] > 0.95
    assert entry["findings"] == ["edema"]
    assert entry["difference"]["ci_low"] > 0
    assert found.per_finding[f"{name}_auroc"]["fracture"]["value"] is None  # uncertain or unmentioned throughout: no positive
    assert len(found.tables[f"{name}_scores"]) == 2 * 2 * 24


@pytest.mark.parametrize("name", PROBES)
def test_the_scores_in_the_table_give_the_auroc_in_the_figures(name, world, findings_task):
    images, splits = world

    found = PROBES[name](findings_task).evaluate(GreyEncoder(), images, splits)

    table = found.tables[f"{name}_scores"].query("finding == 'edema'")
    assert roc_auc_score(table["truth"], table["score"]) == pytest.approx(found.per_finding[f"{name}_auroc"]["edema"]["value"])


def test_a_split_without_labels_of_the_source_is_named(world, findings_task):
    images, splits = world
    task = FindingsTask(FINDINGS, Encoding(crop=SIZE), test_labels="test_set")

    with pytest.raises(NothingToProbe, match="no test study has both 'test_set' labels"):
        KNearestNeighbours(task).evaluate(GreyEncoder(), images, splits)


def test_an_unknown_finding_in_macro_over_is_named():
    with pytest.raises(NothingToProbe, match=r"'oedema'.*did you mean 'edema'"):
        FindingsTask(FINDINGS, Encoding(crop=SIZE), macro_over=["oedema"])


def labelled(features, truth):
    studies = [Study("invented", f"p{i}", f"s{i}") for i in range(len(features))]
    pooled = {"cls": features[:, None].astype(np.float32), "mean": features[:, None], "max": features[:, None]}
    return LabelledFeatures(Features([s.study_id for s in studies], pooled), pd.DataFrame(truth, columns=list(FINDINGS)), studies)


def test_neighbours_vote_by_softmax_of_cosines_and_unknown_labels_do_not_count(findings_task):
    train = labelled(np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), [[1, np.nan], [0, 1], [1, 0]])
    asked = labelled(np.array([[2.0, 0.0]]), [[1, 1]])

    votes = KNearestNeighbours(findings_task, temperature=1.0)._votes(train, asked, [2])[2]

    first, second = np.exp(1.0), np.exp(0.6)
    assert votes[0, 0] == pytest.approx(first / (first + second))
    assert votes[0, 1] == pytest.approx(1.0)


def test_heads_descend_as_torch_sgd_does():
    draw = torch.Generator().manual_seed(0)
    heads = _Heads(2, 3, 2, draw)
    one = torch.nn.Linear(3, 2)
    one.weight.data, one.bias.data = heads.weight[1].T.clone(), heads.bias[1, 0].clone()
    descent = torch.optim.SGD(one.parameters(), lr=0.5, momentum=0.9)
    inputs, truth = torch.randn(6, 3, generator=draw), torch.tensor([[1.0, 0.0]] * 5 + [[float("nan"), 1.0]])

    for _ in range(3):
        heads.descend(inputs, truth, torch.tensor([0.1, 0.5])[:, None, None])
        descent.zero_grad()
        known = ~truth.isnan()
        torch.nn.functional.binary_cross_entropy_with_logits(one(inputs)[known], truth[known]).backward()
        descent.step()

    assert torch.allclose(heads.weight[1].T, one.weight, atol=1e-6)
    assert torch.allclose(heads.bias[1, 0], one.bias, atol=1e-6)


def test_attributes_are_read_from_features_that_hold_them(world):
    images, splits = world

    found = AttributeProbe(Encoding(crop=SIZE), replicates=50).evaluate(GreyEncoder(), images, splits, untrained=GreyEncoder(blind=True))

    assert found.metrics["age_r_squared"]["value"] > 0.9
    assert found.metrics["age_mean_absolute_error"]["value"] < 5
    assert found.metrics["projection_auroc"]["difference"]["ci_low"] > 0
    assert 0.2 < found.metrics["sex_auroc"]["value"] < 0.8


def test_an_attribute_that_nobody_states_is_left_out_and_named(world):
    images, splits = world
    parts = (splits.train, splits.validation, splits.test)
    anonymous = Splits(*([Study(s.dataset, s.patient_id, s.study_id, views=s.views) for s in part] for part in parts))

    found = AttributeProbe(Encoding(crop=SIZE), replicates=10).evaluate(GreyEncoder(), images, anonymous)

    assert list(found.metrics) == ["projection_auroc"]
    assert found.protocol["left_out"] == ["sex", "age"]
