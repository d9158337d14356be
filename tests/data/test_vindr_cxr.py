"""VinDr-CXR: boxes and labels of three readers, or of a consensus."""

import pytest
from films import write_film
from layouts import write_csv

from medvl.data import vindr_cxr
from medvl.records import Box
from medvl.runtime.errors import InvalidBox, InvalidValue, MissingColumns, MissingFile, UserError

BOX = {"image_id": "a", "rad_id": "R1", "class_name": "Nodule/Mass", "x_min": "12", "y_min": "10", "x_max": "24.0", "y_max": "20"}
EMPTY = dict.fromkeys(("x_min", "y_min", "x_max", "y_max"), "")
NOTHING = {"class_name": "No finding", **EMPTY}


def labels(image, reader, *, nodule=0, effusion=0, other=0):
    nothing = int(not (nodule or effusion or other))
    values = {"Nodule/Mass": nodule, "Pleural effusion": effusion, "Other diseases": other, "No finding": nothing}
    return {"image_id": image, "rad_id": reader} | values


@pytest.fixture
def root(tmp_path):
    """One training film of 40×48 pixels that two of three readers mark, one test film that nobody marks."""
    folder = tmp_path / "annotations"
    other = BOX | {"rad_id": "R2", "x_min": "0", "y_min": "0"}
    write_csv(folder / "annotations_train.csv", [BOX, other, {"image_id": "a", "rad_id": "R3", **NOTHING}])
    readers = [labels("a", "R1", nodule=1, effusion=1), labels("a", "R2", nodule=1), labels("a", "R3")]
    write_csv(folder / "image_labels_train.csv", readers)
    write_csv(folder / "annotations_test.csv", [{"image_id": "b", **NOTHING}])
    write_csv(folder / "image_labels_test.csv", [{"image_id": "b", "Nodule/Mass": 0, "Other disease": 1, "No finding": 0}])
    (tmp_path / "train").mkdir()
    write_film(tmp_path / "train" / "a.dicom", ViewPosition="", PatientSex="M", PatientAge="058Y")
    return tmp_path


def read(root, **options):
    return list(vindr_cxr.read_studies(root, **options))


def test_a_findings_boxes_are_those_of_all_readers_normalised_by_the_film(root):
    (phrase,) = read(root)[0].phrases

    first, second = Box(0.25, 0.25, 0.5, 0.5), Box(0, 0, 0.5, 0.5)
    assert phrase.boxes == (first, second)
    assert phrase.boxes_by_reader == {"R1": (first,), "R2": (second,)}
    assert (phrase.text, phrase.labels, phrase.view_id) == ("Nodule/Mass", ("Nodule/Mass",), "a")


def test_labels_are_the_readers_majority_and_each_readers_own(root):
    study = read(root)[0]

    expected = {"Nodule/Mass": "positive", "Pleural effusion": "negative", "Other diseases": "negative", "No finding": "negative"}
    assert study.labels["vindr_cxr"] == expected
    assert study.labels["vindr_cxr_R1"]["Pleural effusion"] == "positive"
    assert study.labels["vindr_cxr_R3"]["No finding"] == "positive"
    assert list(study.labels) == ["vindr_cxr", "vindr_cxr_R1", "vindr_cxr_R2", "vindr_cxr_R3"]


def test_the_test_sets_consensus_spells_other_diseases_as_the_training_table(root):
    study = read(root)[1]

    assert study.labels == {"vindr_cxr": {"Nodule/Mass": "negative", "Other diseases": "positive", "No finding": "negative"}}
    assert (study.split, study.phrases, study.views[0].path) == ("test", (), None)


def test_the_view_is_pa_and_the_header_tells_the_rest(root):
    study = read(root, shares={"train": 1.0})[0]

    view = study.views[0]
    assert (view.projection, view.height, view.width, view.bits) == ("PA", 40, 48, 12)
    assert (study.sex, study.age, study.split) == ("M", 58, "train")


def test_boxes_of_a_film_that_is_missing_are_an_error(root):
    (root / "train" / "a.dicom").unlink()

    with pytest.raises(UserError, match=r"annotations_train\.csv, row 2: .* film a is missing"):
        read(root)


@pytest.mark.parametrize("corners", [{"x_max": "60"}, {"x_max": "3"}])
def test_a_box_outside_its_film_or_inside_out_is_named(root, corners):
    write_csv(root / "annotations" / "annotations_train.csv", [BOX | corners])

    with pytest.raises(InvalidBox, match=r"annotations_train\.csv, row 2"):
        read(root)


def test_labels_and_corners_that_are_no_numbers_are_named(root):
    write_csv(root / "annotations" / "annotations_train.csv", [BOX | {"x_min": ""}])
    with pytest.raises(InvalidValue, match=r"annotations_train\.csv, row 2"):
        read(root)

    write_csv(root / "annotations" / "image_labels_train.csv", [labels("a", "R1", nodule=2)])
    with pytest.raises(InvalidValue, match="row 2: 'Nodule/Mass' is '2', neither 0 nor 1"):
        read(root)


def test_missing_tables_and_columns_are_named(root):
    write_csv(root / "annotations" / "annotations_test.csv", [{"image_id": "b"}])
    with pytest.raises(MissingColumns, match="'class_name', 'x_min'"):
        read(root)

    (root / "annotations" / "image_labels_test.csv").unlink()
    with pytest.raises(MissingFile, match="image_labels_test"):
        read(root)
