"""Learning from shares of the labels, on films whose brightness is the finding."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from images_in_memory import Images
from sklearn.metrics import accuracy_score, roc_auc_score

from medvl.benchmarks.features import Encoding
from medvl.benchmarks.findings_task import FindingsTask, NothingToProbe, Splits
from medvl.benchmarks.fine_tuning import FineTuning, NotTrainable
from medvl.benchmarks.label_efficiency import LabelEfficiency, NoSubsets
from medvl.benchmarks.linear_probe import LinearProbe
from medvl.data.subsets import InvalidSubset
from medvl.data.transforms import Augmentation
from medvl.models.biovil import BioVilImageModel
from medvl.models.cxr_bert import CxrBert
from medvl.models.image_text import ImageTextModel
from medvl.models.resnet import SmallResNet
from medvl.models.tokenizer import train_wordpiece
from medvl.records import Study, View

SIZE = 8


class TinyEncoder(torch.nn.Module):
    """A class token of three numbers from the mean grey level, batch norm included."""

    def __init__(self, *, deaf=False):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.norm, self.deaf = torch.nn.Linear(1, 3), torch.nn.BatchNorm1d(3), deaf

    def standardize(self, images):
        return images

    def encode(self, pixels, layers=(-1,), norm=True):
        cls = self.norm(self.layer(pixels.mean(dim=(2, 3)) * (0 if self.deaf else 1)))
        return SimpleNamespace(cls_by_layer=[cls for _ in layers], patches=[cls[:, None] for _ in layers])


@pytest.fixture(scope="module")
def world():
    """120 films of 60 patients, bright ones with pneumonia."""
    torch.set_num_threads(1)
    draw = np.random.default_rng(0)
    images, studies = Images(), []
    for number in range(120):
        grey = draw.uniform(20, 230)
        images[f"v{number}"] = np.full((SIZE, SIZE), grey, np.uint8)
        label = {"Lung Opacity": "positive" if grey > 125 else "negative"}
        view = View(f"v{number}", projection="PA")
        studies.append(Study("invented", f"p{number // 2}", f"s{number}", views=(view,), labels={"rsna_pneumonia": label}))
    return images, Splits(train=studies[:80], validation=studies[80:96], test=studies[96:])


@pytest.fixture
def protocol():
    task = FindingsTask({"pneumonia": ["Lung Opacity"]}, Encoding(crop=SIZE), labels="rsna_pneumonia", replicates=30)
    probe = LinearProbe(task, learning_rates=(0.1, 1.0), blocks=(1,), mean_patch=(False,), steps=100, batch_size=32)
    tuning = FineTuning(steps=20, validate_every=10, batch_size=16, learning_rate=0.01, head_learning_rate=0.1)
    return LabelEfficiency(probe, tuning, shares=(0.1, 1.0), seeds=(0, 1))


@pytest.mark.parametrize("mode", ["linear", pytest.param("fine_tune", marks=pytest.mark.slow)])
def test_an_encoder_that_sees_the_finding_learns_it_from_few_labels(world, protocol, mode):
    images, splits = world

    found = dataclasses.replace(protocol, mode=mode).evaluate(TinyEncoder().eval(), images, splits, untrained=TinyEncoder(deaf=True).eval())

    for percent in (10, 100):
        auroc = found.metrics[f"label_efficiency_{mode}_{percent}_percent_auroc"]
        assert auroc["value"] > 0.95
        assert auroc["untrained"]["value"] == 0.5
        assert auroc["difference"]["ci_low"] > 0
    assert found.metrics[f"label_efficiency_{mode}_100_percent_accuracy"]["value"] > 0.8
    assert f"label_efficiency_{mode}_100_percent_f1" in found.metrics
    assert found.protocol["mode"] == mode


def test_a_figure_is_the_mean_over_seeds(world, protocol):
    images, splits = world

    found = protocol.evaluate(TinyEncoder().eval(), images, splits)

    rows = found.tables["label_efficiency_scores"].query("share == 0.1")
    areas = [roc_auc_score(of_seed["truth"], of_seed["score"]) for _, of_seed in rows.groupby("seed")]
    right = [accuracy_score(of_seed["truth"], of_seed["score"] > 0) for _, of_seed in rows.groupby("seed")]
    assert found.metrics["label_efficiency_linear_10_percent_auroc"]["value"] == pytest.approx(np.mean(areas))
    assert found.metrics["label_efficiency_linear_10_percent_accuracy"]["value"] == pytest.approx(np.mean(right))
    assert len(found.tables["label_efficiency_scores"]) == 2 * 2 * 24


def test_subsets_are_whole_patients_and_nested(world, protocol):
    images, splits = world
    seen = {}

    class Probe(LinearProbe):
        def score(self, train, validation, test):
            seen[self.seed, len(train.studies)] = set(train.patients)
            return super().score(train, validation, test)

    probe = Probe(**{f.name: getattr(protocol.probe, f.name) for f in dataclasses.fields(protocol.probe) if f.init})
    found = dataclasses.replace(protocol, probe=probe, shares=(0.1, 0.5, 1.0)).evaluate(TinyEncoder().eval(), images, splits)

    for seed in (0, 1):
        assert len(seen[seed, 8]) == 4  # a tenth of 40 patients, two films each
        assert seen[seed, 8] < seen[seed, 40] < seen[seed, 80]
    assert seen[0, 8] != seen[1, 8]
    assert [(run["share"], run["seed"], run["studies"], run["patients"]) for run in found.protocol["runs"]][:2] == [
        (0.1, 0, 8, 4),
        (0.1, 1, 8, 4),
    ]


def test_the_split_is_named_by_who_is_in_it(world, protocol):
    images, splits = world
    moved = Splits(splits.train[1:], splits.validation, splits.test)

    first, second = (protocol.evaluate(TinyEncoder().eval(), images, s).protocol["split_fingerprints"] for s in (splits, moved))

    assert first["test"] == second["test"]
    assert first["train"] != second["train"]


def test_fine_tuning_leaves_the_encoder_as_it_was_and_repeats_itself(world, protocol):
    images, splits = world
    encoder, tuned = TinyEncoder().eval(), dataclasses.replace(protocol, mode="fine_tune", shares=(1.0,), seeds=(3,))
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}

    first, second = (tuned.evaluate(encoder, images, splits).tables["label_efficiency_scores"] for _ in range(2))

    assert first.equals(second)
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())
    assert not encoder.training


@pytest.mark.slow
def test_fine_tuning_may_augment(world, protocol):
    images, splits = world
    plain = dataclasses.replace(protocol, mode="fine_tune", shares=(1.0,), seeds=(3,))
    drawn = dataclasses.replace(plain, fine_tuning=dataclasses.replace(plain.fine_tuning, augmentation=Augmentation()))

    scores = [p.evaluate(TinyEncoder().eval(), images, splits).tables["label_efficiency_scores"]["score"] for p in (plain, drawn, drawn)]

    assert not np.allclose(scores[0], scores[1])
    assert scores[1].equals(scores[2])


def test_unknown_labels_do_not_train(world, protocol):
    images, splits = world
    unlabelled = [dataclasses.replace(s, labels={"rsna_pneumonia": {"Lung Opacity": "uncertain"}}) for s in splits.train[:40]]
    half = Splits([*unlabelled, *splits.train[40:]], splits.validation, splits.test)

    found = dataclasses.replace(protocol, mode="fine_tune", shares=(1.0,), seeds=(0,)).evaluate(TinyEncoder().eval(), images, half)

    assert found.metrics["label_efficiency_fine_tune_100_percent_auroc"]["value"] > 0.95


@pytest.mark.slow
def test_the_image_side_of_an_image_text_model_can_be_tuned(world, protocol):
    images, splits = world
    torch.manual_seed(0)
    image = BioVilImageModel(SmallResNet((4, 4, 8, 8)), projection_size=8)
    model = ImageTextModel(image, CxrBert(64, width=8, layers=1, heads=1, feed_forward=8, max_length=8, projection_size=8)).eval()
    model.set_tokenizer(train_wordpiece(["no pneumonia"], 64))
    task = dataclasses.replace(protocol.probe.task, encoding=Encoding(crop=32))
    tuned = dataclasses.replace(protocol, probe=dataclasses.replace(protocol.probe, task=task), mode="fine_tune", shares=(1.0,), seeds=(0,))

    found = tuned.evaluate(model, images, splits)

    assert found.metrics["label_efficiency_fine_tune_100_percent_auroc"]["value"] > 0.9
    assert found.protocol["fine_tune"]["steps"] == 20


@pytest.mark.parametrize("wrong", [{"shares": ()}, {"shares": (0,)}, {"shares": (1.5,)}, {"seeds": ()}])
def test_shares_and_seeds_must_be_some(protocol, wrong):
    with pytest.raises(NoSubsets, match="above 0 and up to 1"):
        dataclasses.replace(protocol, **wrong)


def test_wrong_inputs_are_named(world, protocol):
    images, splits = world

    with pytest.raises(InvalidSubset, match="nobody"):
        dataclasses.replace(protocol, shares=(0.001,)).evaluate(TinyEncoder().eval(), images, splits)
    with pytest.raises(NotTrainable, match="no torch module"):
        dataclasses.replace(protocol, mode="fine_tune").evaluate(SimpleNamespace(), images, splits)
    with pytest.raises(ValueError, match="training mode"):
        dataclasses.replace(protocol, mode="fine_tune").evaluate(TinyEncoder(), images, splits)
    with pytest.raises(NothingToProbe, match="no test study"):
        protocol.evaluate(TinyEncoder().eval(), images, Splits(splits.train, splits.validation, []))
