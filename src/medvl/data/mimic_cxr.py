"""MIMIC-CXR 2.1.0 and MIMIC-CXR-JPG 2.1.0 (Johnson et al. 2019; PhysioNet, credentialed).

Images lie in ``files/p10/p10000032/s50414267/<dicom_id>.dcm`` (or ``.jpg``), reports beside the study folder. The JPG release brings the
tables that say projection, time, split and labels; they keep ``2.0.0`` in their names. Either release will do: without those tables
projections and times are read from the DICOM headers. Kept as released: split ``validate``, views without a position, studies without a
label row. Changed: times that are floats get their leading zeros back; the radiologists' ``Airspace Opacity`` is called ``Lung Opacity``
as in the other label tables. Frontal means AP or PA; the JPG paper counts more frontal views, for it recovered missing positions.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from medvl.data.mimic_cxr_headers import Header, read_header
from medvl.data.mimic_cxr_reports import ReportSource, open_reports
from medvl.data.mimic_cxr_tables import (
    LABEL_TABLES,
    METADATA,
    ORIENTATION,
    LabelTable,
    Row,
    files_folder,
    find_in,
    read_labels,
    read_views,
    rows_by_patient,
)
from medvl.data.priors import with_priors
from medvl.data.report_sections import split_sections
from medvl.data.times import parse_time
from medvl.records import PrivacyPolicy, Report, Study, View
from medvl.runtime.errors import InvalidValue, MissingFile, UserError, did_you_mean

SPLITS = ("train", "validate", "test")
LOOKED_AT = 50  # listed images whose files tell which release holds them

ImageFormat = Literal["dicom", "jpg"]
LabelSource = Literal["chexpert", "negbio", "test_set"]


def read_studies(
    root: Path | str,
    *,
    jpg_root: Path | str | None = None,
    reports: Path | str | None = None,
    with_reports: bool = True,
    images: ImageFormat | None = None,
    labels: Sequence[LabelSource] = ("chexpert", "negbio", "test_set"),
    split: str | None = None,
    patients: Collection[str] | None = None,
    privacy: PrivacyPolicy = "local_only",
) -> Iterator[Study]:
    """Yield the studies patient by patient, in order of (patient, time, study id), each with its prior.

    Args:
        root: the DICOM release, or the JPG release when that is all there is.
        jpg_root: the JPG release; its tables are preferred.
        reports: the folder of the reports, or their archive; by default looked for in ``root``.
        with_reports: whether to read the report texts.
        images: which files the views name; by default DICOM if the first listed images have such files, else JPG.
        labels: label tables to read; those that are not at hand are left out, and so is the source of a study without a row.
        split: only this split (``train``, ``validate`` or ``test``).
        patients: only these patients.
        privacy: the policy that the studies carry.

    Raises:
        MissingFile: if a root, the tables, or the split table where a split is asked for are not there.
        MissingColumns: naming the table and every absent column.
        InvalidValue: naming the table and the value, if an identifier, a time or a label is not what the release allows.
    """
    roots = _existing([root] if jpg_root is None else [jpg_root, root])
    if split is not None and split not in SPLITS:
        raise UserError(f"mimic_cxr has no split {split!r}{did_you_mean(split, SPLITS)}")
    views = read_views(roots, need_split=split is not None)
    if patients is not None:
        views = views.filter(pc.is_in(views["subject_id"], pa.array(list(patients), pa.string())))
    tables: dict[str, LabelTable] = {
        source: read_labels(path, source) for source in labels if (path := find_in(roots, LABEL_TABLES[source]))
    }
    for source, table in tables.items():
        views = views.append_column(source, pc.index_in(views["study_id"], table.study_ids))
    patient_reader = _PatientReader(*_image_folder(roots, views, images), find_in(roots, METADATA), tables, privacy)
    with open_reports(Path(reports or root)) if with_reports else nullcontext() as texts:
        for rows in rows_by_patient(views):
            for study in patient_reader.studies(rows):
                if split is None or study.split == split:
                    yield _with_report(study, texts) if texts else study


@dataclasses.dataclass(frozen=True)
class _PatientReader:
    """Makes one patient's studies from the rows of the tables."""

    folder: str
    suffix: str
    metadata: Path | None
    tables: Mapping[str, LabelTable]
    privacy: PrivacyPolicy

    def studies(self, rows: Sequence[Row]) -> tuple[Study, ...]:
        """The patient's studies with their priors, without reports."""
        by_study = groupby(rows, key=itemgetter("study_id"))
        return with_priors(self._study(study_id, list(group)) for study_id, group in by_study)

    def _study(self, study_id: str, rows: Sequence[Row]) -> Study:
        headers = [self._header(row) for row in rows]
        first = rows[0]
        return Study(
            dataset="mimic_cxr",
            patient_id=first["subject_id"],
            study_id=study_id,
            time=min((h.time for h in headers if h.time), default=None),
            sex=next((h.sex for h in headers if h.sex), None),
            age=next((h.age for h in headers if h.age is not None), None),
            views=tuple(h.view for h in headers),
            labels={s: table.labels(first[s]) for s, table in self.tables.items() if first[s] is not None},
            split=first["split"],
            privacy=self.privacy,
        )

    def _header(self, row: Row) -> Header:
        """One image's facts, from its row of the metadata table or else from its file."""
        path = _image_path(row, self.folder, self.suffix)
        if self.metadata is None:
            return read_header(path, row["dicom_id"]) if self.suffix == "dcm" else Header(View(row["dicom_id"], path))
        try:
            height, width = _pixels(row["Rows"]), _pixels(row["Columns"])
            view = View(row["dicom_id"], path, row["ViewPosition"], height, width, orientation=row[ORIENTATION])
            return Header(view, parse_time(row["StudyDate"], row["StudyTime"]))
        except (ValueError, OverflowError) as error:
            raise InvalidValue(self.metadata, f"dicom_id {row['dicom_id']}", str(error)) from error


def _existing(roots: Sequence[Path | str]) -> tuple[Path, ...]:
    for folder in map(Path, roots):
        if not folder.is_dir():
            raise MissingFile(folder, "give the folder of the MIMIC-CXR or MIMIC-CXR-JPG release")
    return tuple(map(Path, roots))


def _image_folder(roots: Sequence[Path], views: pa.Table, images: ImageFormat | None) -> tuple[str, str]:
    """The folder of the images and their suffix."""
    dicom, jpg = (str(files_folder(roots[-1])), "dcm"), (str(files_folder(roots[0])), "jpg")
    if images is not None:
        return dicom if images == "dicom" else jpg
    first = views.slice(0, LOOKED_AT).to_pylist()
    return dicom if any(os.path.exists(_image_path(row, *dicom)) for row in first) else jpg


def _image_path(row: Row, folder: str, suffix: str) -> str:
    subject = row["subject_id"]
    return f"{folder}/p{subject[:2]}/p{subject}/s{row['study_id']}/{row['dicom_id']}.{suffix}"


def _pixels(value: str | None) -> int | None:
    return None if value is None else int(float(value))


def _with_report(study: Study, texts: ReportSource) -> Study:
    text = texts.read(study.patient_id, study.study_id)
    return study if text is None else dataclasses.replace(study, report=Report(text, split_sections(text, study.study_id)))
