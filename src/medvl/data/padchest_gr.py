"""PadChest-GR (release 2024-08-19): grounded sentences in Spanish and English with boxes of two readers (Castro et al. 2024; BIMCV).

``grounded_reports_*.json`` is the truth for sentences and boxes; ``master_table.csv`` (often in ``.zip``) for split, patient, sex, age and
date, one row per study and label. Sentences that are not abnormal lack the keys for boxes, labels and locations. Boxes are normalised
``x_min, y_min, x_max, y_max``; ``boxes`` are the first reader's, ``extra_boxes`` the second's. Identifiers have up to 39 digits. Images
are 16-bit PNGs in ``Padchest_GR_files`` (nested once more or not), those of prior studies in
``PadChest_GR_progression_prior_studies``, both possibly still in pieces ``.zip.001`` …, which are read in place (``zip_parts``).
The release says of a projection only that it is frontal: PA is assumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, get_args

from medvl.data.documents import naming, read_json
from medvl.data.tables import read_table, require_table
from medvl.data.zip_parts import member_keys
from medvl.records import Box, Phrase, PrivacyPolicy, Report, Sex, Study, View
from medvl.runtime.errors import MissingFile, UserError, did_you_mean

REPORTS = "grounded_reports_*.json"
TABLE = "master_table"
COLUMNS = ("StudyID", "split", "PatientID", "PatientSex_DICOM", "PatientAge", "StudyDate_DICOM")
IMAGES = "[Pp]ad[Cc]hest_GR_files"
PRIORS = "[Pp]ad[Cc]hest_GR_progression_prior_studies"
LANGUAGES = ("en", "es")


def read_studies(
    root: Path | str, *, language: str = "en", projection: str = "PA", with_priors: bool = True, privacy: PrivacyPolicy = "local_only"
) -> Iterator[Study]:
    """Yield the grounded studies in file order, then the prior studies, of which only the image is known.

    A phrase's ``boxes`` are the first reader's, as published; ``boxes_by_reader`` holds both. The report is the sentences in order.

    Args:
        root: the folder of the release.
        language: of the texts, ``en`` or ``es``; the other language becomes the translation.
        projection: taken for every image.
        with_priors: whether to yield the prior studies (they belong to no split).
        privacy: the policy that the studies carry.

    Raises:
        MissingFile: if the reports or the table are not there, or a piece of an archive is missing.
        MissingColumns: naming the table and every absent column.
        InvalidValue: naming the record, if it is not what the release allows.
    """
    if language not in LANGUAGES:
        raise UserError(f"padchest_gr has no language {language!r}{did_you_mean(language, LANGUAGES)}")
    options = _Options(language, projection, privacy)
    root = Path(root)
    documents = sorted(root.glob(REPORTS))
    if not documents:
        raise MissingFile(root / REPORTS, "give the folder of the PadChest-GR release")
    table = _table(root)
    images, prior_images = _images(root, IMAGES), _images(root, PRIORS)
    records = read_json(documents[-1])
    priors: dict[str, Study] = {}
    seen = set()
    for number, record in enumerate(records if isinstance(records, list) else [records]):
        with naming(documents[-1], f"record {number}"):
            study = _study(record, _row(table, record), images, options)
            if prior := _prior(record, study, prior_images, options):
                priors.setdefault(prior.study_id, prior)
        seen.add(study.study_id)
        yield study
    if with_priors:
        yield from (prior for prior in priors.values() if prior.study_id not in seen)


class _Options(NamedTuple):
    language: str
    projection: str
    privacy: PrivacyPolicy


def _table(root: Path) -> dict[str, dict[str, Any]]:
    """The table's first row of each study."""
    rows = read_table(require_table([root], TABLE), COLUMNS).to_pylist()
    studies: dict[str, dict[str, Any]] = {}
    for row in rows:
        studies.setdefault(row["StudyID"], row)
    return studies


def _row(table: Mapping[str, dict[str, Any]], record: Mapping[str, Any]) -> dict[str, Any]:
    row = table.get(str(record["StudyID"]))
    if row is None:
        raise ValueError(f"the table has no study {record['StudyID']}")
    return row


def _images(root: Path, folder: str) -> Mapping[str, str]:
    """File name → path of the images in a folder of the release, or key where they are still in pieces."""
    keys: dict[str, str] = {}
    for first in sorted(root.glob(f"{folder}/**/*.zip.001")):
        keys.update(member_keys(first))
    return keys | {path.name: str(path) for path in sorted(root.glob(f"{folder}/**/*.png"))}


def _study(record: dict[str, Any], row: dict[str, Any], images: Mapping[str, str], options: _Options) -> Study:
    study_id, image_id = str(record["StudyID"]), str(record["ImageID"])
    phrases = tuple(_phrase(finding, options.language, image_id) for finding in record["findings"])
    text = " ".join(phrase.text for phrase in phrases)
    return Study(
        dataset="padchest_gr",
        patient_id=row["PatientID"] or study_id,
        study_id=study_id,
        time=_date(row["StudyDate_DICOM"]),
        sex=next((sex for sex in get_args(Sex) if sex == row["PatientSex_DICOM"]), None),
        age=float(row["PatientAge"]) if row["PatientAge"] else None,
        views=(View(image_id, images.get(image_id), options.projection),),
        report=Report(text, {"findings": text}, options.language) if phrases else None,
        phrases=phrases,
        labels={"padchest_gr": {label: "positive" for p in phrases if p.polarity == "positive" for label in p.labels}},
        prior_study_id=_string(record.get("PreviousStudyID")),
        split=row["split"],
        privacy=options.privacy,
    )


def _phrase(finding: Mapping[str, Any], language: str, image_id: str) -> Phrase:
    texts = {name: str(finding[f"sentence_{name}"] or "") for name in LANGUAGES}
    readers = {"reader_1": _boxes(finding.get("boxes")), "reader_2": _boxes(finding.get("extra_boxes"))}
    return Phrase(
        texts.pop(language),
        translations=texts,
        boxes=readers["reader_1"] or None,
        boxes_by_reader={name: boxes for name, boxes in readers.items() if boxes},
        labels=tuple(map(str, finding.get("labels") or ())),
        locations=tuple(map(str, finding.get("locations") or ())),
        progression=_string(finding.get("progression")),
        polarity="positive" if finding["abnormal"] else "negative",
        view_id=image_id,
    )


def _boxes(values: Any) -> tuple[Box, ...]:
    return tuple(Box(*map(float, value)) for value in values or ())


def _prior(record: Mapping[str, Any], study: Study, images: Mapping[str, str], options: _Options) -> Study | None:
    image_id = _string(record.get("PreviousImageID"))
    if image_id is None or study.prior_study_id is None:
        return None
    view = View(image_id, images.get(image_id), options.projection)
    return Study(study.dataset, study.patient_id, study.prior_study_id, sex=study.sex, views=(view,), privacy=study.privacy)


def _string(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _date(value: str | None) -> datetime | None:
    return datetime.strptime(value.partition(".")[0], "%Y%m%d") if value else None
