"""The records that every room speaks: frozen dataclasses with lossless JSON and Arrow forms.

Conventions, said once: identifiers are strings; missing is ``None``, never ``-1``, ``""`` or ``NaN``; a ``Box`` is normalised to the
original image, ``xyxy``, top-left origin; uncertain is a label value of its own. Mappings keep their order.

JSON form: one plain object per record, field names as below. Arrow form: the same fields; a mapping is ``list<struct<key, value>>``
so that every Parquet reader, Hugging Face ``datasets`` included, opens it; free-form ``meta`` is a JSON string.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1

LabelValue = Literal["positive", "negative", "uncertain"]
PrivacyPolicy = Literal["local_only", "zero_retention", "public"]
Sex = Literal["F", "M"]

FRONTAL = ("PA", "AP")
LATERAL = ("LATERAL", "LL")


@dataclasses.dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box, normalised to the original image: ``0 ≤ min ≤ max ≤ 1``, origin top left.

    Raises:
        ValueError: naming the four numbers, if they are out of range or order.
    """

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    def __post_init__(self) -> None:
        if not (0 <= self.x_min <= self.x_max <= 1 and 0 <= self.y_min <= self.y_max <= 1):
            raise ValueError(f"a box needs 0 ≤ min ≤ max ≤ 1, got {self.xyxy}")

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """The four numbers in the order x_min, y_min, x_max, y_max."""
        return self.x_min, self.y_min, self.x_max, self.y_max


@dataclasses.dataclass(frozen=True, slots=True)
class Phrase:
    """One statement about a study, grounded where ``boxes`` is not ``None``.

    Attributes:
        text: the sentence in the dataset's first language.
        translations: language code → the same sentence.
        boxes: the union used for training; ``None`` when nobody drew any; never empty.
        boxes_by_reader: reader name → that reader's own boxes.
        labels: the dataset's finding names, as it spells them.
        locations: the dataset's site names, as it spells them.
        progression: change since the prior, as the dataset spells it.
        polarity: whether the sentence affirms, denies or doubts its finding.
        view_id: the view whose frame the boxes are in.
    """

    text: str
    translations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    boxes: tuple[Box, ...] | None = None
    boxes_by_reader: Mapping[str, tuple[Box, ...]] = dataclasses.field(default_factory=dict)
    labels: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    progression: str | None = None
    polarity: LabelValue | None = None
    view_id: str | None = None

    def __post_init__(self) -> None:
        if self.boxes is not None and not self.boxes:
            raise ValueError("a phrase without boxes has boxes=None, not an empty tuple")


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """A radiology report: the whole text and its sections by normalised name (``findings``, ``impression``, …)."""

    text: str
    sections: Mapping[str, str] = dataclasses.field(default_factory=dict)
    language: str = "en"


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """One image of a study.

    Attributes:
        view_id: the image's identifier (MIMIC-CXR: ``dicom_id``).
        path: the image file; ``None`` where only annotations are at hand.
        projection: ``PA``, ``AP``, ``LATERAL``, ``LL``, … as the dataset spells it; ``None`` if unknown.
        height, width: pixels of the original image.
        pixel_spacing: (row, column) distance in millimetres.
        bits: bits stored per pixel.
        orientation: patient position, e.g. ``Erect`` or ``Recumbent``.
        device: the imaging device's maker or model.
    """

    view_id: str
    path: str | None = None
    projection: str | None = None
    height: int | None = None
    width: int | None = None
    pixel_spacing: tuple[float, float] | None = None
    bits: int | None = None
    orientation: str | None = None
    device: str | None = None

    @property
    def is_frontal(self) -> bool:
        """Whether the projection is PA or AP (the rule of Chest ImaGenome and CheXmask)."""
        return self.projection in FRONTAL

    @property
    def is_lateral(self) -> bool:
        """Whether the projection is LATERAL or LL."""
        return self.projection in LATERAL


