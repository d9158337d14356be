"""Nested subsets of training patients: part of each other, functions of the seed, and of the training split alone."""

import pickle
from collections import Counter

import pytest
from cohort import write_cohort
from hypothesis import given
from hypothesis import strategies as st

from medvl.data.module import RadiographDataModule
from medvl.data.prepare import prepare
from medvl.data.prepared import PreparedDataset
from medvl.data.samples import Crop, ImageSamples
from medvl.data.subsets import InvalidSubset, PatientSubset

STUDIES = Counter({f"p{number}": 1 + number % 3 for number in range(40)})
SIZES = st.one_of(st.floats(0.02, 1.0), st.integers(4, 200))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    prepare(write_cohort(root / "images"), root / "out", inputs={}, image_size=16, progress=False)
    return root / "out"


def patients_of(samples):
    return {samples._patient_ids[row] for row, _ in samples.items}


@given(SIZES, SIZES, st.integers(0, 5))
def test_of_two_subsets_one_holds_the_other(first, second, seed):
    smaller, larger = sorted((PatientSubset(size, seed).patients(STUDIES) for size in (first, second)), key=len)

    assert smaller <= larger


@given(st.integers(4, 200))
def test_a_number_of_studies_is_filled_and_not_exceeded(size):
    chosen = PatientSubset(size).patients(STUDIES)

    taken = sum(STUDIES[patient] for patient in chosen)
    assert taken <= size
    assert taken > size - max(STUDIES.values()) or chosen == set(STUDIES)


def test_a_share_is_of_the_patients_and_more_than_there_is_means_all():
    assert len(PatientSubset(0.25).patients(STUDIES)) == 10
    assert PatientSubset(1.0).patients(STUDIES) == PatientSubset(3_500_000).patients(STUDIES) == set(STUDIES)


def test_another_seed_chooses_others_and_a_new_patient_moves_nobody():
    chosen = PatientSubset(0.5, seed=1).patients(STUDIES)

    assert PatientSubset(0.5, seed=2).patients(STUDIES) != chosen
    grown = PatientSubset(0.5, seed=1).patients(STUDIES + Counter({"new 1": 1, "new 2": 1}))
    assert len(chosen - grown) <= 1


@pytest.mark.parametrize("size", [0, -3, 0.001])
def test_nobody_is_no_subset(size):
    with pytest.raises(InvalidSubset):
        PatientSubset(size).patients(STUDIES)


def test_only_the_named_split_loses_patients(folder):
    whole, subset = PreparedDataset(folder), PatientSubset(0.5).of(PreparedDataset(folder), "train")

    train = ImageSamples(subset, crop=Crop(16), split="train")

    assert patients_of(train) == subset.chosen < patients_of(ImageSamples(whole, crop=Crop(16), split="train"))
    for split in ("validate", "test"):
        assert ImageSamples(subset, crop=Crop(16), split=split).items == ImageSamples(whole, crop=Crop(16), split=split).items


def test_a_subset_travels_to_a_loading_process(folder):
    subset = PatientSubset(0.5, seed=3).of(PreparedDataset(folder), "train")

    travelled = pickle.loads(pickle.dumps(subset))

    assert travelled.chosen == subset.chosen
    assert travelled.column("split") == subset.column("split")


def test_the_data_module_trains_on_the_subset_and_validates_on_everything(folder):
    options = {"folder": folder, "samples": ImageSamples, "batch_size": 2, "crop": 16}

    part, whole = RadiographDataModule(**options, patients=PatientSubset(0.5)), RadiographDataModule(**options)

    assert patients_of(part.samples("train")) < patients_of(whole.samples("train"))
    assert part.samples("validate").items == whole.samples("validate").items
