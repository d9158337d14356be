"""Tables, archives and parts."""

import gzip
import zipfile

import pytest

from medvl.phantom.export.tables import Parts, write_csv, write_part, write_zip


def test_a_gzipped_table_carries_no_time_and_no_name(tmp_path):
    write_csv(tmp_path / "one.csv.gz", ("a", "b"), [{"a": 1, "b": None}, {"b": "x,y"}])
    write_csv(tmp_path / "two.csv.gz", ("a", "b"), [{"a": 1, "b": None}, {"b": "x,y"}])

    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "one.csv.gz").read_bytes()) == b'a,b\n1,\n,"x,y"\n'


def test_a_value_without_a_column_is_an_error_and_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="typo"):
        write_csv(tmp_path / "t.csv", ("a",), [{"typo": 1}])

    assert list(tmp_path.iterdir()) == []


def test_an_archive_has_the_same_bytes_every_time(tmp_path):
    for name in ("one.zip", "two.zip"):
        write_zip(tmp_path / name, [("a.txt", b"text")])

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert zipfile.ZipFile(tmp_path / "one.zip").read("a.txt") == b"text"


def test_rows_come_back_by_layout_and_table_in_the_order_of_the_parts(tmp_path):
    write_part(tmp_path / "1", {"x": {"t": [{"n": 1}], "u": [{"n": 9}]}, "y": {"t": [{"n": 8}]}})
    write_part(tmp_path / "2", {"x": {"t": [{"n": 2}, {"n": 3}]}})

    rows = Parts("x", [tmp_path / "1", tmp_path / "2"]).rows("t")

    assert [row["n"] for row in rows] == [1, 2, 3]
