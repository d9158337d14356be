"""PadChest-GR (release 2024-08-19): grounded sentences in Spanish and English, boxes of two readers, 16-bit PNGs (Castro et al. 2024).

One frontal study per patient, the last that has one; the prior's image, if any, lies in a folder of its own. Boxes are normalised
``x_min, y_min, x_max, y_max``. Quirks kept: sentences that are not abnormal lack the keys for boxes, labels and locations; identifiers of
39 digits; split ``validation``; a table with a row per study and label, whose normal studies say ``Normal``; the folder's odd spelling.
The pictures hold the displayed tone, unlike the DICOM files of the MIMIC-CXR site. Departures: ``label_group`` repeats the label, the
release's grouping not being public; dates are the phantom's.
"""

from __future__ import annotations

import json
import math
import shutil
import zipfile
from pathlib import Path
from typing import Any

from medvl.phantom.draws import generator, integer
from medvl.phantom.export.boxes import second_reader
from medvl.phantom.export.pixels import png
from medvl.phantom.export.study import ExportedStudy, ExportedView, Rows, frontal_acquisition
from medvl.phantom.export.tables import EPOCH, Parts, write_csv
from medvl.phantom.facts import Visit
from medvl.phantom.labels import padchest_terms
from medvl.phantom.phrasing import Sentence
from medvl.phantom.world import prior_of
from medvl.records import Box
from medvl.runtime.files import atomic_path, write_bytes, write_text

RELEASE = "20240819"
IMAGES = "Padchest_GR_files/PadChest_GR"
PRIORS = "PadChest_GR_progression_prior_studies/PadChest_GR_progression_prior_studies"
PARTS = 3  # pieces of each archive
BOTH_READERS = 0.75  # share of the positive sentences that a second reader saw, as published
COLUMNS = (
    "StudyID", "ImageID", "label", "boxes_count", "extra_boxes_count", "locations", "prior_study", "progression_status", "prior_imageID",
    "sentence_en", "sentence_es", "study_is_benchmark", "study_is_validation", "split", "PatientID", "patient_is_benchmark", "PatientBirth",
    "PatientSex_DICOM", "StudyDate_DICOM", "StudyDate", "PatientAge", "label_group", "Year",
)  # fmt: skip
SPLITS = {"train": "train", "validate": "validation", "test": "test"}
PROGRESSION = {"improving": "improved", "worsening": "worsened", "stable": "stable", "new": "new", "resolved": "resolved"}


def export_study(study: ExportedStudy, out: Path, *, packed: bool) -> Rows:
    """The patient's one study; for the visit before it, only the image; nothing for the other visits."""
    grounded, prior = _visits(study)
    if grounded is None or study.frontal is None:
        return {}
    is_prior = prior is not None and study.visit.study_id == prior.study_id
    if not is_prior and study.visit.study_id != grounded.study_id:
        return {}
    write_bytes(out / "padchest-gr" / (PRIORS if is_prior else IMAGES) / image_id(study.visit), png(study.frontal.film.display, 16))
    if is_prior:
        return {}
    record = _record(study, study.frontal, prior)
    return {"studies": [record], "table": _table(study, record)}


def write_tables(out: Path, parts: Parts, *, packed: bool) -> None:
    """Write the JSON and the zipped table; ``packed`` also the images as one archive in pieces."""
    root = out / "padchest-gr"
    studies = json.dumps(list(parts.rows("studies")), ensure_ascii=False, indent=1)
    write_text(root / f"grounded_reports_{RELEASE}.json", studies + "\n")
    table = root / "master_table.csv"
    write_csv(table, COLUMNS, parts.rows("table"))
    with atomic_path(root / "master_table.csv.zip") as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("master_table.csv", EPOCH), table.read_bytes(), zipfile.ZIP_DEFLATED)
    table.unlink()
    for folder in (IMAGES, PRIORS):
        if packed and (root / folder).is_dir():
            _pack(root / folder)


def remove_loose_images(out: Path) -> None:
    """Remove the images that the archives hold."""
    for folder in (IMAGES, PRIORS):
        shutil.rmtree(out / "padchest-gr" / folder, ignore_errors=True)


def study_id(visit: Visit) -> str:
    """39 digits, more than any integer type of a table library holds."""
    return _digits("padchest study", visit.study_id)


def image_id(visit: Visit) -> str:
    """The image's file name: the study's digits and six letters or digits."""
    letters = generator("padchest image", visit.study_id).choice(list("abcdefghijklmnopqrstuvwxyz0123456789"), 6)
    return f"{study_id(visit)}_{''.join(letters)}.png"


