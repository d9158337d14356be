"""MIMIC-CXR and MIMIC-CXR-JPG as the phantom writes them, read with general libraries only."""

import hashlib
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest
from exported import contents, exported_study
from pydicom.pixels import pixel_array

from medvl.phantom.export.mimic_cxr import METADATA, SPLIT, TEST_SET
from medvl.phantom.export.pixels import equalised


def table(root: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(root / name, dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def metadata(cohort_root):
    return table(cohort_root, "mimic-cxr-jpg/mimic-cxr-2.0.0-metadata.csv.gz")


def test_tables_have_the_columns_of_the_release_in_their_order(cohort_root, metadata):
    assert tuple(metadata.columns) == METADATA
    assert tuple(table(cohort_root, "mimic-cxr-jpg/mimic-cxr-2.0.0-split.csv.gz").columns) == SPLIT
    assert tuple(table(cohort_root, "mimic-cxr-jpg/mimic-cxr-2.1.0-test-set-labeled.csv").columns) == TEST_SET
    assert {"Airspace Opacity"} == set(TEST_SET) & {"Airspace Opacity", "Lung Opacity"}


def test_every_image_is_listed_once_and_lies_where_the_lists_say(cohort_root, metadata):
    records = table(cohort_root, "mimic-cxr/cxr-record-list.csv.gz")
    names = (cohort_root / "mimic-cxr-jpg/IMAGE_FILENAMES").read_text().splitlines()

    assert sorted(records.dicom_id) == sorted(metadata.dicom_id)
    assert records.dicom_id.is_unique
    for path, name in zip(records.path, names, strict=True):
        assert (cohort_root / "mimic-cxr" / path).is_file()
        assert (cohort_root / "mimic-cxr-jpg" / name).is_file()
        assert name == path.replace(".dcm", ".jpg")


def test_identifiers_and_folders_follow_the_grammar_of_the_release(cohort_root):
    for path in table(cohort_root, "mimic-cxr/cxr-record-list.csv.gz").path:
        assert re.fullmatch(r"files/p1\d/p1\d{7}/s5\d{7}/[0-9a-f]{8}(-[0-9a-f]{8}){4}\.dcm", path)
        assert path.split("/")[1] == path.split("/")[2][:3]


def test_each_report_lies_beside_its_study_folder(cohort_root):
    studies = table(cohort_root, "mimic-cxr/cxr-study-list.csv.gz")

    for path in studies.path:
        text = (cohort_root / "mimic-cxr" / path).read_bytes().decode("latin-1")
        assert "FINAL REPORT" in text
        assert (cohort_root / "mimic-cxr" / path[: -len(".txt")]).is_dir()


@pytest.mark.parametrize("release", ["mimic-cxr", "mimic-cxr-jpg"])
def test_checksums_cover_every_file_of_the_release(cohort_root, release):
    root = cohort_root / release
    listed = dict(line.split(" ", 1)[::-1] for line in (root / "SHA256SUMS.txt").read_text().splitlines())
    files = contents(root)

    assert set(listed) == set(files) - {"SHA256SUMS.txt"}
    assert all(hashlib.sha256(files[name]).hexdigest() == digest for name, digest in listed.items())


def test_splits_are_by_patient_and_say_validate(cohort_root):
    split = table(cohort_root, "mimic-cxr-jpg/mimic-cxr-2.0.0-split.csv.gz")

    assert set(split.split) == {"train", "validate", "test"}
    assert (split.groupby("subject_id").split.nunique() == 1).all()


def test_times_are_floats_that_lose_their_leading_zeros(metadata):
    assert metadata.StudyTime.map(lambda t: re.fullmatch(r"\d{1,6}\.\d{1,3}", t) is not None).all()
    assert (metadata.StudyTime.str.split(".").str[0].str.len() < 6).any()


def test_tables_and_dicom_headers_tell_the_same(cohort_root, metadata):
    paths = table(cohort_root, "mimic-cxr/cxr-record-list.csv.gz").set_index("dicom_id").path
    for row in metadata.itertuples():
        header = pydicom.dcmread(cohort_root / "mimic-cxr" / paths[row.dicom_id], stop_before_pixels=True)
        assert (header.Rows, header.Columns) == (int(row.Rows), int(row.Columns))
        assert header.ViewPosition == row.ViewPosition
        assert header.StudyDate == row.StudyDate
        assert float(header.StudyTime) == pytest.approx(float(row.StudyTime))


def test_jpgs_follow_from_the_dicom_files_by_the_published_rule(cohort_root):
    for path in table(cohort_root, "mimic-cxr/cxr-record-list.csv.gz").path[:12]:
        dataset = pydicom.dcmread(cohort_root / "mimic-cxr" / path)
        values = pixel_array(dataset).astype(np.float64)
        eight = ((values - values.min()) / (values.max() - values.min()) * 255).astype(np.uint8)
        expected = cv2.equalizeHist(255 - eight if dataset.PhotometricInterpretation == "MONOCHROME1" else eight)
        jpg = cv2.imread(str(cohort_root / "mimic-cxr-jpg" / path.replace(".dcm", ".jpg")), cv2.IMREAD_UNCHANGED)

        assert jpg.shape == expected.shape
        assert np.abs(jpg.astype(int) - expected).mean() < 3


def test_both_photometric_senses_give_one_jpg():
    light, dark = (exported_study(photometric=p).frontal.stored for p in ("MONOCHROME2", "MONOCHROME1"))

    assert np.abs(equalised(light).astype(int) - equalised(dark)).max() <= 6


def test_labels_are_coded_and_no_finding_is_one_or_empty(cohort_root):
    for name in ("chexpert", "negbio"):
        labels = table(cohort_root, f"mimic-cxr-jpg/mimic-cxr-2.0.0-{name}.csv.gz").drop(columns=["subject_id", "study_id"])
        assert set(labels.to_numpy().ravel()) <= {"1.0", "0.0", "-1.0", ""}
        assert set(labels["No Finding"]) <= {"1.0", ""}


def test_radiologists_labels_are_of_test_studies_only(cohort_root):
    split = table(cohort_root, "mimic-cxr-jpg/mimic-cxr-2.0.0-split.csv.gz")
    labelled = set(table(cohort_root, "mimic-cxr-jpg/mimic-cxr-2.1.0-test-set-labeled.csv").study_id)

    assert labelled == set(split[split.split == "test"].study_id)
