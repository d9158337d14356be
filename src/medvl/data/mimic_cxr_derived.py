"""What the datasets annotated upon MIMIC-CXR share: their images are MIMIC-CXR's, named by ``p10/p10000032/s50414267/<dicom_id>``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from medvl.data import mimic_cxr
from medvl.records import Study, View
from medvl.runtime.privacy import strictest

IMAGE_PATH = re.compile(r"(?:^|/)p(\d+)/s(\d+)/([0-9a-f-]+)(?:\.\w+)?$")


class ImageIds(NamedTuple):
    """The identifiers that an image's path holds."""

    patient_id: str
    study_id: str
    view_id: str


def image_ids(path: str) -> ImageIds:
    """The identifiers of an image by its path, with or without ``files/`` and an extension.

    Raises:
        ValueError: if the path is not of that form.
    """
    match = IMAGE_PATH.search(path)
    if match is None:
        raise ValueError(f"{path!r} is not a path such as p10/p10000032/s50414267/<dicom_id>")
    return ImageIds(*match.groups())


def mimic_studies(
    source: Path | str | Mapping[str, Study] | None, jpg_root: Path | str | None, patients: Collection[str]
) -> Mapping[str, Study]:
    """MIMIC-CXR studies by id: those given, or those of the patients in the release at hand; none of neither."""
    if isinstance(source, Mapping):
        return source
    root = source or jpg_root
    if root is None:
        return {}
    return {study.study_id: study for study in mimic_cxr.read_studies(root, jpg_root=jpg_root, patients=patients)}


def joined(study: Study, mimic: Mapping[str, Study]) -> Study:
    """The annotated study with what MIMIC-CXR knows of it: report, time, labels, prior, and its own views' files.

    What the annotation says itself stays: its phrases, progression, prior, split and image sizes. A study that is not at hand stays
    as it is.
    """
    known = mimic.get(study.study_id)
    if known is None:
        return study
    views = {view.view_id: view for view in known.views}
    return dataclasses.replace(
        study,
        time=known.time,
        sex=known.sex,
        age=known.age,
        views=tuple(_joined_view(view, views.get(view.view_id)) for view in study.views),
        report=known.report,
        labels={**known.labels, **study.labels},
        prior_study_id=study.prior_study_id or known.prior_study_id,
        split=study.split or known.split,
        privacy=strictest((study.privacy, known.privacy)),
    )


def _joined_view(view: View, known: View | None) -> View:
    return view if known is None else dataclasses.replace(known, height=view.height or known.height, width=view.width or known.width)
