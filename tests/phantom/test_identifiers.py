import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvl.phantom.identifiers import PATIENTS, patient_id, permuted, study_id, view_id


def test_patient_and_study_numbers_follow_the_grammar_and_never_meet():
    patients = [patient_id(3, i) for i in range(5000)]
    studies = [study_id(3, i, visit) for i in range(1000) for visit in range(5)]

    assert all(re.fullmatch(r"1\d{7}", name) for name in patients)
    assert all(re.fullmatch(r"5\d{7}", name) for name in studies)
    assert len(set(patients)) == len(patients)
    assert len(set(studies)) == len(studies)


def test_a_view_is_five_groups_of_eight_hexadecimal_digits():
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}", view_id(3, 1, 2, 0))
    assert len({view_id(3, 1, visit, film) for visit in range(5) for film in range(3)}) == 15


def test_another_seed_gives_other_numbers():
    assert patient_id(3, 0) != patient_id(4, 0)


@given(st.integers(1, 300), st.integers())
def test_a_permutation_of_any_range_meets_every_number_once(size, key):
    assert sorted(permuted(i, size, key) for i in range(size)) == list(range(size))


@pytest.mark.parametrize("index", [-1, PATIENTS])
def test_a_patient_beyond_the_range_is_refused(index):
    with pytest.raises(ValueError, match=str(index)):
        patient_id(0, index)
