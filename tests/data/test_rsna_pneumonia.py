"""RSNA Pneumonia: boxes of opacities and three classes."""

import hashlib

import pytest
from films import write_film
from layouts import write_csv
from pydicom.config import disable_value_validation
from sklearn.model_selection import train_test_split

from medvl.data import rsna_pneumonia
from medvl.records import Box
from medvl.runtime.errors import InvalidBox, InvalidValue, MissingColumns, MissingFile

BOX = {"patientId": "a", "x": "512.0", "y": "256.0", "width": "256.0", "height": "512.0", "Target": 1}
NONE = {"x": "", "y": "", "width": "", "height": "", "Target": 0}
OPACITY, ABNORMAL, NORMAL = rsna_pneumonia.CLASSES


def write(root, boxes, classes):
    write_csv(root / "stage_2_train_labels.csv", boxes)
    write_csv(root / "stage_2_detailed_class_info.csv", [{"patientId": name, "class": value} for name, value in classes])


def read(root, **options):
    return list(rsna_pneumonia.read_studies(root, **options))


def test_a_films_boxes_are_one_phrase_normalised_by_the_grid(tmp_path):
    write(tmp_path, [BOX, BOX | {"x": "0"}, NONE | {"patientId": "b"}], [("a", OPACITY), ("a", OPACITY), ("b", NORMAL)])

    first, second = read(tmp_path)

    (phrase,) = first.phrases
    assert phrase.boxes == (Box(0.5, 0.25, 0.75, 0.75), Box(0, 0.25, 0.25, 0.75))
    assert (phrase.text, phrase.polarity, phrase.view_id) == (OPACITY, "positive", "a")
    assert first.labels == {"rsna_pneumonia": {OPACITY: "positive", ABNORMAL: "negative", NORMAL: "negative"}}
    assert second.phrases == ()
    assert second.labels["rsna_pneumonia"][NORMAL] == "positive"


def test_sex_age_and_projection_come_from_the_header(tmp_path):
    write(tmp_path, [BOX], [("a", OPACITY)])
    (tmp_path / rsna_pneumonia.TRAIN).mkdir()
    with disable_value_validation():  # as released: the age has no unit
        film = write_film(tmp_path / rsna_pneumonia.TRAIN / "a.dcm", PatientSex="F", PatientAge="43", ViewPosition="AP")

    (study,) = read(tmp_path)
    (bare,) = read(tmp_path, with_headers=False)

    assert (study.sex, study.age, study.views[0].projection, study.views[0].path) == ("F", 43, "AP", str(film))
    assert (bare.sex, bare.age, bare.views[0].projection, bare.views[0].path) == (None, None, None, str(film))


def test_unlabelled_films_come_when_asked_for(tmp_path):
    write(tmp_path, [BOX], [("a", OPACITY)])
    (tmp_path / rsna_pneumonia.TEST).mkdir()
    write_film(tmp_path / rsna_pneumonia.TEST / "z.dcm")

    assert [s.study_id for s in read(tmp_path)] == ["a"]
    assert [(s.study_id, s.split, dict(s.labels)) for s in read(tmp_path, with_unlabelled=True)][1:] == [("z", "unlabelled", {})]


@pytest.mark.parametrize(
    ("boxes", "classes", "message"),
    [
        ([BOX], [("a", NORMAL)], "its class is 'Normal', but it has 1 boxes"),
        ([NONE | {"patientId": "a"}], [("a", OPACITY)], "has 0 boxes"),
        ([BOX | {"Target": 0}], [("a", OPACITY)], "row 2: a row needs"),
        ([BOX | {"x": ""}], [("a", OPACITY)], "row 2: a row needs"),
        ([BOX], [("a", "Opacity")], "'Opacity' is not one of"),
        ([BOX], [("a", OPACITY), ("a", NORMAL)], "row 3: a has two classes"),
        ([BOX], [("b", OPACITY)], "patientId a: has no 'a'"),
    ],
)
def test_tables_that_contradict_one_another_are_named(tmp_path, boxes, classes, message):
    write(tmp_path, boxes, classes)

    with pytest.raises(InvalidValue, match=message):
        read(tmp_path)


def test_a_box_outside_its_film_is_named(tmp_path):
    write(tmp_path, [BOX | {"width": "600"}], [("a", OPACITY)])

    with pytest.raises(InvalidBox, match="row 2"):
        read(tmp_path)


def test_missing_tables_and_columns_are_named(tmp_path):
    with pytest.raises(MissingFile, match="stage_2_detailed_class_info"):
        read(tmp_path)

    write(tmp_path, [BOX], [("a", OPACITY)])
    write_csv(tmp_path / "stage_2_train_labels.csv", [{"patientId": "a"}])
    with pytest.raises(MissingColumns, match="'x', 'y', 'width', 'height', 'Target'"):
        read(tmp_path)


@pytest.mark.parametrize("count", [7, 100, 26_684])
def test_the_split_of_gloria_is_the_one_that_scikit_learn_draws(count):
    ids = sorted(hashlib.sha256(str(number).encode()).hexdigest() for number in range(count))
    _, held_out = train_test_split(ids, test_size=0.3, random_state=0)
    test, validation = train_test_split(held_out, test_size=0.5, random_state=0)

    found = rsna_pneumonia.gloria_split(reversed(ids))

    assert {name for name, split in found.items() if split == "validate"} == set(validation)
    assert {name for name, split in found.items() if split == "test"} == set(test)
    assert len(found) == count


def test_the_split_is_chosen_by_name(tmp_path):
    films = [NONE | {"patientId": f"{number:02d}"} for number in range(20)]
    write(tmp_path, films, [(film["patientId"], NORMAL) for film in films])

    splits = {s.study_id: s.split for s in read(tmp_path, split="gloria", with_headers=False)}

    assert splits == rsna_pneumonia.gloria_split(splits)
    assert sorted(splits.values()) == ["test"] * 3 + ["train"] * 14 + ["validate"] * 3
