"""A report is the same text from a file and from the archive."""

import zipfile

import pytest

from medvl.data import mimic_cxr_reports
from medvl.data.mimic_cxr_reports import open_reports
from medvl.runtime.errors import InvalidValue

NAME = "files/p10/p10000001/s50000001.txt"


def from_file(folder, content):
    path = folder / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with open_reports(folder) as reports:
        return reports.read("10000001", "50000001")


def from_archive(folder, content, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(folder / "reports.zip", "w", method) as archive:
        archive.writestr(NAME, content)
    with open_reports(folder / "reports.zip") as reports:
        return reports.read("10000001", "50000001")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_lines_end_in_a_line_feed_whatever_the_release_ends_them_with(tmp_path, ending):
    content = f"FINDINGS:{ending} Größe unchanged.{ending}{ending}".encode("latin-1")

    assert from_file(tmp_path, content) == from_archive(tmp_path, content) == "FINDINGS:\n Größe unchanged.\n\n"


def test_a_member_larger_than_any_report_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(mimic_cxr_reports, "MAX_BYTES", 100)

    with pytest.raises(InvalidValue, match=r"reports\.zip, report: 'files/.*' cannot be read \(it unpacks to 101"):
        from_archive(tmp_path, b" " * 101)
