"""MS-CXR: radiologists' boxes for phrases of MIMIC-CXR reports (Boecking et al. 2022; PhysioNet, credentialed).

Versions 0.1 to 1.1.0, ``MS_CXR_Local_Alignment_v*.csv`` or its COCO twin ``.json``; 1.1.0 adds a split (``train``, ``val``, ``test``). One
row is one box, in pixels ``x, y, w, h`` of the original image; rows with the same image, category and phrase are one Phrase, which names
its image as ``view_id``. Images, reports and times come from MIMIC-CXR. In the JSON an image is listed once for each of its phrases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from medvl.data.documents import naming, read_json
from medvl.data.mimic_cxr_derived import ImageIds, image_ids, joined, mimic_studies
from medvl.data.tables import find_table, read_table
from medvl.geometry import box_from_pixels
from medvl.records import Box, Phrase, PrivacyPolicy, Study, View
from medvl.runtime.errors import InvalidBox, MissingFile

STEM = "MS_CXR_Local_Alignment_v*"
NUMBERS = ("x", "y", "w", "h", "image_width", "image_height")
COLUMNS = ("dicom_id", "category_name", "label_text", "path", *NUMBERS)


def read_studies(
    root: Path | str,
    *,
    mimic_cxr: Path | str | Mapping[str, Study] | None = None,
    mimic_cxr_jpg: Path | str | None = None,
    source: Literal["csv", "json"] | None = None,
    privacy: PrivacyPolicy = "local_only",
) -> Iterator[Study]:
    """Yield the annotated studies in order of first appearance, with the annotated images as views and the phrases in file order.

    Args:
        root: the folder of the CSV and JSON files.
        mimic_cxr: the MIMIC-CXR release, or its studies by id, to take image files, reports, times and labels from.
        mimic_cxr_jpg: the MIMIC-CXR-JPG release, beside or instead of the former.
        source: which file to read; by default the CSV if there is one.
        privacy: the policy that the studies carry.

    Raises:
        MissingFile: if there is no such file.
        MissingColumns: naming the file and every absent column.
        InvalidBox: naming the row, if a box leaves its image by more than one pixel.
        InvalidValue: naming the row, if another value is not what the release allows.
    """
    rows = _rows(Path(root), source)
    by_study: dict[str, list[_Row]] = {}
    for row in rows:
        by_study.setdefault(row.ids.study_id, []).append(row)
    patients = {row.ids.patient_id for row in rows}
    mimic = mimic_studies(mimic_cxr, mimic_cxr_jpg, patients)
    for boxes in by_study.values():
        yield joined(_study(boxes, privacy), mimic)


def _study(rows: list[_Row], privacy: PrivacyPolicy) -> Study:
    sizes: dict[str, tuple[int, int]] = {}
    phrases: dict[tuple[str, str, str], list[Box]] = {}
    for row in rows:
        sizes.setdefault(row.ids.view_id, row.size)
        phrases.setdefault((row.ids.view_id, row.category, row.text), []).append(row.box)
    return Study(
        dataset="ms_cxr",
        patient_id=rows[0].ids.patient_id,
        study_id=rows[0].ids.study_id,
        views=tuple(View(view_id, height=height, width=width) for view_id, (height, width) in sizes.items()),
        phrases=tuple(
            Phrase(text, boxes=tuple(boxes), labels=(category,), view_id=view_id) for (view_id, category, text), boxes in phrases.items()
        ),
        split=rows[0].split,
        privacy=privacy,
    )


class _Row(NamedTuple):
    """One box of the table."""

    ids: ImageIds
    category: str
    text: str
    split: str | None
    size: tuple[int, int]
    box: Box


def _rows(root: Path, source: Literal["csv", "json"] | None) -> list[_Row]:
    table = find_table(root, STEM) if source != "json" else None
    if table:
        values = read_table(table, COLUMNS, optional=("split",)).to_pylist()
        return [_row(table, f"row {number}", value) for number, value in enumerate(values, start=2)]
    documents = sorted(root.glob(f"{STEM}.json")) if source != "csv" else []
    if not documents:
        raise MissingFile(root / f"{STEM}.{source or 'csv'}", "give the folder of the MS-CXR release")
    return _coco_rows(documents[-1])


def _coco_rows(path: Path) -> list[_Row]:
    """The annotations of the COCO document under the names of the table's columns."""
    document = read_json(path)
    with naming(path, "document"):
        images = {image["id"]: image for image in document["images"]}
        categories = {category["id"]: category["name"] for category in document["categories"]}
        annotations = list(document["annotations"])
    rows = []
    for number, annotation in enumerate(annotations):
        with naming(path, f"annotation {number}"):
            image = images[annotation["image_id"]]
            value = {
                "dicom_id": Path(image["file_name"]).stem,
                "path": image["path"],
                "category_name": str(categories[annotation["category_id"]]),
                "label_text": str(annotation["label_text"]),
                "split": annotation.get("split"),
                "image_width": image["width"],
                "image_height": image["height"],
                **dict(zip("xywh", annotation["bbox"], strict=True)),
            }
        rows.append(_row(path, f"annotation {number}", value))
    return rows


def _row(path: Path, where: str, value: dict[str, Any]) -> _Row:
    with naming(path, where):
        ids = image_ids(value["path"])
        if value["dicom_id"] != ids.view_id:
            raise ValueError(f"dicom_id {value['dicom_id']} is not that of its path {value['path']}")
        x, y, w, h, width, height = (float(value[name]) for name in NUMBERS)
        size = (int(height), int(width))
        if min(size) < 1 or not (value["category_name"] and value["label_text"]):
            raise ValueError("the image size, the category or the text is missing")
    try:
        box = box_from_pixels(x, y, w, h, size)
    except ValueError as error:
        raise InvalidBox(path, where, str(error)) from error
    return _Row(ids, value["category_name"], value["label_text"], value["split"], size, box)