def _digits(*key: str) -> str:
    """39 digits, the first not 0."""
    return "1" + "".join(f"{integer(*key, i):019d}" for i in range(2))


def _visits(study: ExportedStudy) -> tuple[Visit | None, Visit | None]:
    """The patient's study in the release, and its prior."""
    with_frontal = [v for v in study.patient.visits if frontal_acquisition(v)]
    if not with_frontal:
        return None, None
    grounded = with_frontal[-1]
    before = prior_of(study.patient, grounded)
    return grounded, before if before and frontal_acquisition(before) else None


def _record(study: ExportedStudy, view: ExportedView, prior: Visit | None) -> dict[str, Any]:
    told = [s for s in study.report.sentences if s.statements[0].section == "findings"] or list(study.report.sentences)
    return {
        "StudyID": study_id(study.visit),
        "ImageID": image_id(study.visit),
        "PreviousStudyID": study_id(prior) if prior else None,
        "PreviousImageID": image_id(prior) if prior else None,
        "findings": [_finding(study, view, sentence, number) for number, sentence in enumerate(told)],
    }


def _finding(study: ExportedStudy, view: ExportedView, sentence: Sentence, number: int) -> dict[str, Any]:
    positive = [s for s in sentence.statements if s.status == "positive"]
    said = {"sentence_en": sentence.texts["en"], "sentence_es": sentence.texts["es"], "abnormal": bool(positive)}
    if not positive:
        return said
    boxes = study.boxes_of(tuple(dict.fromkeys(i for s in positive for i in s.lesion_ids)), view)
    rng = generator(study.seed, "second reader", study.visit.study_id, number)
    second = [_numbers(second_reader(box, rng)) for box in boxes] if rng.random() < BOTH_READERS else []
    terms = [padchest_terms(s) for s in positive]
    change = next((s.change for s in positive if s.change), None)
    return {
        **said,
        "boxes": [_numbers(box) for box in boxes],
        "extra_boxes": second,
        "labels": list(dict.fromkeys(label for labels, _ in terms for label in labels)),
        "locations": list(dict.fromkeys(place for _, places in terms for place in places)),
        "progression": PROGRESSION[change] if change else None,
    }


def _numbers(box: Box) -> list[float]:
    return [round(v, 8) for v in box.xyxy]


def _table(study: ExportedStudy, record: dict[str, Any]) -> list[dict[str, Any]]:
    patient, time = study.patient, study.visit.time
    age = patient.age + time.year - patient.visits[0].time.year
    shared = {
        "StudyID": record["StudyID"], "ImageID": record["ImageID"], "prior_study": record["PreviousStudyID"] is not None,
        "prior_imageID": record["PreviousImageID"], "study_is_benchmark": True, "study_is_validation": False,
        "split": SPLITS[patient.split], "PatientID": _digits("padchest patient", patient.patient_id)[:36],
        "patient_is_benchmark": True, "PatientBirth": time.year - age, "PatientSex_DICOM": patient.sex, "StudyDate_DICOM": f"{time:%Y%m%d}",
        "StudyDate": f"{time:%Y-%m-%d}", "PatientAge": age, "Year": time.year,
    }  # fmt: skip
    rows = [
        {
            **shared, "label": label, "label_group": label.capitalize(), "boxes_count": len(f["boxes"]),
            "extra_boxes_count": len(f["extra_boxes"]), "locations": str(f["locations"]), "progression_status": f["progression"],
            "sentence_en": f["sentence_en"], "sentence_es": f["sentence_es"],
        }
        for f in record["findings"] if f["abnormal"] for label in f["labels"]
    ]  # fmt: skip
    normal = {"label": "Normal", "label_group": "Normal", "boxes_count": 0, "extra_boxes_count": 0, "locations": "[]"}
    return rows or [{**shared, **normal}]


def _pack(folder: Path) -> None:
    """One archive of the folder, cut into pieces ``<name>.zip.001`` … beside it: a plain concatenation, as released."""
    whole = folder.parent / f"{folder.name}.zip"
    with atomic_path(whole) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for image in sorted(folder.iterdir()):
            archive.writestr(zipfile.ZipInfo(f"{folder.name}/{image.name}", EPOCH), image.read_bytes())
    piece = math.ceil(whole.stat().st_size / PARTS)
    with open(whole, "rb") as file:
        for number in range(1, PARTS + 1):
            write_bytes(whole.with_name(f"{whole.name}.{number:03d}"), file.read(piece))
    whole.unlink()
