"""PadChest-GR: grounded sentences in two languages by two readers, with keys that may be absent and images that may be packed."""

import io
import json
import zipfile
from datetime import datetime

import pytest
from layouts import write_csv

from medvl.data import padchest_gr
from medvl.data.zip_parts import read_member
from medvl.records import Box
from medvl.runtime.errors import InvalidValue, MissingFile, UserError

STUDY = "216840111366964012558082906712009327122220177"  # longer than any integer type
IMAGE = f"{STUDY}_00ab9z.png"
PRIOR = "316840111366964012558082906712009327122220178"
PRIOR_IMAGE = f"{PRIOR}_00ab9y.png"
POSITIVE = {
    "sentence_en": "Left basal effusion.",
    "sentence_es": "Derrame basal izquierdo.",
    "abnormal": True,
    "boxes": [[0.1, 0.2, 0.30000001, 0.4]],
    "extra_boxes": [[0.1, 0.2, 0.3, 0.5], [0.5, 0.5, 0.6, 0.6]],
    "labels": ["pleural effusion"],
    "locations": ["left", "basal"],
    "progression": "grown somewhat",
}
NEGATIVE = {"sentence_en": "Heart of normal size.", "sentence_es": "Corazón normal.", "abnormal": False}


def write(root, findings=(POSITIVE, NEGATIVE), *, prior=None, **table):
    record = {"StudyID": STUDY, "ImageID": IMAGE, "PreviousStudyID": prior, "PreviousImageID": prior and PRIOR_IMAGE}
    root.mkdir(exist_ok=True)
    (root / "grounded_reports_20240819.json").write_text(json.dumps([record | {"findings": list(findings)}]), "utf-8")
    row = {
        "StudyID": STUDY,
        "ImageID": IMAGE,
        "label": "pleural effusion",
        "split": "validation",
        "PatientID": "00123",
        "PatientSex_DICOM": "F",
    }
    row |= {"PatientAge": "63.0", "StudyDate_DICOM": "20140915"} | table
    write_csv(root / "table.csv", [row, row | {"label": "scoliosis"}])
    with zipfile.ZipFile(root / "master_table.csv.zip", "w") as archive:
        archive.write(root / "table.csv", "master_table.csv")


def read(root, **options):
    return list(padchest_gr.read_studies(root, **options))


def test_a_study_joins_sentences_with_the_table(tmp_path):
    write(tmp_path)

    (study,) = read(tmp_path)

    assert (study.study_id, study.patient_id, study.split, study.sex, study.age) == (STUDY, "00123", "validation", "F", 63)
    assert study.time == datetime(2014, 9, 15)
    assert study.report.text == "Left basal effusion. Heart of normal size."
    assert study.labels == {"padchest_gr": {"pleural effusion": "positive"}}
    assert study.frontal().view_id == IMAGE
    assert study.frontal().path is None
    assert (study.prior_study_id, study.privacy) == (None, "local_only")


def test_a_positive_sentence_has_both_readers_boxes_and_the_first_readers_are_its_own(tmp_path):
    write(tmp_path)

    phrase = read(tmp_path)[0].phrases[0]

    assert phrase.boxes == (Box(0.1, 0.2, 0.30000001, 0.4),)
    assert phrase.boxes_by_reader == {"reader_1": phrase.boxes, "reader_2": (Box(0.1, 0.2, 0.3, 0.5), Box(0.5, 0.5, 0.6, 0.6))}
    assert (phrase.labels, phrase.locations) == (("pleural effusion",), ("left", "basal"))
    assert (phrase.progression, phrase.polarity, phrase.view_id) == ("grown somewhat", "positive", IMAGE)


def test_a_negative_sentence_may_lack_its_keys(tmp_path):
    write(tmp_path)

    phrase = read(tmp_path)[0].phrases[1]

    assert (phrase.boxes, phrase.boxes_by_reader, phrase.labels, phrase.locations, phrase.progression) == (None, {}, (), (), None)
    assert phrase.polarity == "negative"


def test_a_positive_sentence_without_boxes_has_none(tmp_path):
    write(tmp_path, [POSITIVE | {"boxes": [], "extra_boxes": []}])

    assert read(tmp_path)[0].phrases[0].boxes is None


def test_the_spanish_report_has_english_translations(tmp_path):
    write(tmp_path)

    (study,) = read(tmp_path, language="es")

    assert (study.report.text, study.report.language) == ("Derrame basal izquierdo. Corazón normal.", "es")
    assert study.phrases[0].translations == {"en": "Left basal effusion."}
    with pytest.raises(UserError, match="no language 'fr'"):
        read(tmp_path, language="fr")


@pytest.mark.parametrize("folder", ["Padchest_GR_files/PadChest_GR", "Padchest_GR_files", "PadChest_GR_files"])
def test_images_may_lie_flat_or_nested(tmp_path, folder):
    write(tmp_path)
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / IMAGE).write_bytes(b"png")

    assert read(tmp_path)[0].views[0].path == str(tmp_path / folder / IMAGE)


def test_images_in_concatenated_pieces_have_keys_that_can_be_read(tmp_path):
    write(tmp_path)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"PadChest_GR/{IMAGE}", bytes(range(256)) * 20)
    folder = tmp_path / "Padchest_GR_files"
    folder.mkdir()
    third = len(whole.getvalue()) // 3
    for number, start in enumerate((0, third, 2 * third), start=1):
        piece = whole.getvalue()[start : start + third if number < 3 else None]
        (folder / f"PadChest_GR.zip.{number:03d}").write_bytes(piece)

    key = read(tmp_path)[0].views[0].path

    assert key == f"{folder / 'PadChest_GR.zip.001'}#PadChest_GR/{IMAGE}"
    assert read_member(key) == bytes(range(256)) * 20
    (folder / "PadChest_GR.zip.002").unlink()
    with pytest.raises(MissingFile, match=r"PadChest_GR\.zip\.002"):
        read(tmp_path)


def test_the_prior_study_follows_with_its_image_and_belongs_to_no_split(tmp_path):
    write(tmp_path, prior=PRIOR)
    folder = tmp_path / "PadChest_GR_progression_prior_studies/PadChest_GR_progression_prior_studies"
    folder.mkdir(parents=True)
    (folder / PRIOR_IMAGE).write_bytes(b"png")

    study, prior = read(tmp_path)

    assert study.prior_study_id == prior.study_id == PRIOR
    assert (prior.split, prior.report, prior.patient_id) == (None, None, "00123")
    assert prior.frontal().path == str(folder / PRIOR_IMAGE)
    assert read(tmp_path, with_priors=False) == [study]


BAD_BOXES = ([0.3, 0.2, 0.1, 0.4], [0.1, 0.2, 0.3], [0, 0, float("nan"), 1])


@pytest.mark.parametrize("finding", [{}, 3, *(POSITIVE | {"boxes": [box]} for box in BAD_BOXES)])
def test_a_damaged_record_is_named(tmp_path, finding):
    write(tmp_path, [finding])

    with pytest.raises(InvalidValue, match=r"grounded_reports_20240819\.json, record 0"):
        read(tmp_path)


def test_a_study_that_the_table_lacks_is_named(tmp_path):
    write(tmp_path, StudyID="1")

    with pytest.raises(InvalidValue, match=f"the table has no study {STUDY}"):
        read(tmp_path)


def test_a_folder_without_reports_is_named(tmp_path):
    with pytest.raises(MissingFile, match="grounded_reports"):
        read(tmp_path)
