"""CheXpert: labels, and identifiers that stand in paths."""

import pytest
from layouts import write_csv

from medvl.data import chexpert
from medvl.runtime.errors import InvalidValue, MissingColumns, MissingFile

ROW = {"Sex": "Female", "Age": 68, "Frontal/Lateral": "Frontal", "AP/PA": "AP", **dict.fromkeys(chexpert.FINDINGS, "")}


def path(patient=1, study=1, view="view1_frontal", *, part="train", edition="CheXpert-v1.0-small"):
    return f"{edition}/{part}/patient{patient:05d}/study{study}/{view}.jpg"


def read(root, **options):
    return list(chexpert.read_studies(root, **options))


def test_a_studys_films_are_its_views(tmp_path):
    lateral = ROW | {"Path": path(view="view2_lateral"), "Frontal/Lateral": "Lateral", "AP/PA": ""}
    write_csv(tmp_path / "train.csv", [ROW | {"Path": path()}, lateral, ROW | {"Path": path(study=2), "AP/PA": "PA"}])
    film = tmp_path / "train/patient00001/study1/view1_frontal.jpg"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"")

    first, second = read(tmp_path)

    assert (first.patient_id, first.study_id) == ("patient00001", "patient00001_study1")
    views = [(v.view_id, v.projection, v.path) for v in first.views]
    assert views == [("patient00001_study1_view1_frontal", "AP", str(film)), ("patient00001_study1_view2_lateral", "LATERAL", None)]
    assert (second.study_id, second.views[0].projection) == ("patient00001_study2", "PA")


def test_films_of_a_study_that_stand_apart_are_one_study(tmp_path):
    rows = [path(), path(2), path(view="view2_frontal")]
    write_csv(tmp_path / "train.csv", [ROW | {"Path": p} for p in rows])

    assert [(s.study_id, len(s.views)) for s in read(tmp_path)] == [("patient00001_study1", 2), ("patient00002_study1", 1)]


def test_labels_are_positive_negative_uncertain_or_absent(tmp_path):
    told = {"Edema": "1.0", "Pneumonia": "-1.0", "Fracture": "0.0"}
    write_csv(tmp_path / "train.csv", [ROW | told | {"Path": path()}])

    assert read(tmp_path)[0].labels == {"chexpert": {"Edema": "positive", "Pneumonia": "uncertain", "Fracture": "negative"}}


@pytest.mark.parametrize(("sex", "age", "expected"), [("Male", 90, ("M", 90)), ("Female", 18, ("F", 18)), ("Unknown", 0, (None, None))])
def test_unknown_sex_and_age_are_none(tmp_path, sex, age, expected):
    write_csv(tmp_path / "train.csv", [ROW | {"Path": path(), "Sex": sex, "Age": age}])

    (study,) = read(tmp_path)

    assert (study.sex, study.age) == expected


def test_the_tables_are_the_splits_and_some_training_patients_validate(tmp_path):
    write_csv(tmp_path / "train.csv", [ROW | {"Path": path(i, j)} for i in range(40) for j in (1, 2)])
    write_csv(tmp_path / "valid.csv", [ROW | {"Path": path(77, part="valid")}])
    write_csv(tmp_path / "test_labels.csv", [{"Path": path(88, part="test", edition="CheXpert"), **dict.fromkeys(chexpert.FINDINGS, 0)}])

    studies = read(tmp_path, shares={"train": 0.5, "validate": 0.5})

    splits = {s.patient_id: {t.split for t in studies if t.patient_id == s.patient_id} for s in studies}
    assert splits.pop("patient00077") == {"valid"}
    assert splits.pop("patient00088") == {"test"}
    assert all(len(names) == 1 for names in splits.values())
    assert set.union(*splits.values()) == {"train", "validate"}


def test_a_table_without_projections_knows_laterals_by_their_names(tmp_path):
    rows = [{"Path": path(view=v, part="test"), **dict.fromkeys(chexpert.FINDINGS, 0)} for v in ("view1_frontal", "view2_lateral")]
    write_csv(tmp_path / "test.csv", rows)

    assert [v.projection for v in read(tmp_path)[0].views] == [None, "LATERAL"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Path": "view1_frontal.jpg"}, "row 2: the Path"),
        ({"Edema": "2"}, "study patient00001_study1: 'Edema' is '2'"),
        ({"Age": "old"}, "study patient00001_study1: could not convert"),
    ],
)
def test_values_that_the_release_does_not_allow_are_named(tmp_path, change, message):
    write_csv(tmp_path / "train.csv", [ROW | {"Path": path()} | change])

    with pytest.raises(InvalidValue, match=message):
        read(tmp_path)


def test_films_of_a_study_that_disagree_are_named(tmp_path):
    write_csv(tmp_path / "train.csv", [ROW | {"Path": path()}, ROW | {"Path": path(view="view2_frontal"), "Edema": "1.0"}])

    with pytest.raises(InvalidValue, match="its films have different labels"):
        read(tmp_path)


def test_missing_tables_and_columns_are_named(tmp_path):
    with pytest.raises(MissingFile, match=r"train\.csv"):
        read(tmp_path)

    write_csv(tmp_path / "train.csv", [{"Path": path()}])
    with pytest.raises(MissingColumns, match="'No Finding'"):
        read(tmp_path)
