"""NIH ChestX-ray14: frontal films with fourteen findings mined from their reports, and some boxes (Wang et al. 2017; public).

``Data_Entry_2017_v2020.csv`` (or the older ``Data_Entry_2017.csv``): a row per film; findings joined by ``|``. Two column names hold a
comma, ``OriginalImage[Width,Height]`` and ``OriginalImagePixelSpacing[x,y]``, so that header and rows have eleven fields.
``BBox_List_2017.csv``: ``Bbox [x,y,w,h]`` in pixels of 1024² for 984 boxes, all on films of the test set; its rows are shorter than its
header, and its ``Infiltrate`` is the table's ``Infiltration``. ``train_val_list.txt`` and ``test_list.txt`` name the films of each part,
by patient. ``images*/**/*.png`` are 8-bit, 1024², whatever the original's size. ``Follow-up #`` numbers a patient's films without times:
every film is a study, and none is a prior.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from medvl.data.ages import parse_age
from medvl.data.documents import naming
from medvl.data.hashed_split import hashed_split
from medvl.data.tables import find_table, read_ragged, read_table, require_table
from medvl.geometry import box_from_pixels
from medvl.records import Box, LabelValue, Phrase, PrivacyPolicy, Sex, Study, View
from medvl.runtime.errors import InvalidBox

TABLE, OLDER_TABLE = "Data_Entry_2017_v2020", "Data_Entry_2017"
COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "Patient Gender", "View Position")
BOXES = "BBox_List_2017"
CORNERS = ("Bbox [x", "y", "w", "h]")
RENAMED = {"Infiltrate": "Infiltration"}
LISTS = {"train_val_list.txt": "train_val", "test_list.txt": "test"}
FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia", "Infiltration", "Mass",
    "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax",
)  # fmt: skip
NO_FINDING = "No Finding"
GRID = (1024, 1024)
SHARES = {"train": 0.875, "validate": 0.125}  # of the official train_val: 70 and 10 % of all patients, as its authors had


def read_studies(root: Path | str, *, shares: Mapping[str, float] = SHARES, privacy: PrivacyPolicy = "public") -> Iterator[Study]:
    """Yield one Study per film in file order.

    ``labels["nih_cxr14"]`` holds the fourteen findings, positive or negative, and ``No Finding``; a finding with boxes is a phrase.
    A film that neither list names has no split; neither has any without the lists.

    Args:
        root: the folder of the release.
        shares: split → share of the patients of ``train_val_list.txt``, by hash; the test list keeps its name.
        privacy: the policy that the studies carry.

    Raises:
        MissingFile: if the table is not there.
        MissingColumns: naming the table and every absent column.
        InvalidBox, InvalidValue: naming the row, if a finding is none of the fourteen, an age is no number, or a box leaves its film.
    """
    root = Path(root)
    path = find_table(root, TABLE) or find_table(root, OLDER_TABLE) or require_table([root], TABLE, "give the folder of the release")
    files = {file.name: str(file) for file in sorted(root.glob("images*/**/*.png"))}
    parts = {line.strip(): part for name, part in LISTS.items() if (root / name).is_file() for line in _lines(root / name)}
    boxes = _boxes(root)
    for number, row in enumerate(read_table(path, COLUMNS).to_pylist(), start=2):
        with naming(path, f"row {number}"):
            study = _study(row, files.get(row["Image Index"]), boxes.get(row["Image Index"], {}), privacy, _split(row, parts, shares))
        yield study


def _lines(path: Path) -> Sequence[str]:
    return path.read_text("utf-8-sig").splitlines()


def _split(row: Mapping[str, Any], parts: Mapping[str, str], shares: Mapping[str, float]) -> str | None:
    part = parts.get(row["Image Index"])
    return hashed_split(row["Patient ID"], shares) if part == "train_val" else part


def _study(
    row: Mapping[str, Any], file: str | None, boxes: Mapping[str, tuple[Box, ...]], privacy: PrivacyPolicy, split: str | None
) -> Study:
    image = row["Image Index"]
    phrases = (Phrase(name, boxes=found, labels=(name,), polarity="positive", view_id=image) for name, found in boxes.items())
    return Study(
        dataset="nih_cxr14",
        patient_id=row["Patient ID"],
        study_id=Path(image).stem,
        sex=next((sex for sex in get_args(Sex) if sex == row["Patient Gender"]), None),
        age=parse_age(row["Patient Age"]),
        views=(View(image, file, row["View Position"]),),
        phrases=tuple(phrases),
        labels={"nih_cxr14": _labels(row["Finding Labels"])},
        split=split,
        privacy=privacy,
    )


def _labels(joined: str) -> dict[str, LabelValue]:
    named = set(joined.split("|"))
    if unknown := sorted(named - {*FINDINGS, NO_FINDING}):
        raise ValueError(f"the finding {unknown[0]!r} is none of the fourteen")
    return {name: "positive" if name in named else "negative" for name in (*FINDINGS, NO_FINDING)}


def _boxes(root: Path) -> Mapping[str, dict[str, tuple[Box, ...]]]:
    """Image → finding → its boxes; nothing if the table is not at hand."""
    images: dict[str, dict[str, tuple[Box, ...]]] = defaultdict(dict)
    path = find_table(root, BOXES)
    if path is None:
        return images
    for number, row in enumerate(read_ragged(path, ("Image Index", "Finding Label", *CORNERS)), start=2):
        with naming(path, f"row {number}"):
            x, y, width, height = (float(row[name]) for name in CORNERS)
        try:
            box = box_from_pixels(x, y, width, height, GRID)
        except ValueError as error:
            raise InvalidBox(path, f"row {number}", str(error)) from error
        of_image = images[row["Image Index"]]
        finding = RENAMED.get(row["Finding Label"], row["Finding Label"])
        of_image[finding] = (*of_image.get(finding, ()), box)
    return images
