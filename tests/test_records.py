"""Records survive JSON and Arrow unchanged, and refuse what they cannot mean."""

import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvl import records
from medvl.records import Box, Phrase, Prediction, Progression, Report, SentencePair, Study, View, phrase_of, to_json

text = st.text(max_size=12)
missing_text = st.none() | text
number = st.floats(allow_nan=False, allow_infinity=False)
boxes = st.lists(st.floats(0, 1), min_size=4, max_size=4).map(lambda v: Box(*sorted(v[:2])[:1], *sorted(v[2:])[:1], max(v[:2]), max(v[2:])))
box_tuples = st.lists(boxes, min_size=1, max_size=3).map(tuple)
label_values = st.sampled_from(["positive", "negative", "uncertain"])
phrases = st.builds(
    Phrase,
    text=text,
    translations=st.dictionaries(text, text, max_size=2),
    boxes=st.none() | box_tuples,
    boxes_by_reader=st.dictionaries(text, box_tuples, max_size=2),
    labels=st.lists(text, max_size=2).map(tuple),
    locations=st.lists(text, max_size=2).map(tuple),
    progression=missing_text,
    polarity=st.none() | label_values,
    view_id=missing_text,
)
views = st.builds(
    View,
    view_id=text,
    path=missing_text,
    projection=missing_text,
    height=st.none() | st.integers(1, 9999),
    width=st.none() | st.integers(1, 9999),
    pixel_spacing=st.none() | st.tuples(number, number),
    bits=st.none() | st.integers(1, 16),
)
studies = st.builds(
    Study,
    dataset=text,
    patient_id=text,
    study_id=text,
    time=st.none() | st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2250, 1, 1)),
    sex=st.none() | st.sampled_from(["F", "M"]),
    age=st.none() | number,
    views=st.lists(views, max_size=2).map(tuple),
    report=st.none() | st.builds(Report, text=text, sections=st.dictionaries(text, text, max_size=2)),
    phrases=st.lists(phrases, max_size=2).map(tuple),
    labels=st.dictionaries(text, st.dictionaries(text, label_values, max_size=2), max_size=2),
    progression=st.dictionaries(text, st.builds(Progression, label=text, quality=missing_text), max_size=2),
    masks=st.dictionaries(text, text, max_size=2),
    prior_study_id=missing_text,
    split=missing_text,
    privacy=st.sampled_from(["local_only", "zero_retention", "public"]),
)
pairs = st.builds(SentencePair, text_1=text, text_2=text, relation=text, subset=missing_text, pair_id=missing_text)
meta = st.dictionaries(text, st.none() | st.integers(-9, 9) | text | st.lists(text, max_size=2), max_size=2)
predictions = st.builds(
    Prediction, study_id=text, dataset=text, text=missing_text, phrases=st.lists(phrases, max_size=2).map(tuple), meta=meta
)


@given(st.one_of(boxes, phrases, views, studies, pairs, predictions))
def test_every_record_survives_json(record):
    plain = json.loads(json.dumps(records.to_json(record))) if not isinstance(record, Box) else None

    restored = records.from_json(type(record), plain) if plain is not None else Box(*json.loads(json.dumps(record.xyxy)))

    assert restored == record


@given(st.lists(studies, max_size=3))
def test_studies_survive_arrow(written):
    table = records.to_arrow(written, Study)

    assert list(records.from_arrow(table, Study)) == written


@given(st.lists(predictions, max_size=3))
def test_predictions_survive_arrow(written):
    table = records.to_arrow(written, Prediction)

    assert list(records.from_arrow(table, Prediction)) == written


@given(st.lists(pairs, max_size=3))
def test_sentence_pairs_survive_arrow(written):
    table = records.to_arrow(written, SentencePair)

    assert list(records.from_arrow(table, SentencePair)) == written


@pytest.mark.parametrize("xyxy", [(-0.1, 0, 1, 1), (0, 0, 1.1, 1), (0.6, 0, 0.5, 1), (0, 0, 1, float("nan"))])
def test_a_box_out_of_range_or_order_is_refused(xyxy):
    with pytest.raises(ValueError, match="0 ≤ min ≤ max ≤ 1"):
        Box(*xyxy)


def test_a_phrase_without_boxes_says_none():
    with pytest.raises(ValueError, match="boxes=None"):
        Phrase("No effusion.", boxes=())


def test_an_unknown_field_is_named():
    with pytest.raises(ValueError, match="View has no field 'hight'"):
        records.from_json(View, {"view_id": "a", "hight": 3})


def test_the_frontal_in_use_is_pa_before_ap_then_by_image_id():
    study = Study(
        "d",
        "p",
        "s",
        views=(View("c", projection="AP"), View("b", projection="PA"), View("a", projection="PA"), View("0", projection="LL")),
    )

    assert study.frontal() == View("a", projection="PA")
    assert study.lateral() == View("0", projection="LL")


def test_a_study_without_views_has_no_frontal():
    assert Study("d", "p", "s", views=(View("x"),)).frontal() is None


class Named:
    """An object of a peer: whatever its class, it has these attributes."""

    def __init__(self, **values):
        self.__dict__.update(values)


EDGES = {"x_min": 0, "y_min": 0, "x_max": 0.5, "y_max": 1}
LEFT_HALF = Box(0, 0, 0.5, 1)


@pytest.mark.parametrize("box", [LEFT_HALF, [0, 0, 0.5, 1], EDGES, Named(**EDGES)])
def test_a_grounded_phrase_is_taken_in_every_form_in_which_one_is_handed_over(box):
    forms = [{"text": "x", "boxes": [box], "score": 1}, ("x", [box]), ["x", (box,)], Named(text="x", boxes=[box])]

    assert [phrase_of(form) for form in forms] == [Phrase("x", boxes=(LEFT_HALF,))] * 4


@pytest.mark.parametrize("form", ["x", {"text": "x"}, {"text": "x", "boxes": []}, ("x", None), Named(text="x"), Phrase("x")])
def test_an_ungrounded_phrase_has_no_boxes(form):
    assert phrase_of(form) == Phrase("x")


def test_a_phrase_of_this_project_keeps_its_other_fields():
    phrase = Phrase("x", boxes=(LEFT_HALF,), boxes_by_reader={"a": (LEFT_HALF,)}, labels=("effusion",), polarity="positive")

    assert phrase_of(to_json(phrase)) == phrase


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"boxes": None}, "needs a text"),
        (3, "needs a text"),
        (("x", "whole"), "are a list"),
        (("x", [[0, 1]]), "four numbers"),
        (("x", [{"x_min": 0}]), "four numbers"),
        (("x", [[0, 0, 2, 1]]), "0 ≤ min ≤ max ≤ 1"),
    ],
)
def test_what_is_no_phrase_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        phrase_of(value)
