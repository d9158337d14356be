"""The annotation sets on MIMIC-CXR images: MS-CXR, MS-CXR-T, RadNLI, Chest ImaGenome, CheXmask, SIIM-style masks."""

import ast
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from exported import exported_study

from medvl.phantom.export import chest_imagenome, siim
from medvl.phantom.export.ms_cxr import CATEGORIES, COLUMNS
from medvl.phantom.export.study import is_evaluation_patient
from medvl.phantom.world import sample_patient

CLASSIFICATION = "ms-cxr-t/MS_CXR_T_temporal_image_classification_v1.0.0.csv"
SENTENCES = "ms-cxr-t/MS_CXR_T_temporal_sentence_similarity_v1.0.0.csv"


@pytest.fixture(scope="module")
def metadata(cohort_root):
    table = pd.read_csv(cohort_root / "mimic-cxr-jpg/mimic-cxr-2.0.0-metadata.csv.gz", dtype=str, keep_default_na=False)
    return table.set_index("dicom_id")


@pytest.fixture(scope="module")
def boxes(cohort_root):
    return pd.read_csv(cohort_root / "ms-cxr/MS_CXR_Local_Alignment_v1.1.0.csv")


def test_ms_cxr_boxes_lie_in_frontal_images_of_the_size_they_state(boxes, metadata):
    assert tuple(boxes.columns) == COLUMNS
    assert len(boxes)
    assert set(boxes.category_name) <= set(CATEGORIES.values())
    assert ((boxes.x >= 0) & (boxes.x + boxes.w <= boxes.image_width) & (boxes.w > 0)).all()
    assert ((boxes.y >= 0) & (boxes.y + boxes.h <= boxes.image_height) & (boxes.h > 0)).all()
    for row in boxes.itertuples():
        image = metadata.loc[row.dicom_id]
        assert (row.image_height, row.image_width) == (int(image.Rows), int(image.Columns))
        assert image.ViewPosition in ("PA", "AP")


def test_a_film_whose_header_forgot_its_view_is_not_the_frontal_in_use():
    assert exported_study(view_position_missing=True).frontal is None


def test_ms_cxr_says_val_where_mimic_cxr_says_validate(boxes, cohort_root):
    split = pd.read_csv(cohort_root / "mimic-cxr-jpg/mimic-cxr-2.0.0-split.csv.gz", dtype=str).set_index("dicom_id").split

    assert (split[boxes.dicom_id].replace({"validate": "val"}).to_numpy() == boxes.split.to_numpy()).all()


def test_the_evaluation_patients_are_all_of_the_test_split_and_few_of_the_others():
    patients = [sample_patient(i, seed=0) for i in range(400)]

    held_out = {split: [is_evaluation_patient(p, 0) for p in patients if p.split == split] for split in ("train", "validate", "test")}

    assert all(held_out["test"])
    assert 0.05 < np.mean(held_out["train"]) < 0.15


def test_a_ms_cxr_phrase_is_a_sentence_of_its_report(boxes, cohort_root):
    for row in boxes.itertuples():
        report = (cohort_root / "mimic-cxr" / f"{row.path.rsplit('/', 1)[0]}.txt").read_text("latin-1")
        assert row.label_text in " ".join(report.split())


def test_the_coco_twin_of_ms_cxr_holds_the_same_boxes(boxes, cohort_root):
    coco = json.loads((cohort_root / "ms-cxr/MS_CXR_Local_Alignment_v1.1.0.json").read_text())
    images = {image["id"]: image for image in coco["images"]}
    names = {category["id"]: category["name"] for category in coco["categories"]}

    found = [
        (names[a["category_id"]], images[a["image_id"]]["file_name"], a["label_text"], *a["bbox"], a["split"]) for a in coco["annotations"]
    ]

    rows = boxes[["category_name", "dicom_id", "label_text", "x", "y", "w", "h", "split"]].assign(dicom_id=boxes.dicom_id + ".jpg")
    assert found == [tuple(row) for row in rows.to_numpy().tolist()]
    assert sum(image["num_annotations"] for image in coco["images"]) == len(boxes)


def test_ms_cxr_t_names_images_by_path_and_a_strictly_earlier_prior(cohort_root, metadata):
    pairs = pd.read_csv(cohort_root / CLASSIFICATION, dtype=str, keep_default_na=False)

    assert len(pairs)
    for row in pairs.itertuples():
        patient, study = f"p{row.subject_id}", f"s{row.study_id}"
        assert row.dicom_id.startswith(f"{patient[:3]}/{patient}/{study}/")
        current, previous = (metadata.loc[path.rsplit("/", 1)[1]] for path in (row.dicom_id, row.previous_dicom_id))
        assert previous.study_id == row.previous_study_id
        assert (previous.StudyDate, float(previous.StudyTime)) < (current.StudyDate, float(current.StudyTime))


def test_ms_cxr_t_labels_come_with_their_quality_or_are_both_empty(cohort_root):
    pairs = pd.read_csv(cohort_root / CLASSIFICATION, dtype=str, keep_default_na=False)

    assert len(pairs.columns) == 15
    for name in ("consolidation", "edema", "pleural_effusion", "pneumonia", "pneumothorax"):
        labels, quality = pairs[f"{name}_progression"], pairs[f"{name}_label_quality"]
        assert set(labels) <= {"improving", "stable", "worsening", ""}
        assert set(quality) <= {"one_expert", "multiple_experts", "disagreement", ""}
        assert ((labels == "") == (quality == "")).all()


