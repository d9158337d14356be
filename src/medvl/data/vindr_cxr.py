"""VinDr-CXR 1.0.0: films from two hospitals of Hanoi with boxes and labels of radiologists (Nguyen et al. 2022; PhysioNet, credentialed).

``annotations/annotations_{train,test}.csv``: a row per box, ``x_min, y_min, x_max, y_max`` in pixels of the film, empty for ``No finding``.
``annotations/image_labels_{train,test}.csv``: a column per finding, 0 or 1. Each training film has three of seventeen readers (``rad_id``);
the test set has a consensus of five and no reader. ``{train,test}/<image_id>.dicom`` hold sizes, sexes and some ages. The release names no
patients: a film counts as its own. All films are postero-anterior, which no header says. ``Other disease`` of the test set's table is
called ``Other diseases`` as in the other one. The training films' labels are a majority of their readers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from medvl.data.documents import naming
from medvl.data.hashed_split import hashed_split
from medvl.data.mimic_cxr_headers import Header, read_header
from medvl.data.tables import column_names, read_table, require_table
from medvl.geometry import Size, box_from_pixels
from medvl.records import Box, LabelValue, Phrase, PrivacyPolicy, Study, View
from medvl.runtime.errors import InvalidBox, MissingColumns, UserError

SETS = ("train", "test")
CORNERS = ("x_min", "y_min", "x_max", "y_max")
NO_FINDING = "No finding"
RENAMED = {"Other disease": "Other diseases"}
SHARES = {"train": 0.9, "validate": 0.1}
HINT = "give the folder of the VinDr-CXR release"


class _Drawn(NamedTuple):
    """One row of the boxes: where it stands, what, by whom, and its corners in pixels."""

    row: int
    finding: str
    reader: str | None
    corners: tuple[float, float, float, float]


def read_studies(
    root: Path | str, *, shares: Mapping[str, float] = SHARES, projection: str = "PA", privacy: PrivacyPolicy = "local_only"
) -> Iterator[Study]:
    """Yield one Study per film: the training films in the order of their labels, then the test films.

    ``labels["vindr_cxr"]`` holds every finding: the majority of a training film's readers, the consensus of a test film.
    ``labels["vindr_cxr_<rad_id>"]`` holds each reader's own. A phrase per finding has all readers' boxes, and ``boxes_by_reader``.

    Args:
        root: the folder of the release.
        shares: split → share of the training films, by hash; the test set keeps its name.
        projection: taken for every film.
        privacy: the policy that the studies carry.

    Raises:
        MissingFile: if a table is not there.
        MissingColumns: naming the table and every absent column.
        InvalidBox, InvalidValue: naming the row, if a box leaves its film, its film's size is not to be had, or a label is not 0 or 1.
    """
    folder = Path(root) / "annotations"
    for name in SETS:
        labels = _labels(require_table([folder], f"image_labels_{name}", HINT), with_readers=name == "train")
        boxes_path = require_table([folder], f"annotations_{name}", HINT)
        drawn = _drawn(boxes_path, with_readers=name == "train")
        for image_id, by_reader in labels.items():
            header = _header(Path(root) / name / f"{image_id}.dicom", image_id, projection)
            yield Study(
                dataset="vindr_cxr",
                patient_id=image_id,
                study_id=image_id,
                sex=header.sex,
                age=header.age,
                views=(header.view,),
                phrases=_phrases(boxes_path, header.view, drawn.get(image_id, ())),
                labels=_label_sources(by_reader),
                split=hashed_split(image_id, shares) if name == "train" else name,
                privacy=privacy,
            )


def _labels(path: Path, *, with_readers: bool) -> dict[str, dict[str | None, dict[str, LabelValue]]]:
    """Image → reader → finding → value; the reader of a consensus is ``None``."""
    ids = ("image_id", "rad_id") if with_readers else ("image_id",)
    found = column_names(path)
    names = [name for name in found if name not in ("image_id", "rad_id", "")]
    if not names:
        raise MissingColumns(path, [NO_FINDING], found)
    images: dict[str, dict[str | None, dict[str, LabelValue]]] = {}
    for number, row in enumerate(read_table(path, (*ids, *names)).to_pylist(), start=2):
        with naming(path, f"row {number}"):
            if not row["image_id"] or (with_readers and not row["rad_id"]):
                raise ValueError("the film or its reader is not named")
            values = {RENAMED.get(name, name): _value(name, row[name]) for name in names}
        images.setdefault(row["image_id"], {})[row["rad_id"] if with_readers else None] = values
    return images


def _value(name: str, text: str | None) -> LabelValue:
    if text not in ("0", "1", "0.0", "1.0"):
        raise ValueError(f"{name!r} is {text!r}, neither 0 nor 1")
    return "positive" if text.startswith("1") else "negative"


def _label_sources(by_reader: Mapping[str | None, Mapping[str, LabelValue]]) -> dict[str, dict[str, LabelValue]]:
    readers = list(by_reader.values())
    agreed: dict[str, LabelValue] = {
        name: "positive" if 2 * sum(values[name] == "positive" for values in readers) > len(readers) else "negative" for name in readers[0]
    }
    return {"vindr_cxr": agreed} | {f"vindr_cxr_{reader}": dict(values) for reader, values in by_reader.items() if reader}


def _drawn(path: Path, *, with_readers: bool) -> Mapping[str, Sequence[_Drawn]]:
    ids = ("image_id", "class_name", *(("rad_id",) if with_readers else ()))
    images: dict[str, list[_Drawn]] = defaultdict(list)
    for number, row in enumerate(read_table(path, (*ids, *CORNERS)).to_pylist(), start=2):
        if row["class_name"] == NO_FINDING:
            continue
        with naming(path, f"row {number}"):
            x0, y0, x1, y1 = (float(row[name]) for name in CORNERS)
            finding = RENAMED.get(row["class_name"], row["class_name"])
        images[row["image_id"]].append(_Drawn(number, finding, row.get("rad_id"), (x0, y0, x1, y1)))
    return images


def _header(path: Path, image_id: str, projection: str) -> Header:
    """The film's header; its view position, where one stands, gives way to ``projection``."""
    if not path.is_file():
        return Header(View(image_id, projection=projection))
    header = read_header(str(path), image_id)
    v = header.view
    view = View(image_id, v.path, projection, v.height, v.width, v.pixel_spacing, v.bits, v.orientation, v.device)
    return Header(view, header.time, header.sex, header.age)


