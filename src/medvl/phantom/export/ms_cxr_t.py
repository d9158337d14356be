"""MS-CXR-T 1.0.0: change between two studies, and pairs of sentences about change (Bannur et al. 2023).

Quirks kept: ``dicom_id`` is a path without extension, findings without a label are empty. The pairs are those of the evaluation patients:
a study and the one before, both with a frontal film. The release's first column of the sentence table is not known for certain; here it
is ``subset_name``, and readers go by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medvl.phantom.draws import generator
from medvl.phantom.export.study import ExportedStudy, Rows, frontal_acquisition, is_evaluation_patient, study_path
from medvl.phantom.export.tables import Parts, write_csv
from medvl.phantom.labels import progression_labels
from medvl.phantom.sentence_pairs import sentence_pairs

FINDINGS = ("consolidation", "edema", "pleural_effusion", "pneumonia", "pneumothorax")
COLUMNS = (
    "dicom_id", "previous_dicom_id", "subject_id", "study_id", "previous_study_id",
    *(f"{name}_{column}" for column in ("progression", "label_quality") for name in FINDINGS),
)  # fmt: skip
PAIR_COLUMNS = ("subset_name", "sentence_1", "sentence_2", "category")
QUALITY = {"one_expert": 0.6, "multiple_experts": 0.32, "disagreement": 0.08}
SUBSETS = ("RadGraph", "Swaps")


def export_study(study: ExportedStudy, out: Path) -> Rows:
    """The study's change since the prior, and at the last visit the patient's sentence pairs."""
    if not is_evaluation_patient(study.patient, study.seed):
        return {}
    return {"pairs": _pair(study), "sentences": _sentences(study) if study.is_last else []}


def write_tables(out: Path, parts: Parts) -> None:
    """Write the two tables."""
    folder = out / "ms-cxr-t"
    write_csv(folder / "MS_CXR_T_temporal_image_classification_v1.0.0.csv", COLUMNS, parts.rows("pairs"))
    unique = {(row["sentence_1"], row["sentence_2"]): row for row in parts.rows("sentences")}
    write_csv(folder / "MS_CXR_T_temporal_sentence_similarity_v1.0.0.csv", PAIR_COLUMNS, unique.values())


def _pair(study: ExportedStudy) -> list[dict[str, Any]]:
    current, prior = frontal_acquisition(study.visit), study.prior
    labels = progression_labels(study.visit)
    previous = frontal_acquisition(prior) if prior else None
    if not (current and prior and previous and labels):
        return []
    row: dict[str, Any] = {
        "dicom_id": f"{study_path(study.patient, study.visit)}/{current.view_id}",
        "previous_dicom_id": f"{study_path(study.patient, prior)}/{previous.view_id}",
        "subject_id": study.patient.patient_id,
        "study_id": study.visit.study_id,
        "previous_study_id": prior.study_id,
    }
    rng = generator(study.seed, "label quality", study.visit.study_id)
    for name in FINDINGS:
        quality = str(rng.choice(list(QUALITY), p=list(QUALITY.values())))
        if name in labels:
            row |= {f"{name}_progression": labels[name], f"{name}_label_quality": quality}
    return [row]


def _sentences(study: ExportedStudy) -> list[dict[str, Any]]:
    pairs = sentence_pairs([study.patient], seed=study.seed)
    return [
        {"subset_name": p.subset, "sentence_1": p.text_1, "sentence_2": p.text_2, "category": p.relation}
        for p in pairs
        if p.subset in SUBSETS and p.language == "en"
    ]
