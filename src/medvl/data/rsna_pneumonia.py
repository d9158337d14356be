"""RSNA Pneumonia Detection Challenge, stage 2: boxes around lung opacities (Shih et al. 2019; films from NIH ChestX-ray14).

``stage_2_train_labels.csv``: a row per box, ``x, y, width, height`` in pixels of 1024², empty where ``Target`` is 0.
``stage_2_detailed_class_info.csv``: one of three classes per film, repeated for each of its boxes. ``stage_2_train_images/<patientId>.dcm``
are 8-bit; the films of ``stage_2_test_images`` were released without labels. Sex, age and projection stand in the headers only. A
``patientId`` names a film, not a patient: it serves as both. The labelled films came in one piece: their split is ours, by hash, or that of
GLoRIA (Huang et al. 2021), which later papers took over: drawn from the films in order of ``patientId``, 70 / 15 / 15 %.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medvl.data.documents import naming
from medvl.data.hashed_split import hashed_split
from medvl.data.mimic_cxr_headers import Header, read_header
from medvl.data.tables import read_table, require_table
from medvl.geometry import box_from_pixels
from medvl.records import Box, LabelValue, Phrase, PrivacyPolicy, Study, View
from medvl.runtime.errors import InvalidBox

BOXES = "stage_2_train_labels"
CLASSES_TABLE = "stage_2_detailed_class_info"
TRAIN, TEST = "stage_2_train_images", "stage_2_test_images"
CORNERS = ("x", "y", "width", "height")
CLASSES = ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")
OPACITY = CLASSES[0]
GRID = (1024, 1024)
SHARES = {"train": 0.7, "validate": 0.15, "test": 0.15}
UNLABELLED = "unlabelled"
HINT = "give the folder of the stage 2 data"


def read_studies(
    root: Path | str,
    *,
    shares: Mapping[str, float] = SHARES,
    split: Literal["hash", "gloria"] = "hash",
    with_headers: bool = True,
    with_unlabelled: bool = False,
    privacy: PrivacyPolicy = "local_only",
) -> Iterator[Study]:
    """Yield one Study per film, in the order of the table of boxes, then the unlabelled films by name.

    ``labels["rsna_pneumonia"]`` holds the three classes, one positive; a film with an opacity has one phrase with all its boxes.

    Args:
        root: the folder of the challenge's data.
        shares: split → share of the labelled films, by hash.
        split: ``hash``, or ``gloria``, which is the published one only for the whole release.
        with_headers: whether to read each film's header for projection, size, sex and age.
        with_unlabelled: whether to yield the films of stage 2's test, in split ``unlabelled``.
        privacy: the policy that the studies carry.

    Raises:
        MissingFile: if a table is not there.
        MissingColumns: naming the table and every absent column.
        InvalidBox, InvalidValue: naming the row, if a box leaves its film, or target, box and class contradict one another.
    """
    root = Path(root)
    classes, boxes_of = _classes(root), _boxes(root)
    drawn = gloria_split(boxes_of) if split == "gloria" else {}
    for image_id, boxes in boxes_of.items():
        path = root / CLASSES_TABLE
        with naming(path, f"patientId {image_id}"):
            study = _study(image_id, root / TRAIN, with_headers, privacy)
            yield _labelled(study, classes[image_id], boxes, drawn.get(image_id) or hashed_split(image_id, shares))
    if with_unlabelled:
        for film in sorted((root / TEST).glob("*.dcm")):
            yield dataclasses.replace(_study(film.stem, root / TEST, with_headers, privacy), split=UNLABELLED)


def gloria_split(image_ids: Iterable[str]) -> dict[str, str]:
    """Film → split as GLoRIA draws it: scikit-learn's shuffle of seed 0 takes 30 % of the films in order of their ids, and again half.

    The half drawn the second time validates, the other tests.
    """
    ordered = np.array(sorted(image_ids))
    held_out = ordered[(order := _shuffle(len(ordered)))[: (count := math.ceil(0.3 * len(ordered)))]]
    validation = held_out[_shuffle(count)[: math.ceil(count / 2)]]
    named = dict.fromkeys(ordered[order[count:]].tolist(), "train") | dict.fromkeys(held_out.tolist(), "test")
    return named | dict.fromkeys(validation.tolist(), "validate")


def _shuffle(count: int) -> NDArray[np.int64]:
    return np.random.RandomState(0).permutation(count)


def _study(image_id: str, folder: Path, with_headers: bool, privacy: PrivacyPolicy) -> Study:
    path = folder / f"{image_id}.dcm"
    known = path.is_file()
    view = View(image_id, str(path) if known else None)
    header = read_header(str(path), image_id) if with_headers and known else Header(view)
    return Study("rsna_pneumonia", image_id, image_id, sex=header.sex, age=header.age, views=(header.view,), privacy=privacy)


def _labelled(study: Study, name: str, boxes: tuple[Box, ...], split: str) -> Study:
    if (name == OPACITY) != bool(boxes):
        raise ValueError(f"its class is {name!r}, but it has {len(boxes)} boxes")
    phrase = Phrase(OPACITY, boxes=boxes or None, labels=(OPACITY,), polarity="positive", view_id=study.study_id)
    values: dict[str, LabelValue] = {known: "positive" if known == name else "negative" for known in CLASSES}
    return dataclasses.replace(study, labels={"rsna_pneumonia": values}, phrases=(phrase,) if boxes else (), split=split)


def _classes(root: Path) -> dict[str, str]:
    path = require_table([root], CLASSES_TABLE, HINT)
    found: dict[str, str] = {}
    for number, row in enumerate(read_table(path, ("patientId", "class")).to_pylist(), start=2):
        with naming(path, f"row {number}"):
            if row["class"] not in CLASSES:
                raise ValueError(f"the class {row['class']!r} is not one of {', '.join(CLASSES)}")
            if found.setdefault(row["patientId"], row["class"]) != row["class"]:
                raise ValueError(f"{row['patientId']} has two classes")
    return found


def _boxes(root: Path) -> dict[str, tuple[Box, ...]]:
    path = require_table([root], BOXES, HINT)
    found: dict[str, tuple[Box, ...]] = {}
    for number, row in enumerate(read_table(path, ("patientId", *CORNERS, "Target")).to_pylist(), start=2):
        with naming(path, f"row {number}"):
            box = _box(path, number, row)
        found[row["patientId"]] = found.get(row["patientId"], ()) + ((box,) if box else ())
    return found


def _box(path: Path, number: int, row: Mapping[str, Any]) -> Box | None:
    given = [row[name] for name in CORNERS if row[name] is not None]
    if row["Target"] not in ("0", "1") or len(given) != 4 * int(row["Target"]) or not row["patientId"]:
        raise ValueError("a row needs a patientId, and a box exactly where its Target is 1")
    if not given:
        return None
    x, y, width, height = map(float, given)
    try:
        return box_from_pixels(x, y, width, height, GRID)
    except ValueError as error:
        raise InvalidBox(path, f"row {number}", str(error)) from error
