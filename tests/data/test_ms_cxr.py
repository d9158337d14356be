"""MS-CXR: the boxes of a phrase stay together, in the CSV and in the COCO document."""

import json

import pytest
from layouts import dicom_id, image, study_folder, write_csv, write_mimic_jpg, write_report

from medvl.data import ms_cxr
from medvl.records import Box
from medvl.runtime.errors import InvalidBox, InvalidValue, MissingColumns, MissingFile


def box(number=1, *, category="Pneumonia", text="Left basal opacity", study="50000001", xywh=(10, 30, 20, 40), **values):
    row = image(number, study=study)
    path = f"{study_folder(row)}/{row['dicom_id']}.jpg"
    numbers = dict(zip("xywh", xywh, strict=True)) | {"image_width": 100, "image_height": 200}
    return {"category_name": category, "dicom_id": row["dicom_id"], "label_text": text, "path": path} | numbers | values


def write_table(root, rows, version="1.1.0"):
    return write_csv(root / f"MS_CXR_Local_Alignment_v{version}.csv", rows)


def write_coco(root, rows):
    """One image entry per row, as the release has one per phrase."""
    images = [
        {"id": i, "file_name": f"{r['dicom_id']}.jpg", "path": r["path"], "width": r["image_width"], "height": r["image_height"]}
        for i, r in enumerate(rows)
    ]
    names = sorted({r["category_name"] for r in rows})
    annotations = [
        {"id": i, "image_id": i, "category_id": names.index(r["category_name"]), "bbox": [r[k] for k in "xywh"]}
        | {"label_text": r["label_text"]}
        for i, r in enumerate(rows)
    ]
    document = {"info": {"version": "1.1.0"}, "images": images, "annotations": annotations}
    document["categories"] = [{"id": i, "name": name} for i, name in enumerate(names)]
    (root / "MS_CXR_Local_Alignment_v1.1.0.json").write_text(json.dumps(document))


def read(root, **options):
    return list(ms_cxr.read_studies(root, **options))


def test_boxes_of_one_image_category_and_text_are_one_phrase_wherever_they_stand(tmp_path):
    rows = [box(split="val"), box(category="Edema", text="Oedema", split="val"), box(xywh=(60, 30, 20, 40), split="val")]
    write_table(tmp_path, rows)

    (study,) = read(tmp_path)

    pneumonia, edema = study.phrases
    assert (pneumonia.text, pneumonia.labels, pneumonia.view_id) == ("Left basal opacity", ("Pneumonia",), dicom_id(1))
    assert pneumonia.boxes == (Box(0.1, 0.15, 0.3, 0.35), Box(0.6, 0.15, 0.8, 0.35))
    assert len(edema.boxes) == 1
    assert (study.patient_id, study.study_id, study.split) == ("10000001", "50000001", "val")
    assert (study.views[0].height, study.views[0].width, study.views[0].path) == (200, 100, None)


def test_two_annotated_images_of_a_study_are_its_views_and_each_phrase_names_its_own(tmp_path):
    write_table(tmp_path, [box(1), box(2, image_width=50), box(3, study="50000002")])

    first, second = read(tmp_path)

    assert [(v.view_id, v.width) for v in first.views] == [(dicom_id(1), 100), (dicom_id(2), 50)]
    assert [p.view_id for p in first.phrases] == [dicom_id(1), dicom_id(2)]
    assert second.study_id == "50000002"


def test_the_coco_document_says_the_same_as_the_table(tmp_path):
    rows = [box(), box(2, category="Edema"), box(xywh=(60, 30, 20, 40))]
    write_table(tmp_path, rows)
    write_coco(tmp_path, rows)

    assert read(tmp_path, source="json") == read(tmp_path, source="csv") == read(tmp_path)
    assert len(read(tmp_path)[0].phrases) == 2


def test_an_earlier_version_has_no_split(tmp_path):
    write_table(tmp_path, [box()], version="0.1")

    assert read(tmp_path)[0].split is None


def test_mimic_cxr_adds_image_report_time_and_prior(tmp_path):
    write_table(tmp_path / "ms", [box()])
    mimic = write_mimic_jpg(tmp_path / "mimic", [image(1), image(2), image(3, study="50000009", StudyDate="21800101")])
    write_report(mimic, image(1))

    (study,) = read(tmp_path / "ms", mimic_cxr=mimic)

    assert [v.view_id for v in study.views] == [dicom_id(1)]
    assert study.views[0].path.endswith(f"{dicom_id(1)}.jpg")
    assert (study.views[0].projection, study.views[0].height) == ("PA", 200)
    assert (study.dataset, study.prior_study_id, study.split) == ("ms_cxr", "50000009", "train")
    assert study.time.year == 2180
    assert study.report.sections["impression"]


def test_studies_that_mimic_cxr_lacks_stay_as_annotated(tmp_path):
    write_table(tmp_path, [box()])

    assert read(tmp_path, mimic_cxr={}) == read(tmp_path)


def test_a_box_may_leave_its_image_by_one_pixel_and_is_clipped(tmp_path):
    write_table(tmp_path, [box(xywh=(-1, 150, 20, 51))])

    assert read(tmp_path)[0].phrases[0].boxes == (Box(0, 0.75, 0.19, 1),)


def test_a_box_that_leaves_its_image_names_its_row(tmp_path):
    write_table(tmp_path, [box(), box(xywh=(90, 30, 20, 40))])

    with pytest.raises(InvalidBox, match=r"v1\.1\.0\.csv, row 3: box x=90"):
        read(tmp_path)


@pytest.mark.parametrize("values", [{"x": "left"}, {"path": "elsewhere"}, {"label_text": ""}, {"image_width": 0}, {"dicom_id": "0"}])
def test_a_value_that_the_release_does_not_allow_names_its_row(tmp_path, values):
    write_table(tmp_path, [box(**values)])

    with pytest.raises(InvalidValue, match="row 2"):
        read(tmp_path)


def test_an_absent_file_and_absent_columns_are_named(tmp_path):
    with pytest.raises(MissingFile, match="MS_CXR_Local_Alignment"):
        read(tmp_path)
    write_csv(tmp_path / "MS_CXR_Local_Alignment_v1.1.0.csv", [{"dicom_id": "a", "x": 1}])
    with pytest.raises(MissingColumns, match="'category_name', 'label_text', 'path'"):
        read(tmp_path)


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"images": [], "categories": []}', '{"images": 1, "categories": 2, "annotations": 3}'])
def test_a_damaged_document_is_named(tmp_path, text):
    (tmp_path / "MS_CXR_Local_Alignment_v1.1.0.json").write_text(text)

    with pytest.raises(InvalidValue, match=r"v1\.1\.0\.json, document"):
        read(tmp_path)
