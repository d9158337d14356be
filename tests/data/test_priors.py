"""The prior is the latest strictly earlier study with a frontal view."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from medvl.data.priors import with_priors
from medvl.records import Study, View

START = datetime(2180, 5, 6, 6, 30, 14)


def study(number, hours, *, projection="PA", prior=None):
    time = None if hours is None else START + timedelta(hours=hours)
    return Study("d", "p", f"5000000{number}", time, views=(View(f"v{number}", projection=projection),), prior_study_id=prior)


def priors(*studies):
    return {s.study_id[-1]: s.prior_study_id and s.prior_study_id[-1] for s in with_priors(studies)}


def test_a_larger_study_id_with_an_earlier_time_is_the_prior():
    assert priors(study(1, 5), study(9, 0)) == {"9": None, "1": "9"}


def test_equal_times_are_not_priors_of_each_other_and_share_their_prior():
    assert priors(study(1, 0), study(2, 5), study(3, 5), study(4, 6)) == {"1": None, "2": "1", "3": "1", "4": "3"}


def test_a_study_without_a_frontal_view_is_no_prior_but_has_one():
    assert priors(study(1, 0), study(2, 1, projection="LATERAL"), study(3, 2), study(4, 3, projection=None), study(5, 4)) == {
        "1": None,
        "2": "1",
        "3": "1",
        "4": "3",
        "5": "3",
    }


def test_a_prior_that_the_dataset_names_wins():
    assert priors(study(1, 0), study(2, 1), study(3, 2, prior="50000001"))["3"] == "1"


def test_studies_without_a_time_come_last_and_neither_have_nor_are_priors():
    linked = with_priors([study(1, None), study(2, 0), study(3, 1)])

    assert [s.study_id[-1] for s in linked] == ["2", "3", "1"]
    assert priors(study(1, None), study(2, 0), study(3, 1), study(4, None)) == {"2": None, "3": "2", "1": None, "4": None}


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["PA", "AP", "LL", None])), max_size=8))
def test_the_prior_agrees_with_its_definition(drawn):
    studies = [study(i, hours, projection=projection) for i, (hours, projection) in enumerate(drawn)]

    for s in with_priors(studies):
        before = [e for e in studies if e.time < s.time and e.frontal()]
        expected = max(before, key=lambda e: (e.time, e.study_id)).study_id if before else None
        assert s.prior_study_id == expected
