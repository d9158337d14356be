"""MIMIC-CXR: both releases, each alone or together, with every trap of the layout."""

import zipfile
from datetime import datetime

import numpy as np
import pydicom
import pytest
from layouts import dicom_id, image, study_folder, write_csv, write_labels, write_mimic_jpg, write_report
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from medvl.data import mimic_cxr
from medvl.runtime.errors import InvalidValue, MissingColumns, MissingFile, UserError


def read(root, **options):
    return list(mimic_cxr.read_studies(root, **options))


def write_dicom(root, row, **tags):
    dataset = Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3"
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.set_pixel_data(np.zeros((4, 3), np.uint16), "MONOCHROME2", 12)
    path = root / study_folder(row) / f"{row['dicom_id']}.dcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def test_the_jpg_release_alone_gives_views_times_split_and_paths(tmp_path):
    rows = [image(2, ViewPosition="LATERAL"), image(1, PatientOrientationCodeSequence_CodeMeaning="Erect")]
    write_mimic_jpg(tmp_path, rows, split="validate")

    (study,) = read(tmp_path)

    assert (study.patient_id, study.study_id, study.split, study.report) == ("10000001", "50000001", "validate", None)
    assert study.time == datetime(2180, 5, 6, 21, 30, 14, 531000)
    assert [v.view_id for v in study.views] == [dicom_id(1), dicom_id(2)]
    assert study.views[0].path == str(tmp_path / f"files/p10/p10000001/s50000001/{dicom_id(1)}.jpg")
    assert (study.views[0].height, study.views[0].width, study.views[0].orientation) == (30, 20, "Erect")
    assert study.frontal() == study.views[0]
    assert study.lateral() == study.views[1]
    assert study.privacy == "local_only"


def test_a_study_time_that_lost_its_leading_zeros_is_read_right(tmp_path):
    times = {"50000001": "63014.0", "50000002": "14.531", "50000003": "0.0"}
    write_mimic_jpg(tmp_path, [image(i, study=s, StudyTime=t) for i, (s, t) in enumerate(times.items())])

    clock = {s.study_id: s.time.strftime("%H:%M:%S.%f") for s in read(tmp_path)}

    assert clock == {"50000001": "06:30:14.000000", "50000002": "00:00:14.531000", "50000003": "00:00:00.000000"}


def test_studies_come_in_order_of_patient_and_time_and_the_prior_is_by_time_not_by_id(tmp_path):
    rows = [
        image(1, study="50000001", StudyDate="21800507"),
        image(2, study="50000009", StudyDate="21800506", StudyTime="213014.0"),
        image(3, study="50000005", StudyDate="21800506", StudyTime="93014.0"),
        image(4, study="50000007", subject="10000000"),
    ]
    write_mimic_jpg(tmp_path, rows)

    studies = read(tmp_path)

    assert [(s.study_id, s.prior_study_id) for s in studies] == [
        ("50000007", None),
        ("50000005", None),
        ("50000009", "50000005"),
        ("50000001", "50000009"),
    ]


def test_equal_times_are_not_priors_of_each_other(tmp_path):
    write_mimic_jpg(tmp_path, [image(1, study="50000002"), image(2, study="50000001")])

    assert [s.prior_study_id for s in read(tmp_path)] == [None, None]


def test_a_missing_view_position_is_none_and_not_frontal(tmp_path):
    write_mimic_jpg(tmp_path, [image(1, ViewPosition="")])

    (study,) = read(tmp_path)

    assert study.views[0].projection is None
    assert study.frontal() is None


def test_labels_are_positive_negative_uncertain_or_absent_and_a_study_without_a_row_has_no_source(tmp_path):
    write_mimic_jpg(tmp_path, [image(1), image(2, study="50000002")])
    values = {"subject_id": "10000001", "study_id": "50000001"}
    write_labels(tmp_path, "mimic-cxr-2.0.0-chexpert.csv.gz", [{**values, "Edema": "1.0", "Pneumonia": "-1.0", "Fracture": "0.0"}])
    write_labels(tmp_path, "mimic-cxr-2.0.0-negbio.csv.gz", [values])

    first, second = read(tmp_path)

    assert first.labels == {"chexpert": {"Edema": "positive", "Fracture": "negative", "Pneumonia": "uncertain"}, "negbio": {}}
    assert second.labels == {}


def test_the_radiologists_airspace_opacity_is_lung_opacity(tmp_path):
    write_mimic_jpg(tmp_path, [image(1)], split="test")
    write_labels(tmp_path, "mimic-cxr-2.1.0-test-set-labeled.csv", [{"study_id": "50000001", "Airspace Opacity": "1.0"}])

    (study,) = read(tmp_path)

    assert study.labels == {"test_set": {"Lung Opacity": "positive"}}
    assert read(tmp_path, labels=())[0].labels == {}


def test_a_strange_label_names_table_row_and_finding(tmp_path):
    write_mimic_jpg(tmp_path, [image(1)])
    write_labels(tmp_path, "mimic-cxr-2.0.0-chexpert.csv", [{"subject_id": "10000001", "study_id": "50000001", "Edema": "2.0"}])

    with pytest.raises(InvalidValue, match=r"chexpert\.csv, row 2, Edema: 2\.0"):
        read(tmp_path)


