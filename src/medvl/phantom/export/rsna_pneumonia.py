"""RSNA Pneumonia Detection Challenge, stage 2: boxes around lung opacities (Shih et al. 2019).

A film shows a lung opacity where a consolidation or an edema left its trace; it is normal when the patient has neither finding nor device.
Patients of the split ``test`` give the films without labels. Quirks kept: a ``patientId`` names a film; the class is repeated for each of
a film's boxes; empty corners where ``Target`` is 0.
"""

from __future__ import annotations

from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

from pydicom.uid import generate_uid

from medvl.phantom.export.square_film import grid_box, positioned_frontals, square_dicom
from medvl.phantom.export.study import ExportedStudy, ExportedView, Rows
from medvl.phantom.export.tables import Parts, write_csv
from medvl.records import Box
from medvl.runtime.files import write_bytes

OPACITIES = ("consolidation", "edema")
BOX_COLUMNS = ("patientId", "x", "y", "width", "height", "Target")
CLASS_COLUMNS = ("patientId", "class")


def export_study(study: ExportedStudy, out: Path) -> Rows:
    """Write the study's frontal films; the rows of those that are labelled."""
    labelled = study.patient.split != "test"
    rows: Rows = {"boxes": [], "classes": []}
    for view in positioned_frontals(study):
        name = image_id(view)
        folder = out / "rsna-pneumonia" / f"stage_2_{'train' if labelled else 'test'}_images"
        uids = tuple(generate_uid(entropy_srcs=["rsna", level, view.view_id]) for level in ("study", "series", "image"))
        write_bytes(folder / f"{name}.dcm", square_dicom(study, view, (uids[0], uids[1], uids[2]), name))
        boxes = opacity_boxes(study, view)
        if labelled:
            rows["boxes"] += [{"patientId": name, **grid_box(box), "Target": 1} for box in boxes] or [{"patientId": name, "Target": 0}]
            rows["classes"] += [{"patientId": name, "class": _class(study, boxes)}] * max(1, len(boxes))
    return rows


def write_tables(out: Path, parts: Parts) -> None:
    """Write both tables."""
    root = out / "rsna-pneumonia"
    write_csv(root / "stage_2_train_labels.csv", BOX_COLUMNS, parts.rows("boxes"))
    write_csv(root / "stage_2_detailed_class_info.csv", CLASS_COLUMNS, parts.rows("classes"))


def image_id(view: ExportedView) -> str:
    """The film's identifier: a UUID."""
    return str(uuid5(NAMESPACE_OID, f"rsna {view.view_id}"))


def opacity_boxes(study: ExportedStudy, view: ExportedView) -> tuple[Box, ...]:
    """The boxes of the opacities on a film."""
    return study.boxes_of(tuple(f.lesion_id for f in study.visit.findings if f.name in OPACITIES), view)


def _class(study: ExportedStudy, boxes: tuple[Box, ...]) -> str:
    if boxes:
        return "Lung Opacity"
    return "No Lung Opacity / Not Normal" if study.visit.findings or study.visit.devices else "Normal"
