"""A header's values reach no log and no warning."""

import logging

import pytest
from films import write_film

from medvl.data.mimic_cxr_headers import read_header


@pytest.fixture
def odd_film(tmp_path):
    """A film whose character set is none, so that pydicom remarks on it."""
    path = write_film(tmp_path / "x.dcm", SpecificCharacterSet="ISO_IR 100", Manufacturer="maker")
    path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"SECRET_SET"))
    return str(path)


def test_an_odd_value_is_quoted_neither_in_a_warning_nor_in_a_log(odd_film, caplog, recwarn):
    caplog.set_level(logging.DEBUG)

    header = read_header(odd_film, "a")

    assert (header.view.projection, header.view.device) == ("PA", "maker")
    assert "SECRET" not in caplog.text
    assert not recwarn.list


def test_the_log_of_pydicom_is_as_before_afterwards(odd_film):
    before = logging.getLogger("pydicom").level

    read_header(odd_film, "a")

    assert logging.getLogger("pydicom").level == before
