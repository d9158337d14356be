"""MIMIC-IV's table of patients: ``hosp/patients.csv.gz``, anchored at each patient's first film. Departure: everybody has a row."""

from __future__ import annotations

from pathlib import Path

from medvl.phantom.export.study import ExportedStudy, Rows
from medvl.phantom.export.tables import Parts, write_csv

COLUMNS = ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod")
OLDEST = 89  # higher ages are given as 91


def export_study(study: ExportedStudy, out: Path) -> Rows:
    """The patient's row, with the first of the patient's studies."""
    patient = study.patient
    if study.visit.index != patient.visits[0].index:
        return {"patients": []}
    age = patient.age if patient.age <= OLDEST else 91
    row = {"subject_id": patient.patient_id, "gender": patient.sex, "anchor_age": age, "anchor_year": study.visit.time.year}
    return {"patients": [{**row, "anchor_year_group": "2014 - 2016"}]}


def write_tables(out: Path, parts: Parts) -> None:
    """Write the table."""
    write_csv(out / "mimic-iv" / "hosp" / "patients.csv.gz", COLUMNS, parts.rows("patients"))
