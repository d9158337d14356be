"""SIIM-ACR Pneumothorax: masks as run lengths."""

import pytest
from films import write_film
from pydicom.config import disable_value_validation

from medvl.data import siim_ptx
from medvl.runtime.errors import InvalidValue, MissingColumns, MissingFile

TABLE = "ImageId, EncodedPixels\n1.2, 0 2 3 1\n1.2, 1024 1\n1.3, -1\n"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "train-rle.csv").write_text(TABLE)
    for name, study in (("1.2", "dicom-images-train/1/2"), ("1.9", "dicom-images-test/3/4")):
        (tmp_path / study).mkdir(parents=True)
        with disable_value_validation():  # as released: the age has no unit
            write_film(tmp_path / study / f"{name}.dcm", PatientSex="M", PatientAge="61", ViewPosition="PA")
    return tmp_path


def test_every_labelled_film_has_a_label_and_a_mask(root):
    ill, well = siim_ptx.read_studies(root)

    assert ill.labels == {"siim_ptx": {"Pneumothorax": "positive"}}
    assert well.labels == {"siim_ptx": {"Pneumothorax": "negative"}}
    assert ill.masks == {"pneumothorax": f"{root / 'train-rle.csv'}#1.2"}
    assert (ill.sex, ill.age, ill.views[0].projection) == ("M", 61, "PA")
    assert ill.views[0].path == str(root / "dicom-images-train/1/2/1.2.dcm")
    assert well.views[0].path is None


def test_masks_are_column_major_on_the_grid_and_lesions_are_united(root):
    ill, well = siim_ptx.read_studies(root)
    masks = dict(siim_ptx.read_study_masks([ill, well]))

    pixels = {(int(y), int(x)) for y, x in zip(*masks["1.2"]["pneumothorax"].nonzero(), strict=True)}
    assert pixels == {(0, 0), (1, 0), (5, 0), (0, 1)}
    assert masks["1.3"]["pneumothorax"].shape == (1024, 1024)
    assert not masks["1.3"]["pneumothorax"].any()


def test_films_without_a_row_are_unlabelled(root):
    studies = list(siim_ptx.read_studies(root, with_unlabelled=True))

    assert [(s.study_id, s.split) for s in studies[2:]] == [("1.9", "unlabelled")]
    assert studies[2].labels == {}
    assert studies[2].masks == {}
    assert studies[2].privacy == "local_only"


def test_the_table_of_stage_2_serves_as_well(tmp_path):
    (tmp_path / "stage_2_train.csv").write_text("ImageId,EncodedPixels\n1.2,0 2\n")

    assert [s.labels["siim_ptx"]["Pneumothorax"] for s in siim_ptx.read_studies(tmp_path)] == ["positive"]


def test_what_is_missing_or_damaged_is_named(tmp_path):
    with pytest.raises(MissingFile, match="train-rle"):
        list(siim_ptx.read_studies(tmp_path))

    (tmp_path / "train-rle.csv").write_text("ImageId,Pixels\n1.2,0 2\n")
    with pytest.raises(MissingColumns, match="EncodedPixels"):
        list(siim_ptx.read_studies(tmp_path))

    (tmp_path / "train-rle.csv").write_text("ImageId, EncodedPixels\n, 0 2\n")
    with pytest.raises(InvalidValue, match="row 2: has no ImageId"):
        list(siim_ptx.read_studies(tmp_path))
