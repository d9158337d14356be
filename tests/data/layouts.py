"""Tiny datasets in the official layouts, written by hand for the readers' tests."""

import csv
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from films import write_film

CHEXPERT = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion", "Lung Opacity",
    "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
METADATA = (
    "dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows", "Columns", "StudyDate", "StudyTime",
    "ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning", "PatientOrientationCodeSequence_CodeMeaning",
)  # fmt: skip
REPORT = "\n".join(
    (
        "                                 FINAL REPORT",
        " INDICATION:  ___ year old man with cough.",
        " ",
        " FINDINGS: ",
        " ",
        " The lungs are clear. ",
        " ",
        " IMPRESSION: ",
        " ",
        " No acute process.",
        "",
    )
)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> Path:
    """Write a table, gzip if the name ends so; absent values are empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def dicom_id(number: int) -> str:
    """An image identifier of MIMIC-CXR's form."""
    digits = f"{number:040x}"
    return "-".join(digits[i : i + 8] for i in range(0, 40, 8))


def image(number: int, *, study: str = "50000001", subject: str = "10000001", **values: Any) -> dict[str, Any]:
    """A row of MIMIC-CXR-JPG's metadata."""
    row = {"dicom_id": dicom_id(number), "subject_id": subject, "study_id": study, "ViewPosition": "PA", "Rows": 30, "Columns": 20}
    return row | {"StudyDate": "21800506", "StudyTime": "213014.531"} | values


def study_folder(row: Mapping[str, Any]) -> str:
    """The folder of a row's study below the release's root."""
    return f"files/p{row['subject_id'][:2]}/p{row['subject_id']}/s{row['study_id']}"


def write_mimic_jpg(root: Path, images: Sequence[Mapping[str, Any]], *, split: str = "train") -> Path:
    """MIMIC-CXR-JPG's metadata and split, both gzip."""
    write_csv(root / "mimic-cxr-2.0.0-metadata.csv.gz", images, METADATA)
    rows = [{"dicom_id": i["dicom_id"], "study_id": i["study_id"], "subject_id": i["subject_id"], "split": split} for i in images]
    write_csv(root / "mimic-cxr-2.0.0-split.csv.gz", rows)
    return root


def write_labels(root: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A label table; the radiologists' has its own name for lung opacity and no subjects."""
    radiologists = "test-set" in name
    findings = ["Airspace Opacity" if radiologists and f == "Lung Opacity" else f for f in CHEXPERT]
    return write_csv(root / name, rows, ["study_id", *findings] if radiologists else ["subject_id", "study_id", *findings])


def write_report(root: Path, row: Mapping[str, Any], text: str = REPORT) -> Path:
    """A report beside its study's folder."""
    path = root / f"{study_folder(row)}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "latin-1")
    return path


def write_candid_ptx(root: Path) -> Path:
    """CANDID-PTX: patient P1 with a pneumothorax of two outlines and a tube, then without either; patient P2 with a fracture."""
    reports = ("", "filename", "SOPInstanceUID", "StudyInstanceUID", "Report", "EncodedPixels")
    rows = [
        ("P1_a", "1.10", "1.1", "Pneumothorax,\nwith a drain.", "0 2 3 1"),
        ("P1_a", "1.10", "1.1", "Pneumothorax,\nwith a drain.", "1024 1"),
        ("P1_b", "1.20", "1.2", "Resolved.", "-1"),
        ("P2_a", "2.10", "2.1", "", "-1"),
    ]
    write_csv(root / "Pneumothorax_reports.csv", [dict(zip(reports, (n, *row), strict=True)) for n, row in enumerate(rows)], reports)
    for name, rows_of in (("chest_tube", [("1.10", "5 1"), ("1.20", "-1"), ("9.90", "5 1")]), ("Rib_fracture_mask_rle", [("2.10", "0 1")])):
        write_csv(root / f"{name}.csv", [{"anon_SOPUID": f, "annotation": "x", "mask_rle": runs} for f, runs in rows_of])
    (root / "dataset").mkdir()
    for film_id in ("1.10", "1.20", "2.10"):
        write_film(root / "dataset" / film_id, PatientSex="F", PatientAge="061Y", ViewPosition=None if film_id == "2.10" else "AP")
    return root