def test_sentence_pairs_keep_to_the_relations_of_their_sets(cohort_root):
    temporal = pd.read_csv(cohort_root / SENTENCES)
    lines = [json.loads(line) for p in ("dev", "test") for line in (cohort_root / f"radnli/radnli_{p}_v1.jsonl").read_text().splitlines()]

    assert set(temporal.category) <= {"paraphrase", "contradiction"}
    assert set(temporal.subset_name) <= {"RadGraph", "Swaps"}
    assert {line["gold_label"] for line in lines} <= {"entailment", "neutral", "contradiction"}
    assert not temporal.duplicated(["sentence_1", "sentence_2"]).any()


def test_chexmask_masks_decode_to_lungs_beside_the_heart(cohort_root, metadata):
    table = pd.read_csv(cohort_root / "chexmask/OriginalResolution/MIMIC-CXR-JPG.csv")

    assert set(table.dicom_id) == set(metadata.index[metadata.ViewPosition.isin(["PA", "AP"])])
    assert table["Dice RCA (Mean)"].between(0.68, 1).all()
    for row in table.to_dict("records"):
        middle = {}
        for name in ("Left Lung", "Right Lung", "Heart"):
            mask = np.zeros(row["Height"] * row["Width"], bool)
            numbers = [int(n) for n in row[name].split()]
            for start, length in zip(numbers[::2], numbers[1::2], strict=True):
                mask[start - 1 : start - 1 + length] = True
            middle[name] = np.nonzero(mask.reshape(row["Height"], row["Width"]))[1].mean()
        assert middle["Right Lung"] < middle["Heart"] < middle["Left Lung"]


def test_siim_tables_list_every_frontal_film_and_spell_the_space(cohort_root):
    text = (cohort_root / "siim-style/pleural_effusion-rle.csv").read_text()

    assert text.startswith("ImageId, EncodedPixels\n")
    assert ", -1\n" in text
    assert all(len(line.split(",")[1].split()) % 2 == 0 for line in text.splitlines()[1:] if not line.endswith(" -1"))


def test_a_siim_mask_covers_the_lesion_on_a_square_grid(tmp_path):
    studies = (exported_study(i) for i in range(50))
    study, lesion = next((s, f.lesion_id) for s in studies for f in s.visit.findings if f.name == "cardiomegaly" and s.frontal)

    rows = siim.export_study(study, tmp_path)["cardiomegaly"]

    lengths = [int(n) for n in rows[0][" EncodedPixels"].split()][1::2]
    assert sum(lengths) / 1024**2 == pytest.approx(study.frontal.film.masks[lesion].mean(), rel=0.05)


def test_scene_graphs_hold_aligned_lists_and_boxes_in_both_frames(cohort_root, metadata):
    archive = zipfile.ZipFile(cohort_root / "chest-imagenome/silver_dataset/scene_graph.zip")
    graphs = [json.loads(archive.read(name)) for name in archive.namelist()]

    assert len(graphs) == metadata.ViewPosition.isin(["PA", "AP"]).sum()
    for graph in graphs:
        height, width = int(metadata.loc[graph["image_id"]].Rows), int(metadata.loc[graph["image_id"]].Columns)
        for box in graph["objects"]:
            assert 0 <= box["original_x1"] < box["original_x2"] <= width
            assert 0 <= box["original_y1"] < box["original_y2"] <= height
            assert box["original_x1"] * 224 / max(height, width) + (224 - 224 * width / max(height, width)) / 2 == pytest.approx(
                box["x1"], abs=1
            )
        for entry in graph["attributes"]:
            assert len({len(entry[name]) for name in chest_imagenome.PHRASE_LISTS}) == 1


def test_gold_comparisons_point_at_boxes_of_gold_images(cohort_root):
    gold = cohort_root / "chest-imagenome/gold_dataset"
    comparisons = pd.read_csv(gold / "gold_object_comparison_with_coordinates.txt", sep="\t", dtype=str)
    images = set(pd.read_csv(gold / "gold_bbox_coordinate_annotations_1000images.csv").image_id)
    avoid = pd.read_csv(cohort_root / "chest-imagenome/silver_dataset/splits/images_to_avoid.csv", dtype=str)

    assert len(comparisons)
    assert set(comparisons.comparison) <= {"improved", "worsened", "no change"}
    assert set(comparisons.current_image_id + ".dcm") | set(comparisons.previous_image_id + ".dcm") <= images
    assert set(comparisons.patient_id) <= set(avoid.subject_id)
    assert all(len(ast.literal_eval(text)) == 4 for text in comparisons.bbox_coord_224_subject)


def test_gold_patients_are_in_no_silver_split(cohort_root):
    splits = cohort_root / "chest-imagenome/silver_dataset/splits"
    avoid = set(pd.read_csv(splits / "images_to_avoid.csv", dtype=str).subject_id)

    for name in ("train", "valid", "test"):
        assert not avoid & set(pd.read_csv(splits / f"{name}.csv", dtype=str).subject_id)
