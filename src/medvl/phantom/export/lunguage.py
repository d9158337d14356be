"""Lunguage: the structured rows of the test patients' reports, one per entity mention, with the groups that link them through time."""

from __future__ import annotations

from pathlib import Path

from medvl.phantom.export.study import ExportedStudy, Rows
from medvl.phantom.export.tables import Parts, write_csv
from medvl.phantom.structured_rows import structured_rows

RELATIONS = (
    "cat", "dx_status", "dx_certainty", "location", "placement", "associate", "evidence", "morphology", "distribution", "measurement",
    "severity", "comparison", "onset", "no change", "improved", "worsened", "past hx", "other source", "assessment limitations",
)  # fmt: skip
COLUMNS = (
    "", "subject_id", "study_id", "sequence", "section", "report", "section_report", "sent", "sent_idx", "ent", "ent_idx",
    *RELATIONS, "gt_entity_group", "gt_temporal_group", "StudyDateTime",
)  # fmt: skip


def export_study(study: ExportedStudy, out: Path) -> Rows:
    """All rows of a test patient, at the last visit."""
    if study.patient.split != "test" or not study.is_last:
        return {}
    return {"rows": [dict(row) for row in structured_rows(study.patient, study.reports)]}


def write_tables(out: Path, parts: Parts) -> None:
    """Write the table, its index in the unnamed first column."""
    rows = ({"": index, **row} for index, row in enumerate(parts.rows("rows")))
    write_csv(out / "lunguage" / "dataset" / "Lunguage.csv", COLUMNS, rows)
