"""CheXpert 1.0, the small edition: JPGs and labels by an NLP labeller, radiologists' for ``valid`` and ``test`` (Irvin et al. 2019).

The labels follow the report, as MIMIC-CXR's do; the labeller errs at the world's rate on ``train`` alone. Quirks kept: −1 for uncertain,
empty for not mentioned and for the projection of a lateral; ages end at 90; every film of a study repeats its labels; paths begin with the
edition's name; ``test.csv`` lacks sex, age and projection. The training patients end in ``train``, the world's ``validate`` in ``valid``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medvl.phantom.export.pixels import equalised, jpeg
from medvl.phantom.export.square_film import age_at
from medvl.phantom.export.study import ExportedStudy, ExportedView, Rows
from medvl.phantom.export.tables import Parts, write_csv
from medvl.phantom.labels import chexpert_labels
from medvl.runtime.files import write_bytes

EDITION = "CheXpert-v1.0-small"
FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia",
    "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)
PARTS = {"train": "train", "validate": "valid", "test": "test"}
VALUES = {"positive": "1.0", "negative": "0.0", "uncertain": "-1.0"}
OLDEST = 90


def export_study(study: ExportedStudy, out: Path) -> Rows:
    """Write the study's films, and a row for each."""
    part = PARTS[study.patient.split]
    noise = study.difficulty.label_noise if part == "train" else 0.0
    labels = chexpert_labels(study.report, noise=noise, key=f"{study.seed} chexpert {study.visit.study_id}")
    told = {name: VALUES[value] for name, value in labels.items()}
    rows = []
    for number, view in enumerate(sorted(study.views, key=lambda v: not v.is_frontal), start=1):
        direction = "Frontal" if view.is_frontal else "Lateral"
        name = f"{part}/patient{study.number + 1:05d}/study{study.visit.index + 1}/view{number}_{direction.lower()}.jpg"
        write_bytes(out / "chexpert" / name, jpeg(equalised(view.stored)))
        rows.append({"Path": f"{EDITION}/{name}", **told} | (_about(study, view, direction) if part != "test" else {}))
    return {part: rows}


def write_tables(out: Path, parts: Parts) -> None:
    """Write the three tables."""
    write_csv(out / "chexpert" / "train.csv", COLUMNS, parts.rows("train"))
    write_csv(out / "chexpert" / "valid.csv", COLUMNS, parts.rows("valid"))
    write_csv(out / "chexpert" / "test.csv", ("Path", *FINDINGS), parts.rows("test"))


def _about(study: ExportedStudy, view: ExportedView, direction: str) -> dict[str, Any]:
    return {
        "Sex": {"F": "Female", "M": "Male"}[study.patient.sex],
        "Age": min(age_at(study), OLDEST),
        "Frontal/Lateral": direction,
        "AP/PA": view.acquisition.projection if view.is_frontal else "",
    }