@dataclasses.dataclass(frozen=True, slots=True)
class Progression:
    """A finding's change since the prior study, and how it was labelled (both as the dataset spells them)."""

    label: str
    quality: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Study:
    """One examination: its views, its report and what is known of them.

    Attributes:
        dataset: the dataset's name, e.g. ``mimic_cxr``.
        time: date and time of the examination (may be shifted by the release).
        age: years.
        labels: source → finding → value; an absent finding was not mentioned.
        progression: finding → change since the prior.
        masks: structure → ``file#view_id``, read by the dataset's reader.
        prior_study_id: the prior, by the rule of the house: the latest strictly earlier study with a frontal view.
        privacy: what may leave the machine; derivatives inherit it.
    """

    dataset: str
    patient_id: str
    study_id: str
    time: datetime | None = None
    sex: Sex | None = None
    age: float | None = None
    site: str | None = None
    views: tuple[View, ...] = ()
    report: Report | None = None
    phrases: tuple[Phrase, ...] = ()
    labels: Mapping[str, Mapping[str, LabelValue]] = dataclasses.field(default_factory=dict)
    progression: Mapping[str, Progression] = dataclasses.field(default_factory=dict)
    masks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    prior_study_id: str | None = None
    split: str | None = None
    privacy: PrivacyPolicy = "local_only"

    def frontal(self) -> View | None:
        """The frontal view in use: PA before AP, then by image id; ``None`` without one."""
        return min(
            (v for v in self.views if v.is_frontal),
            key=lambda v: (FRONTAL.index(v.projection or ""), v.view_id),
            default=None,
        )

    def lateral(self) -> View | None:
        """The first lateral view by image id; ``None`` without one."""
        return min((v for v in self.views if v.is_lateral), key=lambda v: v.view_id, default=None)


@dataclasses.dataclass(frozen=True, slots=True)
class SentencePair:
    """Two sentences and their relation (``entailment``, ``neutral``, ``contradiction``, ``paraphrase``)."""

    text_1: str
    text_2: str
    relation: str
    subset: str | None = None
    pair_id: str | None = None
    language: str = "en"
    privacy: PrivacyPolicy = "local_only"


