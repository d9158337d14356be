"""Rows of images with reports and with labels as text: what they say and whose positives they are."""

import dataclasses

import pytest
from cohort import write_cohort

from medvl.data.label_samples import ImageTextLabelSamples
from medvl.data.prepare import prepare
from medvl.data.prepared import PreparedDataset
from medvl.data.sampler import SampleIndex
from medvl.data.samples import Crop
from medvl.data.subsets import PatientSubset
from medvl.data.transforms import Augmentation

CROP = Crop(16)
LABELS = [
    {"Edema": "positive", "Cardiomegaly": "positive", "Fracture": "negative"},
    {"Cardiomegaly": "positive", "Edema": "positive"},
    {"No Finding": "positive"},
    {"Edema": "uncertain", "Fracture": "negative"},
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    studies = [
        dataclasses.replace(study, labels={"chexpert": LABELS[i]} if i < len(LABELS) else {}, split="train" if i < 6 else "test")
        for i, study in enumerate(write_cohort(root / "images", patients=4))
    ]
    prepare(studies, root / "out", inputs={}, image_size=16, progress=False)
    return PreparedDataset(root / "out")


def rows(prepared, **options):
    return list(ImageTextLabelSamples(prepared, crop=CROP, split="train", **options))


def test_each_report_is_alone_with_its_label_and_equal_findings_share_theirs(prepared):
    samples = rows(prepared)

    reports, classes = samples[:6], samples[6:]
    assert len({s["label"] for s in reports}) == 6
    assert [s["study_id"] for s in classes] == ["s0000", "s0001", "s0010"]
    assert classes[0]["label"] == classes[1]["label"] != classes[2]["label"]
    assert not {s["label"] for s in reports} & {s["label"] for s in classes}


def test_a_prompt_says_the_positive_findings_in_alphabetical_order(prepared):
    classes = rows(prepared, prompt="{findings} on the film")[6:]

    assert [s["text"] for s in classes] == ["cardiomegaly, edema on the film"] * 2 + ["no finding on the film"]


def test_without_a_source_there_are_reports_only(prepared):
    samples = rows(prepared, labels=None)

    assert len(samples) == 6
    assert samples[0]["text"].startswith("Heart 0000 is normal.")
    assert samples[0]["label"] == "study/s0000"


def test_the_texts_are_those_of_the_samples(prepared):
    samples = ImageTextLabelSamples(prepared, crop=CROP, split="train")

    assert list(samples.texts()) == [samples[i]["text"] for i in range(len(samples))]


def test_a_subset_of_patients_loses_both_kinds_of_rows(prepared):
    subset = PatientSubset(0.34).of(prepared, "train")

    samples = rows(subset)

    assert {s["patient_id"] for s in samples} == subset.chosen
    assert len(subset.chosen) == 1


def test_draws_are_a_function_of_the_epoch(prepared):
    samples = ImageTextLabelSamples(prepared, crop=CROP, split="train", augmentation=Augmentation(brightness=0.3))

    first, again, later = (samples[SampleIndex(epoch, 7)] for epoch in (0, 0, 1))

    assert first["image"].equal(again["image"])
    assert not first["image"].equal(later["image"])
    assert later["text"] == first["text"]
