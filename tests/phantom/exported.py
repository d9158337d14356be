"""Studies on their way into the layouts, for tests: real facts, small films, chosen acquisitions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from medvl.phantom.export.study import ExportedStudy, ExportedView
from medvl.phantom.facts import Difficulty
from medvl.phantom.reports import write_report
from medvl.phantom.world import prior_of, sample_patient


def exported_study(index: int = 0, visit: int = 0, *, size: int = 64, **acquisition: Any) -> ExportedStudy:
    """One visit of patient ``index`` of seed 0, every acquisition with the given changes."""
    patient = sample_patient(index, seed=0)
    chosen = patient.visits[visit]
    chosen = replace(chosen, acquisitions=tuple(replace(a, **acquisition) for a in chosen.acquisitions))
    visits = tuple(chosen if v.index == chosen.index else v for v in patient.visits)
    patient = replace(patient, visits=visits)
    return ExportedStudy(
        patient=patient,
        number=index,
        visit=chosen,
        prior=prior_of(patient, chosen),
        reports={v.study_id: write_report(patient, v, seed=0) for v in patient.visits},
        views=tuple(ExportedView(patient, chosen, a, size, 1.0) for a in chosen.acquisitions),
        seed=0,
        difficulty=Difficulty(),
    )


def contents(root: Path) -> dict[str, bytes]:
    """Every file under a folder by its relative path."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
