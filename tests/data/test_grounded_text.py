"""Grounded text of MAIRA-2: bins are centres, boxes return to the original image, cut-off generations keep their complete phrases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvl.data.grounded_text import parse, to_original
from medvl.records import Box, Phrase


def test_phrases_carry_the_centres_of_their_bins():
    text = "<obj> Effusion on the left.<box><x10><y20><x30><y40></box><box><x55><y0><x99><y9></box></obj><obj> Heart normal.</obj>"

    answer = parse(text, strict=True)

    assert answer.report == (
        Phrase("Effusion on the left.", boxes=(Box(0.105, 0.205, 0.305, 0.405), Box(0.555, 0.005, 0.995, 0.095))),
        Phrase("Heart normal."),
    )
    assert (answer.malformed, answer.truncated) == (0, False)


def test_text_without_delimiters_is_a_plain_report():
    assert parse("  Heart normal. \n").report == "Heart normal."


def test_boxes_return_to_a_wide_original_on_whole_pixels():
    # 300 × 201 pixels: the square has 201, its left edge is at (300 − 201) // 2 = 49.
    box = to_original(Box(0.105, 0.205, 0.305, 0.405), (201, 300))

    assert box == Box(int(0.105 * 201 + 49) / 300, int(0.205 * 201) / 201, int(0.305 * 201 + 49) / 300, int(0.405 * 201) / 201)


def test_boxes_return_to_a_tall_original():
    assert to_original(Box(0, 0, 1, 1), (300, 200)) == Box(0, 50 / 300, 1, 250 / 300)


def test_a_generation_that_was_cut_off_keeps_its_complete_phrases():
    answer = parse("<obj>Heart normal.</obj><obj>Effusion<box><x10><y2")

    assert answer.report == (Phrase("Heart normal."),)
    assert answer.truncated


@pytest.mark.parametrize(
    "boxes",
    ["<box><x10><y20><x30></box>", "<box><y10><x20><x30><y40></box>", "<box><x30><y20><x10><y40></box>", "<box><x10><y20>", "</box>"],
)
def test_a_phrase_whose_boxes_cannot_be_read_stays_without_boxes_and_is_counted(boxes):
    answer = parse(f"<obj>Effusion{boxes}</obj>")

    assert answer.report == (Phrase("Effusion"),)
    assert answer.malformed == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<obj>Heart normal.</obj> and", "stands outside"),
        ("<obj>Heart normal.", "stands outside"),
        ("<obj>Effusion<box><x30><y20><x10><y40></box></obj>", "phrase 0 has a box"),
    ],
)
def test_the_strict_reading_fails_on_the_first_fault(text, message):
    with pytest.raises(ValueError, match=message):
        parse(text, strict=True)


@given(
    st.text(alphabet="a<>/objx1y2", max_size=40) | st.lists(st.sampled_from(["<obj>", "</obj>", "<box>", "</box>", "<x1>", "<y2>", "a"]))
)
def test_the_lenient_reading_never_fails(text):
    parse("".join(text))
