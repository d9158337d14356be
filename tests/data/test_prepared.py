import pickle

import numpy as np
import pytest
from cohort import write_cohort
from PIL import Image

from medvl.data.image_cache import to_cached
from medvl.data.prepare import prepare
from medvl.data.prepared import PreparedDataset
from medvl.records import Box
from medvl.runtime.errors import InvalidValue, MissingFile


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def folder(studies, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "out"
    prepare(studies, out, inputs={}, image_size=16, progress=False)
    return out


@pytest.fixture(scope="module")
def prepared(folder):
    return PreparedDataset(folder)


def test_studies_come_back_equal_but_for_the_size_learnt_from_the_image(prepared, studies):
    for before, after in zip(studies, prepared.studies, strict=True):
        assert (after.report, after.phrases, after.labels, after.time, after.split) == (
            before.report,
            before.phrases,
            before.labels,
            before.time,
            before.split,
        )
        assert [v.view_id for v in after.views] == [v.view_id for v in before.views]
        assert after.views[0].height == 40


def test_a_study_is_found_by_position_slice_and_identifier(prepared, studies):
    assert len(prepared) == len(prepared.studies) == len(studies)
    assert prepared.studies[-1].study_id == studies[-1].study_id
    assert [s.study_id for s in prepared.studies[2:4]] == [s.study_id for s in studies[2:4]]
    assert prepared.index(studies[7].study_id) == 7
    assert studies[7].study_id in prepared
    with pytest.raises(KeyError):
        prepared.index("absent")


def test_the_short_side_is_the_image_size_and_the_aspect_is_kept(prepared):
    assert prepared.image("frontal-0000").shape == (20, 16)
    assert prepared.image("lateral-0000").shape == (16, 16)


def test_images_are_read_only_views_of_the_mapped_file(prepared):
    image = prepared.image("frontal-0000")

    assert image.dtype == np.uint8
    assert not image.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0] = 1


def test_an_image_is_the_area_average_of_its_original(prepared, studies):
    original = np.asarray(Image.open(studies[0].views[0].path), np.float32) / 255

    mean = original.reshape(20, 2, 16, 2).mean((1, 3)) * 255

    assert np.abs(prepared.image(studies[0].views[0].view_id) - mean).max() <= 0.51


def test_enlarging_keeps_to_the_range_of_grey_levels():
    pixels = np.zeros((8, 8), np.float32)
    pixels[4:] = 1

    image = to_cached(pixels, 32)

    assert image.shape == (32, 32)
    assert (image.min(), image.max()) == (0, 255)


def test_an_item_is_a_study_and_its_images(prepared, studies):
    study, images = prepared[3]

    assert study.study_id == studies[3].study_id
    assert set(images) == {v.view_id for v in studies[3].views}


def test_the_frame_maps_the_original_to_the_cached_image(prepared):
    frame = prepared.frame("frontal-0000")

    assert (frame.source, frame.target) == ((40, 32), (20, 16))
    assert frame.box_to_target(Box(0, 0, 1, 1)) == Box(0, 0, 1, 1)


def test_the_frontal_in_use_is_that_of_the_record(prepared):
    assert list(prepared.frontals) == [s.frontal().view_id for s in prepared.studies]
    assert list(prepared.laterals) == [v.view_id if (v := s.lateral()) else None for s in prepared.studies]


def test_privacy_and_fingerprint_travel_with_the_folder(prepared):
    assert prepared.privacy == "public"
    assert len(prepared.fingerprint) == 64


def test_it_survives_pickling_for_worker_processes(prepared):
    again = pickle.loads(pickle.dumps(prepared))

    assert np.array_equal(again.image("frontal-0001"), prepared.image("frontal-0001"))


def test_a_folder_that_is_not_finished_is_not_opened(tmp_path):
    with pytest.raises(MissingFile, match="medvl prepare"):
        PreparedDataset(tmp_path)


def test_a_damaged_manifest_is_named(folder, tmp_path):
    (tmp_path / "fingerprint.json").write_bytes((folder / "fingerprint.json").read_bytes())
    (tmp_path / "manifest.parquet").write_bytes((folder / "manifest.parquet").read_bytes()[:-40])

    with pytest.raises(InvalidValue, match=r"manifest\.parquet"):
        PreparedDataset(tmp_path)


@pytest.mark.slow
def test_the_manifest_opens_with_hugging_face_datasets(folder, studies, tmp_path):
    from datasets import load_dataset

    rows = load_dataset("parquet", data_files=str(folder / "manifest.parquet"), split="train", cache_dir=str(tmp_path))

    assert rows["study_id"][:] == [s.study_id for s in studies]
    assert rows[0]["cache"][0]["view_id"] == "frontal-0000"
    assert rows[0]["report"]["sections"][1]["key"] == "findings"


def test_a_studys_prior_view_is_the_frontal_in_use_of_its_prior(prepared, studies):
    with_prior = next(s for s in studies if s.prior_study_id is not None)
    without = next(s for s in studies if s.prior_study_id is None)

    assert prepared.prior_view(with_prior.study_id) == prepared.frontals[prepared.index(with_prior.prior_study_id)]
    assert prepared.prior_view(without.study_id) is None
    assert prepared.prior_view("absent") is None