def _phrases(path: Path, view: View, drawn: Sequence[_Drawn]) -> tuple[Phrase, ...]:
    if not drawn:
        return ()
    if view.height is None or view.width is None:
        raise UserError(f"{path}, row {drawn[0].row}: the boxes are in pixels, but the film {view.view_id} is missing or damaged")
    size = view.height, view.width
    boxes = [(item, _box(path, item, size)) for item in drawn]
    return tuple(_phrase(finding, view, [(i, b) for i, b in boxes if i.finding == finding]) for finding in _distinct(drawn))


def _distinct(drawn: Sequence[_Drawn]) -> Sequence[str]:
    return list(dict.fromkeys(item.finding for item in drawn))


def _phrase(finding: str, view: View, boxes: Sequence[tuple[_Drawn, Box]]) -> Phrase:
    readers: dict[str, tuple[Box, ...]] = {}
    for item, box in boxes:
        if item.reader:
            readers[item.reader] = (*readers.get(item.reader, ()), box)
    everything = tuple(box for _, box in boxes)
    return Phrase(finding, boxes=everything, boxes_by_reader=readers, labels=(finding,), polarity="positive", view_id=view.view_id)


def _box(path: Path, item: _Drawn, size: Size) -> Box:
    x0, y0, x1, y1 = item.corners
    try:
        return box_from_pixels(x0, y0, x1 - x0, y1 - y0, size)
    except ValueError as error:
        raise InvalidBox(path, f"row {item.row}", str(error)) from error
