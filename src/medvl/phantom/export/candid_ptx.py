"""CANDID-PTX: outlines of pneumothoraces, chest tubes and rib fractures as run lengths, with whole reports (Feng et al. 2021).

``dataset/<SOPInstanceUID>``, ``Pneumothorax_reports.csv`` with a row per pneumothorax or one of ``-1``, ``chest_tube.csv`` and
``Rib_fracture_mask_rle.csv`` with a row per tube or fracture and none for films without; the world's fractures have no age, so the table's
other name, ``acute_rib_fracture.csv``, would say too much. Run lengths as in ``siim``. Every outline is a mask of the film's truth: the
pneumothorax as far as it is drawn, the whole tube, and of a fracture the disc around the cut, since the world draws no narrower one.

Not known of the release and chosen here: the films' headers (``square_film``'s), what follows the patient in ``filename``, the name of the
column between film and runs, and the report's form: a paragraph per section, its header first.
"""

from __future__ import annotations

from pathlib import Path

from pydicom.uid import generate_uid

from medvl.phantom.export.siim import structure_runs
from medvl.phantom.export.square_film import positioned_frontals, square_dicom
from medvl.phantom.export.study import ExportedStudy, ExportedView, Rows
from medvl.phantom.export.tables import Parts, write_csv
from medvl.runtime.files import write_bytes

REPORT_COLUMNS = ("filename", "SOPInstanceUID", "StudyInstanceUID", "Report", "EncodedPixels")
OUTLINE_COLUMNS = ("anon_SOPUID", "annotation", "mask_rle")
OUTLINED = {"chest_tube": "chest_tube", "fracture": "Rib_fracture_mask_rle"}  # structure → its table


def export_study(study: ExportedStudy, out: Path) -> Rows:
    """Write the study's frontal films; the rows of what is outlined on each, the report beside every row of the first table."""
    rows: Rows = {"reports": [], **{name: [] for name in OUTLINED}}
    patient, study_uid, text = f"P{study.number + 1}", _uid("study", study.visit.study_id), _text(study)
    for place, view in enumerate(positioned_frontals(study), start=1):
        name = image_id(view)
        uids = study_uid, _uid("series", view.view_id), name
        write_bytes(out / "candid-ptx" / "dataset" / name, square_dicom(study, view, uids, patient))
        film = (f"{patient}_{study.visit.index + 1}_{place}", name, study_uid, text)
        for runs in structure_runs(study, view, "pneumothorax") or ["-1"]:
            rows["reports"].append(dict(zip(REPORT_COLUMNS, (*film, runs), strict=True)))
        for structure in OUTLINED:
            for number, runs in enumerate(structure_runs(study, view, structure), start=1):
                rows[structure].append(dict(zip(OUTLINE_COLUMNS, (name, number, runs), strict=True)))
    return rows


def write_tables(out: Path, parts: Parts) -> None:
    """Write the three tables."""
    root = out / "candid-ptx"
    write_csv(root / "Pneumothorax_reports.csv", REPORT_COLUMNS, parts.rows("reports"))
    for structure, table in OUTLINED.items():
        write_csv(root / f"{table}.csv", OUTLINE_COLUMNS, parts.rows(structure))


def image_id(view: ExportedView) -> str:
    """The film's SOP instance UID."""
    return _uid("image", view.view_id)


def _uid(level: str, key: str) -> str:
    return str(generate_uid(entropy_srcs=["candid", level, key]))


def _text(study: ExportedStudy) -> str:
    """The English report, a paragraph per section; the one without a header stays without."""
    sections = study.report.sections["en"]
    return "\n\n".join(body if name == "last_paragraph" else f"{name.upper()}: {body}" for name, body in sections.items())
