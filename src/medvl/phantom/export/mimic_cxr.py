"""MIMIC-CXR 2.1.0 and MIMIC-CXR-JPG 2.1.0, as PhysioNet releases them (Johnson et al. 2019).

``mimic-cxr/`` holds DICOM files, reports beside the study folders (or all in ``mimic-cxr-reports.zip``) and the two lists;
``mimic-cxr-jpg/`` the equalised JPGs, ``IMAGE_FILENAMES`` and the tables that both releases share, which are always written because
splits, times and labels stand nowhere else; both have ``SHA256SUMS.txt``. Quirks kept: tables named 2.0.0 inside release 2.1.0, split
``validate``, times as floats without leading zeros, empty view positions, studies without a label row, ``Airspace Opacity`` in the
radiologists' labels.
Departure: the provider list is not written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from medvl.phantom.export.dicom import dicom_bytes, orientation_code, procedure, view_code
from medvl.phantom.export.pixels import equalised, jpeg
from medvl.phantom.export.study import ExportedStudy, ExportedView, Rows
from medvl.phantom.export.tables import Parts, write_checksums, write_csv, write_lines, write_zip
from medvl.phantom.labels import chexpert_labels
from medvl.records import LabelValue
from medvl.runtime.files import write_bytes

ImageFormat = Literal["dicom", "jpg", "both"]

RECORDS = ("subject_id", "study_id", "dicom_id", "path")
STUDIES = ("subject_id", "study_id", "path")
METADATA = (
    "dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows", "Columns", "StudyDate", "StudyTime",
    "ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning", "PatientOrientationCodeSequence_CodeMeaning",
)  # fmt: skip
SPLIT = ("dicom_id", "study_id", "subject_id", "split")
LABELS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion", "Lung Opacity",
    "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
LABELLED = ("subject_id", "study_id", *LABELS)
TEST_SET = ("study_id", *("Airspace Opacity" if name == "Lung Opacity" else name for name in LABELS))
NUMBERS: dict[LabelValue, float] = {"positive": 1.0, "negative": 0.0, "uncertain": -1.0}
WITHOUT_LABELS = 0.004  # share of studies that the label tables leave out


def export_study(study: ExportedStudy, out: Path, *, image_format: ImageFormat, packed: bool) -> Rows:
    """Write the study's images and report; ``packed`` keeps the report for the archive."""
    for view in study.views:
        name = f"{study.folder}/{view.view_id}"
        if image_format != "jpg":
            write_bytes(out / "mimic-cxr" / f"{name}.dcm", dicom_bytes(study, view))
        if image_format != "dicom":
            write_bytes(out / "mimic-cxr-jpg" / f"{name}.jpg", jpeg(equalised(view.stored)))
    text = study.report.text("en")
    if not packed:
        write_bytes(out / "mimic-cxr" / f"{study.folder}.txt", text.encode("latin-1"))
    ids = {"subject_id": study.patient.patient_id, "study_id": study.visit.study_id}
    split = {"split": study.patient.split}
    return {
        "records": [{**ids, "dicom_id": v.view_id, "path": f"{study.folder}/{v.view_id}.dcm"} for v in study.views],
        "studies": [{**ids, "path": f"{study.folder}.txt"}],
        "reports": [{"path": f"{study.folder}.txt", "text": text}] if packed else [],
        "metadata": [{**ids, **_metadata(study, view)} for view in study.views],
        "split": [{**ids, **split, "dicom_id": v.view_id} for v in study.views],
        **_label_tables(study, ids),
    }


def write_tables(out: Path, parts: Parts, *, image_format: ImageFormat, packed: bool) -> None:
    """Write the lists of the DICOM release and the tables of the JPG release, in the order of subject and study."""
    dicom, jpg = out / "mimic-cxr", out / "mimic-cxr-jpg"
    write_csv(dicom / "cxr-record-list.csv.gz", RECORDS, _sorted(parts, "records"))
    write_csv(dicom / "cxr-study-list.csv.gz", STUDIES, _sorted(parts, "studies"))
    if packed:
        reports = sorted(parts.rows("reports"), key=lambda row: row["path"])
        write_zip(dicom / "mimic-cxr-reports.zip", ((row["path"], row["text"].encode("latin-1")) for row in reports))
    if image_format != "dicom":
        write_lines(jpg / "IMAGE_FILENAMES", (f"{row['path'][:-4]}.jpg" for row in _sorted(parts, "records")))
    write_csv(jpg / "mimic-cxr-2.0.0-metadata.csv.gz", METADATA, _sorted(parts, "metadata"))
    write_csv(jpg / "mimic-cxr-2.0.0-split.csv.gz", SPLIT, _sorted(parts, "split"))
    for labeller in ("chexpert", "negbio"):
        write_csv(jpg / f"mimic-cxr-2.0.0-{labeller}.csv.gz", LABELLED, _sorted(parts, labeller))
    write_csv(jpg / "mimic-cxr-2.1.0-test-set-labeled.csv", TEST_SET, sorted(parts.rows("test_set"), key=lambda row: row["study_id"]))
    for root in (dicom, jpg):
        write_checksums(root)


def _metadata(study: ExportedStudy, view: ExportedView) -> dict[str, Any]:
    time = study.visit.time
    height, width = view.shape
    return {
        "dicom_id": view.view_id,
        "PerformedProcedureStepDescription": procedure(study),
        "ViewPosition": view.view_position,
        "Rows": height,
        "Columns": width,
        "StudyDate": f"{time:%Y%m%d}",
        "StudyTime": float(f"{time:%H%M%S}.{time.microsecond // 1000:03d}"),
        "ProcedureCodeSequence_CodeMeaning": procedure(study),
        "ViewCodeSequence_CodeMeaning": view_code(view),
        "PatientOrientationCodeSequence_CodeMeaning": orientation_code(view),
    }


def _label_tables(study: ExportedStudy, ids: dict[str, Any]) -> Rows:
    """The two labellers' rows, each with its own mistakes, and the radiologists' row of a test study."""
    tables: Rows = {"chexpert": [], "negbio": [], "test_set": []}
    if study.draw("labels") >= WITHOUT_LABELS:
        for labeller in ("chexpert", "negbio"):
            tables[labeller].append({**ids, **_labels(study, study.difficulty.label_noise, labeller)})
    if study.patient.split == "test":
        labels = _labels(study, 0.0, "radiologist")
        labels["Airspace Opacity"] = labels.pop("Lung Opacity", None)
        tables["test_set"].append({"study_id": study.visit.study_id, **labels})
    return tables


def _labels(study: ExportedStudy, noise: float, labeller: str) -> dict[str, float | None]:
    values = chexpert_labels(study.report, noise=noise, key=f"{study.seed} {labeller} {study.visit.study_id}")
    return {name: NUMBERS[value] for name, value in values.items()}


def _sorted(parts: Parts, table: str) -> list[dict[str, Any]]:
    return sorted(parts.rows(table), key=lambda row: (row["subject_id"], row["study_id"], row.get("dicom_id", "")))
