from datetime import datetime

import pytest

from medvl.data.mimic_iv import with_patients
from medvl.records import Study
from medvl.runtime.errors import InvalidValue, MissingColumns, MissingFile

HEADER = "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod"


def release(tmp_path, *rows, header=HEADER):
    (tmp_path / "hosp").mkdir()
    (tmp_path / "hosp" / "patients.csv").write_text("\n".join([header, *rows]) + "\n")
    return tmp_path


def study(patient, year=2183, **known):
    return Study("mimic_cxr", patient, f"s{patient}", time=datetime(year, 5, 6), **known)


def test_age_moves_with_the_years_since_the_anchor(tmp_path):
    root = release(tmp_path, "10000032,F,52,2180,2014 - 2016,2180-09-09")

    (found,) = with_patients([study("10000032", 2183)], root)

    assert (found.sex, found.age) == ("F", 55.0)


def test_a_patient_without_a_row_stays_as_it_is(tmp_path):
    root = release(tmp_path, "10000032,F,52,2180,2014 - 2016,")

    assert list(with_patients([study("19999999")], root)) == [study("19999999")]


def test_what_a_study_already_says_stays(tmp_path):
    root = release(tmp_path, "10000032,F,52,2180,2014 - 2016,")

    (found,) = with_patients([study("10000032", sex="M", age=40.0)], root)

    assert (found.sex, found.age) == ("M", 40.0)


def test_a_study_without_a_time_has_no_age(tmp_path):
    root = release(tmp_path, "10000032,F,52,2180,2014 - 2016,")

    (found,) = with_patients([Study("mimic_cxr", "10000032", "s1")], root)

    assert (found.sex, found.age) == ("F", None)


def test_a_missing_table_column_or_number_is_named(tmp_path):
    with pytest.raises(MissingFile, match=r"patients\.csv"):
        list(with_patients([], tmp_path))
    with pytest.raises(MissingColumns, match="anchor_year"):
        list(with_patients([], release(tmp_path, "1,F,5", header="subject_id,gender,anchor_age")))
    (tmp_path / "hosp" / "patients.csv").write_text(f"{HEADER}\n1,F,old,2180,,\n")
    with pytest.raises(InvalidValue, match="row 2"):
        list(with_patients([], tmp_path))