@dataclasses.dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of a study: text, grounded phrases, and free-form ``meta`` (plain JSON values only)."""

    study_id: str
    dataset: str
    text: str | None = None
    phrases: tuple[Phrase, ...] = ()
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)


R = TypeVar("R")


def to_json(record: Any) -> dict[str, Any]:
    """The record as plain JSON values; boxes as ``[x_min, y_min, x_max, y_max]``, times in ISO 8601."""
    return {f.name: _plain(getattr(record, f.name)) for f in dataclasses.fields(record)}


def from_json(cls: type[R], value: Mapping[str, Any]) -> R:
    """The record of class ``cls`` that ``to_json`` wrote; absent fields take their defaults.

    Raises:
        ValueError: naming the class and the unknown field.
    """
    hints = _hints(cls)
    unknown = sorted(set(value) - set(hints))
    if unknown:
        raise ValueError(f"{cls.__name__} has no field {unknown[0]!r} (it has: {', '.join(hints)})")
    return cls(**{name: _typed(hints[name], item) for name, item in value.items()})


def phrase_of(value: Any) -> Phrase:
    """A phrase from the forms in which one is handed over: by this project, by RadFact, or by MAIRA-2's processor.

    A ``Phrase``; a string; a mapping with ``text`` and perhaps ``boxes`` and other fields of ``Phrase`` (further keys are left aside); a
    pair (text, boxes); an object with attributes ``text`` and ``boxes``. A box is a ``Box``, four numbers ``x_min, y_min, x_max, y_max``,
    or a mapping or object that names them. Ungrounded is ``None`` or no box at all.

    Raises:
        ValueError: naming what is wrong, never the text.
    """
    if isinstance(value, Phrase):
        return value
    if isinstance(value, str):
        return Phrase(value)
    if isinstance(value, (tuple, list)) and len(value) == 2:
        value = {"text": value[0], "boxes": value[1]}
    if not isinstance(value, Mapping):
        value = {"text": getattr(value, "text", None), "boxes": getattr(value, "boxes", None)}
    if not isinstance(value.get("text"), str):
        raise ValueError("a phrase needs a text")
    boxes = value.get("boxes")
    if not isinstance(boxes, (tuple, list, types.NoneType)):
        raise ValueError("the boxes of a phrase are a list, or null")
    known = {name: item for name, item in value.items() if name in _hints(Phrase) and name != "boxes"}
    return dataclasses.replace(from_json(Phrase, known), boxes=tuple(map(_box_of, boxes or ())) or None)


def _box_of(value: Any) -> Box:
    names = ("x_min", "y_min", "x_max", "y_max")
    if isinstance(value, Mapping):
        value = [value.get(name) for name in names]
    elif not isinstance(value, (tuple, list)):
        value = [getattr(value, name, None) for name in names]
    if len(value) != 4 or not all(isinstance(number, (int, float)) for number in value):
        raise ValueError("a box is four numbers x_min, y_min, x_max, y_max")
    return Box(*map(float, value))


def arrow_schema(cls: type) -> pa.Schema:
    """The Arrow schema of a record class."""
    import pyarrow as pa

    return pa.schema(
        [pa.field(name, _arrow_type(hint)) for name, hint in _hints(cls).items()],
        metadata={"schema_version": str(SCHEMA_VERSION)},
    )


def to_arrow(records: Iterable[Any], cls: type) -> pa.Table:
    """The records as one Arrow table in the schema of ``cls``."""
    import pyarrow as pa

    hints = _hints(cls)
    rows = [{name: _to_arrow(hint, getattr(r, name)) for name, hint in hints.items()} for r in records]
    return pa.Table.from_pylist(rows, schema=arrow_schema(cls))


def from_arrow(table: pa.Table, cls: type[R]) -> Iterator[R]:
    """The records of a table that ``to_arrow`` made; further columns are left aside."""
    hints = _hints(cls)
    for row in table.select(list(hints)).to_pylist():
        yield cls(**{name: _from_arrow(hint, row[name]) for name, hint in hints.items()})


def _hints(cls: type) -> dict[str, Any]:
    return _cached_hints(cls)


@cache
def _cached_hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _plain(value: Any) -> Any:
    if isinstance(value, Box):
        return list(value.xyxy)
    if dataclasses.is_dataclass(value):
        return to_json(value)
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _typed(hint: Any, value: Any) -> Any:
    hint = _without_none(hint)
    if value is None or hint is Any:
        return value
    if hint is Box:
        return Box(*value)
    if dataclasses.is_dataclass(hint):
        return from_json(hint, value)  # type: ignore[arg-type]
    if hint is datetime:
        return datetime.fromisoformat(value)
    if hint is float:
        return float(value)
    if _is_mapping(hint):
        return {k: _typed(get_args(hint)[1], v) for k, v in value.items()}
    if get_origin(hint) is tuple:
        return tuple(_typed(get_args(hint)[0], v) for v in value)
    return value


def _arrow_type(hint: Any) -> pa.DataType:
    import pyarrow as pa

    hint = _without_none(hint)
    scalars = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), datetime: pa.timestamp("us")}
    if hint in scalars:
        return scalars[hint]
    if get_origin(hint) is Literal or _is_free_form(hint):
        return pa.string()
    if dataclasses.is_dataclass(hint):
        return pa.struct([pa.field(name, _arrow_type(inner)) for name, inner in _hints(hint).items()])  # type: ignore[arg-type]
    if _is_mapping(hint):
        return pa.list_(pa.struct([pa.field("key", pa.string()), pa.field("value", _arrow_type(get_args(hint)[1]))]))
    return pa.list_(_arrow_type(get_args(hint)[0]))


def _to_arrow(hint: Any, value: Any) -> Any:
    hint = _without_none(hint)
    if value is None:
        return None
    if _is_free_form(hint):
        return json.dumps(value, ensure_ascii=False)
    if dataclasses.is_dataclass(hint):
        return {name: _to_arrow(inner, getattr(value, name)) for name, inner in _hints(hint).items()}  # type: ignore[arg-type]
    if _is_mapping(hint):
        return [{"key": k, "value": _to_arrow(get_args(hint)[1], v)} for k, v in value.items()]
    if get_origin(hint) is tuple:
        return [_to_arrow(get_args(hint)[0], v) for v in value]
    return value


def _from_arrow(hint: Any, value: Any) -> Any:
    hint = _without_none(hint)
    if value is None:
        return None
    if _is_free_form(hint):
        return json.loads(value)
    if dataclasses.is_dataclass(hint):
        return hint(**{name: _from_arrow(inner, value[name]) for name, inner in _hints(hint).items()})  # type: ignore[arg-type,operator]
    if _is_mapping(hint):
        return {item["key"]: _from_arrow(get_args(hint)[1], item["value"]) for item in value}
    if get_origin(hint) is tuple:
        return tuple(_from_arrow(get_args(hint)[0], v) for v in value)
    return value


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        return next(h for h in get_args(hint) if h is not type(None))
    return hint


def _is_mapping(hint: Any) -> bool:
    return get_origin(hint) is not None and isinstance(get_origin(hint), type) and issubclass(get_origin(hint), Mapping)


def _is_free_form(hint: Any) -> bool:
    return _is_mapping(hint) and get_args(hint)[1] is Any
