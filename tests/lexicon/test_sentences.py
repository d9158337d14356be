import pytest

from medvl.lexicon.sentences import split_sentences


def texts(text, language="en"):
    return [s.text for s in split_sentences(text, language)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tip 4.5 cm above the carina. No effusion.", ["Tip 4.5 cm above the carina.", "No effusion."]),
        ("Discussed with Dr. Smith. Stable.", ["Discussed with Dr. Smith.", "Stable."]),
        ("1. Edema.\n2. Effusion.", ["Edema.", "Effusion."]),
        ("Tube 2 cm. above the carina.", ["Tube 2 cm. above the carina."]),
        ("no effusion. heart is large.", ["no effusion.", "heart is large."]),
        ("The heart\n is large.", ["The heart\n is large."]),
        ("FINDINGS:  Clear.\n \nIMPRESSION: Normal", ["Clear.", "Normal"]),
        ("", []),
        ("___", []),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text, expected):
    assert texts(text) == expected


def test_positions_point_into_the_text():
    text = "FINDINGS: One.  Two.\n\nIMPRESSION:\n 1. Three."

    found = split_sentences(text)

    assert [text[s.start : s.end] for s in found] == [s.text for s in found] == ["One.", "Two.", "Three."]
    assert [s.section for s in found] == ["find", "find", "impr"]


def test_spanish_headers_are_known():
    assert [s.section for s in split_sentences("HALLAZGOS: Normal.\n\nIMPRESIÓN: Normal.", "es")] == ["find", "impr"]
