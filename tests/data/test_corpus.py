"""Documents come out of text files, JSON lines, tables and readers alike, and what is wrong is named."""

import gzip
import json
from functools import partial

import pytest

from medvl.data.corpus import read_documents, read_reports
from medvl.data.open_i import read_studies
from medvl.runtime.errors import InvalidValue, MissingColumns, MissingFile

TEXT = "First note,\nsecond line.\n\n \nSecond note.\n"
LINES = "\n".join([json.dumps({"text": "First note,\nsecond line.", "id": 7}), "", json.dumps({"text": "Second note."})])
TABLE = 'ROW_ID,SUBJECT_ID,TEXT\n1,2,"First note,\nsecond line."\n2,3,\n3,3,Second note.\n'
CONTENT = {"a.txt": TEXT, "a.jsonl": LINES, "a.csv": TABLE}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return path


@pytest.mark.parametrize("compressed", ["", ".gz"])
@pytest.mark.parametrize("name", CONTENT)
def test_every_kind_of_file_gives_its_documents_plain_or_compressed(name, compressed, tmp_path):
    path = write(tmp_path / f"{name}{compressed}", CONTENT[name])

    assert [text.strip() for text in read_documents(path, column="TEXT")] == ["First note,\nsecond line.", "Second note."]


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path):
    write(tmp_path / "b.txt", "three")
    write(tmp_path / "a" / "y.jsonl", '{"text": "two"}')
    write(tmp_path / "a" / "x.txt.gz", "one")
    write(tmp_path / "a" / "notes.pdf", "not read")

    assert list(read_documents(tmp_path)) == ["one", "two", "three"]


def test_what_is_not_there_is_named(tmp_path):
    (tmp_path / "empty").mkdir()

    with pytest.raises(MissingFile, match="nowhere"):
        next(read_documents(tmp_path / "nowhere"))
    with pytest.raises(MissingFile, match=r"empty.*\.jsonl"):
        next(read_documents(tmp_path / "empty"))
    with pytest.raises(MissingColumns, match=r"no column 'text' \(found: ROW_ID, SUBJECT_ID, TEXT\)"):
        list(read_documents(write(tmp_path / "a.csv", TABLE)))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.pdf", "x", "ends in none of .txt"),
        ("a.txt", " \n\n", "holds no text"),
        ("a.jsonl", '{"text": "x"}\n{"text": ', "line 2"),
        ("a.jsonl", '{"note": "x"}', "line 1: has no 'text'"),
        ("a.jsonl", '{"text": 3}', "line 1: 'text' is int"),
        ("a.jsonl", "[1]", "line 1"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(name, content, problem, tmp_path):
    with pytest.raises(InvalidValue, match=problem):
        list(read_documents(write(tmp_path / name, content)))


@pytest.mark.parametrize("content", [b"\x1f\x8bdamaged", b"not packed at all"])
def test_a_damaged_archive_is_named(content, tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(content)

    with pytest.raises(InvalidValue, match=r"a\.txt\.gz, document: cannot be read"):
        list(read_documents(tmp_path / "a.txt.gz"))


def test_text_that_is_not_unicode_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")

    with pytest.raises(InvalidValue, match="cannot be read"):
        list(read_documents(tmp_path / "a.txt"))


def test_the_reports_of_any_reader_are_documents(tmp_path):
    for number, impression in enumerate(["Normal.", ""], start=1):
        found = {"FINDINGS": f"Clear {number}.", "IMPRESSION": impression}
        sections = "".join(f'<AbstractText Label="{name}">{text}</AbstractText>' for name, text in found.items())
        write(tmp_path / f"{number}.xml", f'<eCitation><uId id="CXR{number}"/>{sections}</eCitation>')
    reader = partial(read_studies, root=tmp_path)

    assert list(read_reports(reader, sections=["impression", "findings"])) == ["Normal. Clear 1.", "Clear 2."]
    assert list(read_reports(reader, sections=["impression"])) == ["Normal."]
    assert next(read_reports(reader)) == "FINDINGS: Clear 1.\nIMPRESSION: Normal."
    with pytest.raises(MissingFile, match="XML reports"):
        next(read_reports(partial(read_studies, root=tmp_path / "nowhere")))