@pytest.mark.parametrize("place", ["unpacked", "archive", "archive without files/", "given archive", "given folder"])
def test_reports_are_found_unpacked_and_in_archives(tmp_path, place):
    root = write_mimic_jpg(tmp_path / "release", [image(1)])
    path = write_report(tmp_path if place == "given folder" else root, image(1), "FINAL REPORT\n FINDINGS:  Größe unchanged.\n")
    given = {"given archive": tmp_path / "reports.zip", "given folder": tmp_path}.get(place)
    if "archive" in place:
        name = str(path.relative_to(root / ("files" if "without" in place else "")))
        with zipfile.ZipFile(given or root / "mimic-cxr-reports.zip", "w") as archive:
            archive.writestr(name, path.read_bytes())
        path.unlink()

    (study,) = read(root, reports=given)

    assert study.report.text == "FINAL REPORT\n FINDINGS:  Größe unchanged.\n"
    assert study.report.sections["findings"]
    assert read(root, reports=given, with_reports=False)[0].report is None


def test_both_releases_together_take_images_reports_and_tables_from_where_they_are(tmp_path):
    jpg = write_mimic_jpg(tmp_path / "jpg", [image(1)])
    write_report(tmp_path / "dicom", image(1))
    write_dicom(tmp_path / "dicom", image(1))

    (study,) = read(tmp_path / "dicom", jpg_root=jpg)
    (as_jpg,) = read(tmp_path / "dicom", jpg_root=jpg, images="jpg")

    assert study.views[0].path == str(tmp_path / "dicom" / study_folder(image(1)) / f"{dicom_id(1)}.dcm")
    assert as_jpg.views[0].path == str(jpg / study_folder(image(1)) / f"{dicom_id(1)}.jpg")
    assert study.split == "train"
    assert "No acute process" in study.report.text


@pytest.mark.parametrize("with_list", [True, False])
def test_the_dicom_release_alone_reads_projection_and_time_from_the_headers(tmp_path, with_list):
    rows = [image(1), image(2), image(3, study="50000002")]
    write_dicom(tmp_path, rows[0], ViewPosition="AP", StudyDate="21800506", StudyTime="063014.000", PatientAge="061Y", PatientSex="F")
    write_dicom(tmp_path, rows[1], ViewPosition="", PixelSpacing=[0.14, 0.14])
    write_dicom(tmp_path, rows[2], ViewPosition="PA", StudyDate="21800507", StudyTime="0630")
    if with_list:
        write_csv(tmp_path / "cxr-record-list.csv.gz", [{k: r[k] for k in ("subject_id", "study_id", "dicom_id")} for r in rows])

    first, second = read(tmp_path)

    assert [v.projection for v in first.views] == ["AP", None]
    assert (first.views[0].height, first.views[0].width, first.views[0].bits) == (4, 3, 12)
    assert first.views[1].pixel_spacing == (0.14, 0.14)
    assert (first.time, first.age, first.sex, first.split) == (datetime(2180, 5, 6, 6, 30, 14), 61, "F", None)
    assert (second.time, second.prior_study_id) == (datetime(2180, 5, 7, 6, 30), "50000001")


def test_a_damaged_header_leaves_a_view_of_which_nothing_is_known(tmp_path):
    path = tmp_path / study_folder(image(1)) / f"{dicom_id(1)}.dcm"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not dicom")

    (study,) = read(tmp_path)

    assert study.views[0].projection is None
    assert study.views[0].path == str(path)


def test_a_name_too_long_for_any_file_is_named(tmp_path):
    write_mimic_jpg(tmp_path, [image(1, study="5" + "0" * 400)])
    (tmp_path / "files" / "p10" / "p10000001").mkdir(parents=True)

    with pytest.raises(InvalidValue, match=r"report: .* cannot be read"):
        read(tmp_path)


def test_the_folder_of_the_files_will_do_as_root(tmp_path):
    write_dicom(tmp_path, image(1), ViewPosition="AP")
    write_report(tmp_path, image(1))

    (study,) = read(tmp_path / "files")

    assert study.frontal() is not None
    assert study.report is not None


def test_a_split_and_patients_can_be_asked_for_and_priors_do_not_change(tmp_path):
    rows = [image(1, study="50000002", StudyDate="21800501"), image(2), image(3, study="50000003", subject="10000002")]
    write_mimic_jpg(tmp_path, rows)
    splits = {1: "train", 2: "test", 3: "train"}
    write_csv(tmp_path / "mimic-cxr-2.0.0-split.csv.gz", [{"dicom_id": dicom_id(i), "split": s} for i, s in splits.items()])

    assert [(s.study_id, s.prior_study_id) for s in read(tmp_path, split="test")] == [("50000001", "50000002")]
    assert [s.study_id for s in read(tmp_path, patients={"10000002"})] == ["50000003"]


def test_an_unknown_split_lists_the_right_ones(tmp_path):
    write_mimic_jpg(tmp_path, [image(1)])

    with pytest.raises(UserError, match=r"no split 'val' \(one of: test, train, validate\)"):
        read(tmp_path, split="val")


def test_a_folder_without_the_release_and_a_table_without_its_columns_are_named(tmp_path):
    with pytest.raises(MissingFile, match="absent does not exist"):
        read(tmp_path / "absent")
    with pytest.raises(MissingFile, match="cxr-record-list"):
        read(tmp_path)
    write_csv(tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz", [{"dicom_id": "a", "study_id": "5"}])
    with pytest.raises(MissingColumns, match=r"metadata\.csv\.gz has no column 'subject_id', 'ViewPosition'"):
        read(tmp_path)


BAD = {"StudyDate": "2180", "StudyTime": "noon", "Rows": "many", "Columns": "1e999", "study_id": ""}


@pytest.mark.parametrize(("column", "value"), BAD.items())
def test_a_value_that_the_release_does_not_allow_is_named(tmp_path, column, value):
    write_mimic_jpg(tmp_path, [image(1) | {column: value}])

    with pytest.raises(InvalidValue, match=r"metadata\.csv\.gz, "):
        read(str(tmp_path))
