"""Open-I: one XML report per study."""

import pytest
from layouts import write_csv

from medvl.data import open_i
from medvl.records import Report, View
from medvl.runtime.errors import InvalidValue, MissingFile

XML = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><uId id="CXR{number}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="COMPARISON"/>
<AbstractText Label="FINDINGS">The heart is XXXX.
 No effusion.</AbstractText>
<AbstractText Label="IMPRESSION">Cardiomegaly.</AbstractText>
</Abstract></Article></MedlineCitation>
<MeSH><major>Cardiomegaly/mild</major><major>{major}</major><automatic>cardiomegaly</automatic></MeSH>
<parentImage id="CXR{number}_1_IM-0001-3001"><caption>{caption}</caption></parentImage>
<parentImage id="CXR{number}_1_IM-0001-4001"><caption>Xray Chest PA and Lateral</caption></parentImage></eCitation>
"""


def write(root, number=1, *, major="Opacity/lung/base/left", caption="Lateral view of the chest."):
    path = root / "ecgen-radiology" / f"{number}.xml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(XML.format(number=number, major=major, caption=caption))
    return path


def read(root):
    return list(open_i.read_studies(root))


def test_a_report_gives_sections_labels_and_views(tmp_path):
    write(tmp_path)
    (tmp_path / "NLMCXR_png").mkdir()
    png = tmp_path / "NLMCXR_png" / "CXR1_1_IM-0001-3001.png"
    png.write_bytes(b"")

    (study,) = read(tmp_path)

    assert study.report == Report(
        "FINDINGS: The heart is XXXX. No effusion.\nIMPRESSION: Cardiomegaly.",
        {"findings": "The heart is XXXX. No effusion.", "impression": "Cardiomegaly."},
    )
    assert study.labels == {"mesh": {"Cardiomegaly": "positive", "Opacity": "positive"}, "mesh_automatic": {"cardiomegaly": "positive"}}
    assert study.views == (View("CXR1_1_IM-0001-3001", str(png), "LATERAL"), View("CXR1_1_IM-0001-4001", None, None))
    assert (study.study_id, study.patient_id, study.privacy) == ("CXR1", "CXR1", "public")


def test_studies_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 1):
        write(tmp_path, number)

    assert [s.study_id for s in read(tmp_path)] == ["CXR1", "CXR2", "CXR10"]


def test_no_indexing_is_no_label(tmp_path):
    write(tmp_path, major="No Indexing")

    assert read(tmp_path)[0].labels["mesh"] == {"Cardiomegaly": "positive"}


def test_the_kaggle_twin_gives_projections_and_its_own_file_names(tmp_path):
    write(tmp_path)
    rows = [{"uid": 1, "filename": f"1_IM-0001-{n}001.dcm.png", "projection": p} for n, p in ((3, "Frontal"), (4, "Lateral"))]
    (tmp_path / "1_IM-0001-3001.dcm.png").write_bytes(b"")
    write_csv(tmp_path / "indiana_projections.csv", rows)

    (study,) = read(tmp_path)

    assert [v.projection for v in study.views] == ["PA", "LATERAL"]
    assert study.views[0].path == str(tmp_path / "1_IM-0001-3001.dcm.png")


@pytest.mark.parametrize("text", ["", "<eCitation>", "<eCitation/>", '<!DOCTYPE a [<!ENTITY b "c">]><eCitation>&b;</eCitation>'])
def test_a_file_that_is_no_report_is_named(tmp_path, text):
    write(tmp_path).write_text(text)

    with pytest.raises(InvalidValue, match=r"1\.xml"):
        read(tmp_path)


def test_a_folder_without_reports_is_named(tmp_path):
    with pytest.raises(MissingFile, match="ecgen-radiology"):
        read(tmp_path)
