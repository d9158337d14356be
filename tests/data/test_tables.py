"""Tables are found under all their names, keep every value a string, and say in one line what is wrong."""

import gzip
import zipfile

import pytest

from medvl.data.tables import find_table, read_table
from medvl.runtime.errors import InvalidValue, MissingColumns


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.zip"])
def test_plain_gzip_and_zip_tables_read_alike(tmp_path, suffix):
    path = tmp_path / f"list{suffix}"
    content = "study_id,subject_id\n50000001,10000001\n"
    if suffix == ".csv.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("list.csv", content)
    else:
        path.write_bytes(gzip.compress(content.encode()) if suffix == ".csv.gz" else content.encode())

    found = find_table(tmp_path, "list")
    assert found == path
    assert read_table(found, ["subject_id", "study_id"]).to_pylist() == [{"subject_id": "10000001", "study_id": "50000001"}]


def test_values_stay_strings_and_empty_ones_are_none(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('\ufeffid,number, spaced,text\n007,1.0,x,"a\nb"\n123456789012345678901234567890123456789,,"",c\n', "utf-8")

    rows = read_table(path, ["id", "number", "spaced", "text"]).to_pylist()

    assert rows[0] == {"id": "007", "number": "1.0", "spaced": "x", "text": "a\nb"}
    assert rows[1] == {"id": "123456789012345678901234567890123456789", "number": None, "spaced": None, "text": "c"}


def test_missing_columns_are_all_named_with_the_file_and_unknown_ones_ignored(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,other\n1,2\n")

    with pytest.raises(MissingColumns, match=r"t\.csv has no column 'split', 'view' \(found: id, other\)"):
        read_table(path, ["id", "split", "view"])
    assert read_table(path, ["id"], optional=["split"]).to_pylist() == [{"id": "1", "split": None}]


def test_the_last_version_of_a_table_is_taken(tmp_path):
    for version in ("1.0.0", "1.1.0", "0.1"):
        (tmp_path / f"boxes_v{version}.csv").write_text("a\n1\n")

    assert find_table(tmp_path, "boxes_v*") == tmp_path / "boxes_v1.1.0.csv"
    assert find_table(tmp_path, "absent") is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv.gz", b"not gzip"),
        ("t.csv.gz", gzip.compress(b"id\n1\n" * 9, mtime=0)[:-9]),
        ("t.csv.zip", b"not zip"),
        ("t.csv", b"id,x\n1,2\n1,2,3\n"),
        ("t.csv", b"id\n\xff\xfe\n"),
        ("t.csv", b'id,"x\n1",2\n'),
    ],
)
def test_a_damaged_table_is_named_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InvalidValue, match=r"^\S+t\.csv\S*, table: .+$"):
        read_table(tmp_path / name, ["id"])


def test_a_table_without_rows_is_empty(tmp_path):
    (tmp_path / "t.csv").write_text("id,x\n")

    assert read_table(tmp_path / "t.csv", ["id"]).to_pylist() == []
