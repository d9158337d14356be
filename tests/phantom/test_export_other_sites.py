"""The sites with patients of their own: PadChest-GR and Open-I; and Lunguage."""

import io
import json
import zipfile
from xml.etree import ElementTree

import cv2
import numpy as np
import pandas as pd
import pytest

from medvl.phantom.cohort import make_cohort
from medvl.phantom.export.padchest_gr import COLUMNS


@pytest.fixture(scope="module")
def studies(cohort_root):
    return json.loads((cohort_root / "padchest-gr/grounded_reports_20240819.json").read_text())


def test_padchest_gr_sentences_are_bilingual_and_negatives_lack_the_keys(studies):
    findings = [f for study in studies for f in study["findings"]]

    assert all(f["sentence_en"] and f["sentence_es"] for f in findings)
    assert {f["abnormal"] for f in findings} == {True, False}
    for finding in findings:
        assert ("boxes" in finding) == ("labels" in finding) == ("extra_boxes" in finding) == finding["abnormal"]


def test_padchest_gr_boxes_are_normalised_and_mostly_drawn_twice(studies):
    positive = [f for study in studies for f in study["findings"] if f["abnormal"]]

    assert any(f["boxes"] and f["extra_boxes"] for f in positive)
    for finding in positive:
        assert len(finding["extra_boxes"]) in (0, len(finding["boxes"]))
        for x0, y0, x1, y1 in finding["boxes"] + finding["extra_boxes"]:
            assert 0 <= x0 < x1 <= 1
            assert 0 <= y0 < y1 <= 1


def test_padchest_gr_images_are_16_bit_and_priors_lie_apart(cohort_root, studies):
    root = cohort_root / "padchest-gr"
    for study in studies:
        image = cv2.imread(str(root / "Padchest_GR_files/PadChest_GR" / study["ImageID"]), cv2.IMREAD_UNCHANGED)
        assert image.dtype == np.uint16
        if study["PreviousImageID"]:
            folder = root / "PadChest_GR_progression_prior_studies/PadChest_GR_progression_prior_studies"
            assert (folder / study["PreviousImageID"]).is_file()


def test_the_master_table_has_its_23_columns_and_a_row_per_label_or_normal(cohort_root, studies):
    table = pd.read_csv(cohort_root / "padchest-gr/master_table.csv.zip", dtype=str, keep_default_na=False)

    assert tuple(table.columns) == COLUMNS
    assert set(table.StudyID) == {study["StudyID"] for study in studies}
    assert table.StudyID.str.fullmatch(r"\d{39}").all()
    assert set(table.split) <= {"train", "validation", "test"}
    normal = {s["StudyID"] for s in studies if not any(f.get("labels") for f in s["findings"])}
    assert set(table[table.label == "Normal"].StudyID) == normal


def test_packed_images_are_pieces_of_one_archive_and_reports_are_zipped(tmp_path):
    loose, packed = tmp_path / "loose", tmp_path / "packed"
    for out in (loose, packed):
        layouts = ("mimic_cxr", "padchest_gr")
        make_cohort(out, patients=2, size=48, layouts=layouts, workers=1, packed=out == packed, progress=False)

    pieces = sorted((packed / "padchest-gr/Padchest_GR_files").iterdir())
    archive = zipfile.ZipFile(io.BytesIO(b"".join(p.read_bytes() for p in pieces)))
    images = {p.name: p.read_bytes() for p in (loose / "padchest-gr/Padchest_GR_files/PadChest_GR").iterdir()}
    reports = zipfile.ZipFile(packed / "mimic-cxr/mimic-cxr-reports.zip")

    assert [p.name for p in pieces] == ["PadChest_GR.zip.001", "PadChest_GR.zip.002", "PadChest_GR.zip.003"]
    assert {name.split("/")[1]: archive.read(name) for name in archive.namelist()} == images
    assert {n: reports.read(n) for n in reports.namelist()} == {
        p.relative_to(loose / "mimic-cxr").as_posix(): p.read_bytes() for p in (loose / "mimic-cxr").rglob("s*.txt")
    }
    assert not list((packed / "mimic-cxr").rglob("s*.txt"))


def test_open_i_reports_name_their_images_and_hide_with_xxxx(cohort_root):
    files = sorted((cohort_root / "open-i/ecgen-radiology").iterdir())

    for file in files:
        root = ElementTree.parse(file).getroot()
        assert root.tag == "eCitation"
        assert root.find("uId").get("id") == f"CXR{file.stem}"
        sections = {e.get("Label"): e.text or "" for e in root.iter("AbstractText")}
        assert list(sections) == ["COMPARISON", "INDICATION", "FINDINGS", "IMPRESSION"]
        assert not any("___" in text for text in sections.values())
        assert root.findtext("MeSH/major")
        for image in root.iter("parentImage"):
            assert (cohort_root / "open-i/NLMCXR_png" / f"{image.get('id')}.png").is_file()


def test_lunguage_rows_are_of_test_patients_with_an_unnamed_index_first(cohort_root):
    table = pd.read_csv(cohort_root / "lunguage/dataset/Lunguage.csv", dtype=str)
    split = pd.read_csv(cohort_root / "mimic-cxr-jpg/mimic-cxr-2.0.0-split.csv.gz", dtype=str)

    assert table.columns[0] == "Unnamed: 0"
    assert {"ent", "ent_idx", "dx_status", "no change", "gt_entity_group", "gt_temporal_group"} <= set(table.columns)
    assert set(table.subject_id.str[1:]) <= set(split[split.split == "test"].subject_id)
    assert len(table)
