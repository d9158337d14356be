"""MS-CXR-T 1.0.0: change between two chest radiographs, and pairs of sentences about change (Bannur et al. 2023; PhysioNet, credentialed).

``MS_CXR_T_temporal_image_classification_v1.0.0.csv``: a row names a current and a previous image and, for each of five findings, its
progression (``improving``, ``stable``, ``worsening`` or empty) and how it was labelled. ``dicom_id`` and ``previous_dicom_id`` are paths
without extension, ``p10/p10002428/s55758034/<dicom_id>``. ``MS_CXR_T_temporal_sentence_similarity_v1.0.0.csv``: sentence pairs that are a
``paraphrase`` or a ``contradiction``. Images and reports come from MIMIC-CXR.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from medvl.data.documents import naming
from medvl.data.mimic_cxr_derived import ImageIds, image_ids, joined, mimic_studies
from medvl.data.tables import read_table, require_table
from medvl.records import PrivacyPolicy, Progression, SentencePair, Study, View

IMAGES = "MS_CXR_T_temporal_image_classification_v*"
SENTENCES = "MS_CXR_T_temporal_sentence_similarity_v*"
FINDINGS = ("consolidation", "edema", "pleural_effusion", "pneumonia", "pneumothorax")
CLASSES = ("improving", "stable", "worsening")
IDS = ("dicom_id", "previous_dicom_id", "subject_id", "study_id", "previous_study_id")
LABELS = tuple(f"{finding}_progression" for finding in FINDINGS)
QUALITIES = tuple(f"{finding}_label_quality" for finding in FINDINGS)
HINT = "give the folder of the MS-CXR-T release"


class ImagePair(NamedTuple):
    """One row: the current study with its progression, and the study before, each with the one view that the row names."""

    current: Study
    prior: Study


def read_image_pairs(
    root: Path | str,
    *,
    mimic_cxr: Path | str | Mapping[str, Study] | None = None,
    mimic_cxr_jpg: Path | str | None = None,
    privacy: PrivacyPolicy = "local_only",
) -> Iterator[ImagePair]:
    """Yield the labelled pairs in file order.

    Args:
        root: the folder of the two tables.
        mimic_cxr: the MIMIC-CXR release, or its studies by id, to take image files, reports, times and labels from.
        mimic_cxr_jpg: the MIMIC-CXR-JPG release, beside or instead of the former.
        privacy: the policy that the studies carry.

    Raises:
        MissingFile: if the table is not there.
        MissingColumns: naming the file and every absent column.
        InvalidValue: naming the row, if a path or a progression is not what the release allows.
    """
    path = require_table([Path(root)], IMAGES, HINT)
    rows = read_table(path, (*IDS, *LABELS), optional=QUALITIES).to_pylist()
    pairs = [_pair(path, f"row {number}", row, privacy) for number, row in enumerate(rows, start=2)]
    mimic = mimic_studies(mimic_cxr, mimic_cxr_jpg, {pair.current.patient_id for pair in pairs})
    for current, prior in pairs:
        yield ImagePair(joined(current, mimic), joined(prior, mimic))


def read_studies(
    root: Path | str,
    *,
    mimic_cxr: Path | str | Mapping[str, Study] | None = None,
    mimic_cxr_jpg: Path | str | None = None,
    privacy: PrivacyPolicy = "local_only",
) -> Iterator[Study]:
    """Yield every study that a pair names, each once: those with a progression in file order, then the priors that have none.

    A study's views are those that the pairs name; if pairs disagree on a study, the first wins. Arguments and errors as
    ``read_image_pairs``.
    """
    pairs = list(read_image_pairs(root, mimic_cxr=mimic_cxr, mimic_cxr_jpg=mimic_cxr_jpg, privacy=privacy))
    studies: dict[str, Study] = {}
    for study in (*(pair.current for pair in pairs), *(pair.prior for pair in pairs)):
        known = studies.get(study.study_id)
        studies[study.study_id] = study if known is None else _merged(known, study)
    yield from studies.values()


def read_pairs(root: Path | str, *, privacy: PrivacyPolicy = "local_only") -> Iterator[SentencePair]:
    """Yield the sentence pairs in file order; ``subset`` is ``RadGraph`` or ``Swaps``.

    Raises:
        MissingFile: if the table is not there.
        MissingColumns: naming the file and every absent column.
        InvalidValue: naming the row, if a sentence or its category is empty.
    """
    path = require_table([Path(root)], SENTENCES, HINT)
    table = read_table(path, ("sentence_1", "sentence_2", "category"), optional=("subset_name",))
    for number, row in enumerate(table.to_pylist(), start=2):
        with naming(path, f"row {number}"):
            if None in (row["sentence_1"], row["sentence_2"], row["category"]):
                raise ValueError("a sentence or its category is empty")
        yield SentencePair(
            row["sentence_1"], row["sentence_2"], row["category"], row["subset_name"], pair_id=str(number - 2), privacy=privacy
        )


def _pair(path: Path, where: str, row: dict[str, Any], privacy: PrivacyPolicy) -> ImagePair:
    with naming(path, where):
        current, prior = image_ids(row["dicom_id"]), image_ids(row["previous_dicom_id"])
        named = (row["subject_id"], row["study_id"], row["previous_study_id"])
        if named != (current.patient_id, current.study_id, prior.study_id):
            raise ValueError("the identifiers are not those of the image paths")
        progression = {
            finding: Progression(_class(row[label]), row[quality])
            for finding, label, quality in zip(FINDINGS, LABELS, QUALITIES, strict=True)
            if row[label] is not None
        }
    study = dataclasses.replace(_study(current, privacy), progression=progression, prior_study_id=prior.study_id)
    return ImagePair(study, _study(prior, privacy))


def _class(value: str) -> str:
    if value not in CLASSES:
        raise ValueError(f"the progression {value!r} is not one of {', '.join(CLASSES)}")
    return value


def _study(ids: ImageIds, privacy: PrivacyPolicy) -> Study:
    return Study("ms_cxr_t", ids.patient_id, ids.study_id, views=(View(ids.view_id),), privacy=privacy)


def _merged(first: Study, second: Study) -> Study:
    views = {view.view_id: view for view in (*second.views, *first.views)}
    order = dict.fromkeys(view.view_id for view in (*first.views, *second.views))
    return dataclasses.replace(
        first,
        views=tuple(views[view_id] for view_id in order),
        progression={**second.progression, **first.progression},
        prior_study_id=first.prior_study_id or second.prior_study_id,
    )
