"""CheXpert 1.0: films of Stanford Hospital with fourteen labels drawn from their reports (Irvin et al. 2019; use agreement).

``train.csv`` and ``valid.csv``: a row per film, ``Path, Sex, Age, Frontal/Lateral, AP/PA`` and the labels: 1, 0, −1 (uncertain), empty
(not mentioned). ``test.csv`` (or ``test_labels.csv``) of the later test set may lack the columns in between. ``Path`` begins with the
edition's name, ``CheXpert-v1.0`` or ``CheXpert-v1.0-small``, and goes on ``train/patient00001/study1/view1_frontal.jpg``: patient and
study are read from it. A study's films repeat its labels. The release has no times, so that there are no priors. Radiologists labelled
``valid`` and ``test``, a rule-based labeller ``train``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, get_args

from medvl.data.ages import parse_age
from medvl.data.documents import naming
from medvl.data.hashed_split import hashed_split
from medvl.data.tables import find_table, read_table
from medvl.records import LabelValue, PrivacyPolicy, Sex, Study, View
from medvl.runtime.errors import MissingFile

TABLES = {"train": ("train",), "valid": ("valid",), "test": ("test", "test_labels")}
FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia",
    "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
ABOUT = ("Sex", "Age", "Frontal/Lateral", "AP/PA")
VALUES: Mapping[float, LabelValue] = {1.0: "positive", 0.0: "negative", -1.0: "uncertain"}
SHARES = {"train": 0.95, "validate": 0.05}


class _Film(NamedTuple):
    patient: str
    study: str
    view: View
    row: dict[str, Any]


def read_studies(root: Path | str, *, shares: Mapping[str, float] = SHARES, privacy: PrivacyPolicy = "local_only") -> Iterator[Study]:
    """Yield one Study per examination, in file order: ``train.csv``, then ``valid.csv``, then ``test.csv``, whichever are there.

    ``labels["chexpert"]`` holds the findings that are mentioned. Identifiers: ``patient00001``, ``patient00001_study1``,
    ``patient00001_study1_view1_frontal``.

    Args:
        root: the folder of the release, with the tables in it.
        shares: split → share of the patients of ``train.csv``, by hash; ``valid`` and ``test`` keep their names.
        privacy: the policy that the studies carry.

    Raises:
        MissingFile: if no table is there.
        MissingColumns: naming the table and every absent column.
        InvalidValue: naming the row, if a path, a label or an age is not what the release allows, or films of a study disagree.
    """
    root = Path(root)
    tables = {split: path for split, stems in TABLES.items() if (path := _first_table(root, stems))}
    if not tables:
        raise MissingFile(root / "train.csv", "give the folder of the CheXpert release")
    for split, path in tables.items():
        films = _films(root, path)
        for (patient, study_id), group in groupby(films, key=lambda film: (film.patient, film.study)):
            name = hashed_split(patient, shares) if split == "train" else split
            with naming(path, f"study {study_id}"):
                study = _study(list(group), name, privacy)
            yield study


def _first_table(root: Path, stems: Sequence[str]) -> Path | None:
    return next((path for stem in stems if (path := find_table(root, stem))), None)


def _films(root: Path, path: Path) -> list[_Film]:
    """The rows, a study's together, studies in the order of their first rows."""
    rows = read_table(path, ("Path", *FINDINGS), optional=ABOUT).to_pylist()
    studies: dict[str, list[_Film]] = {}
    for number, row in enumerate(rows, start=2):
        with naming(path, f"row {number}"):
            film = _film(root, row)
        studies.setdefault(film.study, []).append(film)
    return [film for films in studies.values() for film in films]


def _film(root: Path, row: dict[str, Any]) -> _Film:
    parts = PurePosixPath(row["Path"] or "").parts
    if len(parts) < 4 or not parts[-3].startswith("patient") or not parts[-2].startswith("study"):
        raise ValueError(f"the Path {row['Path']!r} does not end in patient, study and film")
    patient, study = parts[-3], f"{parts[-3]}_{parts[-2]}"
    file = root.joinpath(*parts[-4:])
    view_id = f"{study}_{PurePosixPath(parts[-1]).stem}"
    return _Film(patient, study, View(view_id, str(file) if file.is_file() else None, _projection(row, parts[-1])), row)


def _projection(row: Mapping[str, Any], file: str) -> str | None:
    """``LATERAL``, or what ``AP/PA`` says of a frontal film; a table without these columns leaves a frontal film's unknown."""
    direction = row["Frontal/Lateral"] or file.rpartition("_")[2].partition(".")[0].capitalize()
    return "LATERAL" if direction == "Lateral" else row["AP/PA"]


def _study(films: Sequence[_Film], split: str, privacy: PrivacyPolicy) -> Study:
    first = films[0]
    labels = _labels(first.row)
    if any(_labels(film.row) != labels for film in films[1:]):
        raise ValueError("its films have different labels")
    return Study(
        dataset="chexpert",
        patient_id=first.patient,
        study_id=first.study,
        sex=next((sex for sex in get_args(Sex) if (first.row["Sex"] or "").startswith(sex)), None),
        age=parse_age(first.row["Age"]) or None,  # 0 stands where the age is unknown: the set is of adults
        views=tuple(film.view for film in films),
        labels={"chexpert": labels},
        split=split,
        privacy=privacy,
    )


def _labels(row: Mapping[str, Any]) -> dict[str, LabelValue]:
    return {name: _value(name, row[name]) for name in FINDINGS if row[name] is not None}


def _value(name: str, text: str) -> LabelValue:
    if float(text) not in VALUES:
        raise ValueError(f"{name!r} is {text!r}, none of 1, 0 and −1")
    return VALUES[float(text)]
