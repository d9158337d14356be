"""SIIM-ACR Pneumothorax Segmentation as released: ``train-rle.csv`` and ``dicom-images-{train,test}/<study>/<series>/<image>.dcm``.

Patients of the split ``test`` give the films without rows. Quirks and run lengths as in ``siim``, which writes the masks of every structure
for MIMIC-CXR's films.
"""

from __future__ import annotations

from pathlib import Path

from pydicom.uid import generate_uid

from medvl.phantom.export.siim import COLUMNS, structure_runs
from medvl.phantom.export.square_film import positioned_frontals, square_dicom
from medvl.phantom.export.study import ExportedStudy, ExportedView, Rows
from medvl.phantom.export.tables import Parts, write_csv
from medvl.runtime.files import write_bytes


def export_study(study: ExportedStudy, out: Path) -> Rows:
    """Write the study's frontal films; a row per pneumothorax of those that are labelled, or one that says there is none."""
    part = "test" if study.patient.split == "test" else "train"
    rows = []
    for view in positioned_frontals(study):
        uids = (_uid("study", view), _uid("series", view), image_id(view))
        folder = out / "siim-ptx" / f"dicom-images-{part}" / uids[0] / uids[1]
        write_bytes(folder / f"{uids[2]}.dcm", square_dicom(study, view, uids, _uid("patient", view)))
        if part == "train":
            rows += [{"ImageId": uids[2], " EncodedPixels": f" {runs}"} for runs in structure_runs(study, view, "pneumothorax") or ["-1"]]
    return {"runs": rows}


def write_tables(out: Path, parts: Parts) -> None:
    """Write the table."""
    write_csv(out / "siim-ptx" / "train-rle.csv", COLUMNS, parts.rows("runs"))


def image_id(view: ExportedView) -> str:
    """The film's SOP instance UID."""
    return _uid("image", view)


def _uid(level: str, view: ExportedView) -> str:
    return str(generate_uid(entropy_srcs=["siim", level, view.view_id]))
