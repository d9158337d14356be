"""Ages as releases spell them."""

import pytest

from medvl.data.ages import parse_age


@pytest.mark.parametrize(
    ("text", "years"),
    [("061Y", 61), ("43", 43), ("058", 58), ("007M", 0), ("010D", 0), ("", None), (None, None), ("413", None), ("0", 0), (" 5Y", 5)],
)
def test_ages_are_years_or_unknown(text, years):
    assert parse_age(text) == years


def test_what_is_no_age_is_refused():
    with pytest.raises(ValueError, match="ABC"):
        parse_age("abc")
