"""Patients of the evaluation sets leave the training split."""

from collections import Counter

import pytest
from layouts import dicom_id, write_csv

from medvl.data.evaluation_patients import evaluation_patients, hold_out
from medvl.records import Study
from medvl.runtime.errors import MissingFile


def write_ms_cxr(root, patient):
    path = f"files/p10/p{patient}/s50000001/{dicom_id(1)}.jpg"
    numbers = {"x": 0, "y": 0, "w": 1, "h": 1, "image_width": 9, "image_height": 9}
    row = {"category_name": "Edema", "dicom_id": dicom_id(1), "label_text": "Oedema", "path": path} | numbers
    write_csv(root / "MS_CXR_Local_Alignment_v1.1.0.csv", [row])


def write_ms_cxr_t(root, patient):
    row = {"dicom_id": f"p10/p{patient}/s50000002/{dicom_id(2)}", "previous_dicom_id": f"p10/p{patient}/s50000001/{dicom_id(1)}"}
    row |= {"subject_id": patient, "study_id": "50000002", "previous_study_id": "50000001"}
    findings = ("consolidation", "edema", "pleural_effusion", "pneumonia", "pneumothorax")
    write_csv(root / "MS_CXR_T_temporal_image_classification_v1.0.0.csv", [row | {f"{f}_progression": "stable" for f in findings}])


def test_patients_of_all_sets_at_hand_are_collected(tmp_path):
    write_ms_cxr(tmp_path / "a", "10000001")
    write_ms_cxr_t(tmp_path / "b", "10000002")
    write_csv(tmp_path / "c/silver_dataset/splits/images_to_avoid.csv", [{"subject_id": "10000003", "dicom_id": "x"}])
    roots = {"ms_cxr": tmp_path / "a", "ms_cxr_t": tmp_path / "b", "chest_imagenome": tmp_path / "c"}

    assert evaluation_patients(**roots) == {"10000001", "10000002", "10000003"}
    assert evaluation_patients(ms_cxr_t=tmp_path / "b") == {"10000002"}
    assert evaluation_patients() == set()


def test_the_gold_comparisons_serve_where_the_list_of_images_to_avoid_is_not_at_hand(tmp_path):
    path = tmp_path / "gold_dataset" / "gold_object_comparison_with_coordinates.txt"
    path.parent.mkdir()
    path.write_text("patient_id\tsubject_id\n10000004\tan object\n")

    assert evaluation_patients(chest_imagenome=tmp_path) == {"10000004"}
    path.unlink()
    with pytest.raises(MissingFile, match="images_to_avoid"):
        evaluation_patients(chest_imagenome=tmp_path)


def test_held_out_patients_leave_train_and_validate_but_stay_in_test(capsys):
    splits = {"1": "train", "2": "validate", "3": "test", "4": "train", "5": None}
    studies = [Study("mimic_cxr", patient, f"s{patient}", split=split) for patient, split in splits.items()]
    counts = Counter()

    held = {s.patient_id: s.split for s in hold_out([*studies, studies[0]], {"1", "2", "3", "5"}, counts=counts)}

    assert held == {"1": "evaluation", "2": "evaluation", "3": "test", "4": "train", "5": None}
    assert counts == {"train": 2, "validate": 1, "patients": 2}
    assert capsys.readouterr().err == ""


def test_the_count_is_printed(capsys):
    list(hold_out([Study("mimic_cxr", "1", "s", split="train")], {"1"}))

    assert capsys.readouterr().err == "1 evaluation patients held out: 1 studies of train, 0 of validate\n"
