"""The probe during training: mean AUROC of frozen features on held-out patients, on films whose brightness is the finding."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cohort import make_study
from PIL import Image

from medvl.data.module import RadiographDataModule
from medvl.data.prepare import prepare
from medvl.data.samples import ImageSamples
from medvl.training.probe import FindingsProbe, NothingToProbe

CROP, PATIENTS = 8, 60
SPLITS = ("train", "train", "validate", "test")


def draw_film(path, *, bright, seed):
    """A noise picture of full range, bright or dark on the whole."""
    values = np.random.default_rng(seed).uniform(size=(40, 32)) ** (0.5 if bright else 2.0)
    values[0, 0], values[-1, -1] = 0, 1
    Image.fromarray(np.rint(values * 255).astype(np.uint8)).save(path)


def told(patient):
    """What the labels say: brightness, but doubtfully of every fifth; a mention of the bright alone; a coin; what all have."""
    bright = patient // 4 % 2 == 0
    values = {"Bright": "positive" if bright else "negative", "Everywhere": "positive"}
    if patient % 5 == 0:
        values["Bright"] = "uncertain"
    if bright:
        values["Mentioned"] = "positive"
    values["Coin"] = "positive" if np.random.default_rng(patient).integers(2) else "negative"
    return values


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    studies = [make_study(root / "images", patient, 0, lateral=False) for patient in range(PATIENTS)]
    studies = [replace(study, labels={"chexpert": told(i)}, split=SPLITS[i % len(SPLITS)]) for i, study in enumerate(studies)]
    for patient, study in enumerate(studies):
        doubtful = patient % 5 == 0  # whose film says the contrary
        draw_film(study.views[0].path, bright=(patient // 4 % 2 == 0) != doubtful, seed=patient)
    prepare(studies, root / "out", inputs={}, image_size=CROP, progress=False)
    return RadiographDataModule(folder=root / "out", samples=ImageSamples, batch_size=4, crop=CROP)


def brightness(images):
    return images.mean(dim=(1, 2, 3))[:, None].repeat(1, 2)


def nothing(images):
    return torch.ones(len(images), 2)


def score(batches, encode=brightness, **options):
    return FindingsProbe(**options).auroc(encode, batches, torch.device("cpu"))


def test_features_that_know_a_finding_score_one_and_those_that_do_not_a_half(batches):
    assert score(batches, findings=["Bright"]) == 1.0
    assert score(batches, nothing, findings=["Bright"]) == 0.5


def test_the_scale_and_offset_of_features_do_not_matter(batches):
    same = score(batches, lambda images: brightness(images) * 1000 - 7, findings=["Coin"])

    assert same == pytest.approx(score(batches, findings=["Coin"]))


def test_a_finding_that_is_not_mentioned_counts_as_absent(batches):
    # the doubtful films, whose brightness says the contrary, are not left out here
    assert 0.5 < score(batches, findings=["Mentioned"]) < 1.0


def test_the_score_is_the_mean_over_findings_with_both_labels(batches):
    each = [score(batches, findings=[name]) for name in ("Bright", "Mentioned", "Coin")]

    assert score(batches) == pytest.approx(np.mean(each))


def test_nothing_to_probe_says_what_to_do(batches):
    for options in ({"findings": ["Everywhere"]}, {"labels": "radiologists"}):
        with pytest.raises(NothingToProbe, match=r"training\.probe=null"):
            score(batches, **options)


def test_so_many_images_of_training_and_validation_are_embedded_in_batches(batches):
    seen = []

    def encode(images):
        assert images.shape[1:] == (1, CROP, CROP)
        assert 0 <= images.min() <= images.max() <= 1
        seen.append(len(images))
        return brightness(images)

    score(batches, encode, images=12, batch_size=5, findings=["Bright"])

    assert seen == [5, 5, 2] * 2
    seen.clear()
    score(batches, encode, batch_size=100)
    assert seen == [30, 15]  # and none of the 15 test films


def test_a_part_of_the_images_is_taken_evenly_over_their_order(batches):
    means = []

    def encode(images):
        means.extend(images.mean(dim=(1, 2, 3)).tolist())
        return brightness(images)

    score(batches, encode, findings=["Bright"])
    every = means[:30]
    means.clear()
    score(batches, encode, images=4, findings=["Coin"])

    assert means[:4] == [every[i] for i in (0, 9, 19, 29)]
