"""CANDID-PTX: reports, and masks of three structures as run lengths."""

import pytest
from layouts import write_candid_ptx

from medvl.data import candid_ptx
from medvl.data.verify import verify
from medvl.runtime.errors import InvalidValue, MissingColumns, MissingFile

REPORTS = "Pneumothorax_reports.csv"


@pytest.fixture
def root(tmp_path):
    return write_candid_ptx(tmp_path / "candid-ptx")


def write_reports(root, *rows):
    (root / REPORTS).write_text("\n".join(("filename,SOPInstanceUID,Report,EncodedPixels", *rows)))


def test_every_film_of_the_reports_is_a_study_with_three_labels(root):
    first, second, third = candid_ptx.read_studies(root)

    assert first.labels == {"candid_ptx": {"Pneumothorax": "positive", "Chest tube": "positive", "Rib fracture": "negative"}}
    assert second.labels == {"candid_ptx": {"Pneumothorax": "negative", "Chest tube": "negative", "Rib fracture": "negative"}}
    assert third.labels == {"candid_ptx": {"Pneumothorax": "negative", "Chest tube": "negative", "Rib fracture": "positive"}}
    assert [study.study_id for study in (first, second, third)] == ["1.10", "1.20", "2.10"]
    assert first.privacy == "local_only"


def test_the_filename_tells_the_patient_whose_films_share_a_split(root):
    first, second, third = candid_ptx.read_studies(root)

    assert (first.patient_id, second.patient_id, third.patient_id) == ("P1", "P1", "P2")
    assert first.split == second.split
    assert {s.split for s in candid_ptx.read_studies(root, shares={"train": 0.0, "test": 1.0})} == {"test"}


def test_reports_are_kept_whole_and_an_empty_one_is_none(root):
    first, second, third = candid_ptx.read_studies(root)

    assert first.report.text == "Pneumothorax,\nwith a drain."
    assert second.report.text == "Resolved."
    assert third.report is None


def test_films_are_found_by_their_name_and_described_by_their_header(root):
    first, _, third = candid_ptx.read_studies(root)

    assert first.views[0].path == str(root / "dataset/1.10")
    assert (first.sex, first.age, first.views[0].projection) == ("F", 61, "AP")
    assert third.views[0].projection == "PA"  # its header names none


def test_films_may_end_in_dcm_and_lie_elsewhere_or_be_absent(root):
    (root / "chest_radiographs").mkdir()
    (root / "dataset/1.10").rename(root / "chest_radiographs/1.10.dcm")
    (root / "dataset/2.10").unlink()

    first, _, third = candid_ptx.read_studies(root, with_headers=False)

    assert first.views[0].path == str(root / "chest_radiographs/1.10.dcm")
    assert third.views[0].path is None


def test_masks_are_column_major_united_and_empty_where_there_is_no_row(root):
    studies = list(candid_ptx.read_studies(root))

    masks = dict(candid_ptx.read_study_masks(studies))

    pixels = {(int(y), int(x)) for y, x in zip(*masks["1.10"]["pneumothorax"].nonzero(), strict=True)}
    assert pixels == {(0, 0), (1, 0), (5, 0), (0, 1)}
    assert masks["1.10"]["chest_tube"].nonzero()[0].tolist() == [5]
    assert {name: bool(mask.any()) for name, mask in masks["2.10"].items()} == {
        "pneumothorax": False,
        "chest_tube": False,
        "rib_fracture": True,
    }
    assert not any(mask.any() for mask in masks["1.20"].values())
    assert masks["1.20"]["chest_tube"].shape == (1024, 1024)


def test_fractures_may_stand_under_their_other_name(root):
    (root / "Rib_fracture_mask_rle.csv").rename(root / "acute_rib_fracture.csv")

    *_, third = candid_ptx.read_studies(root)

    assert third.labels["candid_ptx"]["Rib fracture"] == "positive"
    assert candid_ptx.read_mask(third.masks["rib_fracture"]).any()


def test_a_film_of_two_patients_is_left_out(root):
    write_reports(root, "P1_a,1.10,,-1", "P2_a,1.10,,-1", "P3_a,3.10,,-1")

    assert [study.study_id for study in candid_ptx.read_studies(root)] == ["3.10"]


def test_a_missing_table_or_column_is_named(root):
    (root / REPORTS).write_text("filename,SOPInstanceUID,EncodedPixels\nP1_a,1.10,-1\n")
    with pytest.raises(MissingColumns, match="Report"):
        list(candid_ptx.read_studies(root))

    (root / "chest_tube.csv").unlink()
    with pytest.raises(MissingFile, match=r"chest_tube\.csv.*three tables"):
        list(candid_ptx.read_studies(root))


def test_a_row_without_film_or_patient_is_named(root):
    write_reports(root, "P1_a,1.10,,-1", "_a,1.20,,-1")
    with pytest.raises(InvalidValue, match="row 3: has no filename that begins with the patient"):
        list(candid_ptx.read_studies(root))

    write_reports(root, "P1_a,,,-1")
    with pytest.raises(InvalidValue, match="row 2: has no SOPInstanceUID"):
        list(candid_ptx.read_studies(root))


def test_runs_that_leave_the_grid_name_the_film(root):
    write_reports(root, "P1_a,1.10,,1048570 9")
    (study,) = candid_ptx.read_studies(root)

    with pytest.raises(InvalidValue, match=r"SOPInstanceUID 1\.10: run lengths leave the image"):
        candid_ptx.read_mask(study.masks["pneumothorax"])


def test_verify_counts_the_films(root):
    report = verify("candid_ptx", root)

    assert report.ok
    assert {row.what: (row.expected, row.found) for row in report.rows}["images"] == (19_237, 3)
