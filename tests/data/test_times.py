"""Times as the releases write them."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvl.data.times import parse_time


@given(st.datetimes(min_value=datetime(2100, 1, 1), max_value=datetime(2210, 1, 1)))
def test_a_float_that_lost_its_zeros_gives_the_time_back(time):
    time = time.replace(microsecond=time.microsecond // 1000 * 1000)

    assert parse_time(f"{time:%Y%m%d}", str(float(f"{time:%H%M%S.%f}"))) == time


def test_a_date_alone_is_midnight_and_a_time_alone_nothing():
    assert parse_time("21800506", None) == datetime(2180, 5, 6)
    assert parse_time(None, "63014.0") is None


@pytest.mark.parametrize(("date", "time"), [("218005", "0"), ("21801306", "0"), ("21800506", "250000"), ("21800506", "1e5"), ("x", "y")])
def test_what_is_no_time_is_refused(date, time):
    with pytest.raises(ValueError):
        parse_time(date, time)
