"""Report sections: the rules of the official MIMIC-CXR parser on invented reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvl.data.report_section_rules import CONCLUSION_RANGES, FINDINGS_TITLES, MISNAMED_CONCLUSIONS, SPELLINGS
from medvl.data.report_sections import conclusion_rows, impression_findings_rows, split_sections

HEADER = "                                 FINAL REPORT"


def report(*sections: str) -> str:
    return "\n \n ".join((HEADER, *sections))


def test_a_report_splits_at_its_headers_and_keeps_every_section():
    text = report(
        "EXAMINATION:  CHEST (PA AND LAT)",
        "INDICATION:  Cough.",
        "TECHNIQUE:  Two views.",
        "FINDINGS: \n \n Clear.",
        "IMPRESSION: \n \n Normal.",
    )

    sections = split_sections(text)

    assert sections == {
        "preamble": "FINAL REPORT",
        "examination": "CHEST (PA AND LAT)",
        "indication": "Cough.",
        "technique": "Two views.",
        "findings": "Clear.",
        "impression": "Normal.",
    }


def test_text_without_a_header_is_the_full_report():
    assert split_sections("The lungs are clear.") == {"full report": "The lungs are clear."}


@pytest.mark.parametrize(("name", "header"), [(name, spelling.upper()) for name, all_of in SPELLINGS.items() for spelling in all_of])
def test_every_known_spelling_means_its_section(name, header):
    assert split_sections(report(f"{header}: Something."))[name] == "Something."


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("FINAL IMPRESSION", "impression"),
        ("FINDINGS AND HISTORY", "findings"),
        ("PERTINENT HISTORY", "history"),
        ("ADDENDUM COMPARISON", "comparison"),
        ("CHEST HISTORY", "history"),
        ("SPINE", "spine"),
    ],
)
def test_other_headers_go_by_the_first_main_section_they_contain(header, name):
    assert split_sections(report(f"{header}: Something."))[name] == "Something."


@pytest.mark.parametrize("title", FINDINGS_TITLES)
def test_a_header_that_names_the_examination_begins_findings(title):
    assert split_sections(report(f"UPRIGHT {title.upper()} TODAY: Clear."))["findings"] == "Clear."


def test_a_header_needs_a_space_before_it_and_white_space_after_its_colon():
    text = report("INDICATION: Cough.\nIMPRESSION: no space before\n TIME:12.\n   FINDINGS: Clear.")

    assert list(split_sections(text)) == ["preamble", "indication", "findings"]


def test_capitals_and_a_colon_on_a_header_line_belong_to_its_section():
    text = report("FINDINGS:  LINES: in place.\n LUNGS: clear.")

    assert split_sections(text) == {"preamble": "FINAL REPORT", "findings": "LINES: in place.", "lungs": "clear."}


def test_a_header_on_the_next_line_is_missed_when_the_colon_ends_its_line():
    missed, found = split_sections(" x\n INDICATION:\n FINDINGS: Clear."), split_sections(" x\n INDICATION: \n FINDINGS: Clear.")

    assert missed == {"preamble": "x", "indication": "FINDINGS: Clear."}
    assert found == {"preamble": "x", "indication": "", "findings": "Clear."}


def test_an_empty_findings_title_is_dropped():
    sections = split_sections(report("CHEST, PA LATERAL: ", "INDICATION:  Cough.", "IMPRESSION: Normal."))

    assert "findings" not in sections
    assert sections["indication"] == "Cough."


def test_a_repeated_header_gives_its_last_text_that_is_not_empty():
    text = report("FINDINGS: First.", "TECHNIQUE: One.", "FINDINGS: Second.", "TECHNIQUE: ", "FINDINGS: ")

    sections = split_sections(text)

    assert sections["findings"] == "Second."
    assert sections["technique"] == "One."


def test_without_conclusion_what_follows_the_first_blank_line_is_the_last_paragraph():
    sections = split_sections(report("COMPARISON: None.\n \n Lungs clear.\n \n Heart normal."))

    assert sections["comparison"] == "None."
    assert sections["last_paragraph"] == "Lungs clear.\n \n Heart normal."


def test_a_report_with_findings_has_no_last_paragraph():
    assert "last_paragraph" not in split_sections(report("FINDINGS: Clear.", "COMPARISON: None.\n \n More."))


@pytest.mark.parametrize(("name", "study"), [(name, studies[0]) for name, studies in MISNAMED_CONCLUSIONS.items()])
@pytest.mark.parametrize("prefix", ["", "s"])
def test_the_impression_of_a_misnamed_study_is_the_section_its_rule_names(name, study, prefix):
    text = report(f"{name.upper()}: No change.", "COMPARISON: None.")

    assert split_sections(text, prefix + study)["impression"] == "No change."
    assert "impression" not in split_sections(text)
    assert list(conclusion_rows([(study, text)])) == [(f"s{study}", "No change.")]


def test_the_impression_of_a_hand_sectioned_study_is_its_character_range():
    text = report("COMPARISON: " + "abcdefghij" * 60)
    start, end = CONCLUSION_RANGES["56579911"]

    assert split_sections(text, "s56579911")["impression"] == text[start:end]
    assert list(conclusion_rows([("s56579911", text)])) == [("s56579911", text[start:end])]


def test_a_study_set_by_hand_to_have_no_conclusion_has_none():
    text = report("COMPARISON: None.\n \n See the CT.")

    assert split_sections(text, "s58235663") == {"preamble": "FINAL REPORT", "comparison": "None.\n \n See the CT."}
    assert list(conclusion_rows([("58235663", text)])) == [("s58235663", "")]


def test_a_misnamed_study_without_the_section_its_rule_names_is_an_ordinary_one():
    text = report("FINDINGS: Clear.")

    assert split_sections(text, "s50913680") == split_sections(text)


def test_sectioned_rows_take_the_last_of_each_name_and_leave_out_custom_studies():
    ordinary = report("FINDINGS: One.", "COMPARISON: None.", "FINDINGS: Two.", "COMPARISON: ")

    rows = list(impression_findings_rows([("50000001", ordinary), ("s50913680", ordinary), ("s50525523", ordinary), ("s50000002", "")]))

    assert rows == [
        {"study": "s50000001", "impression": None, "findings": "Two.", "last_paragraph": None, "comparison": ""},
        {"study": "s50000002", "impression": None, "findings": None, "last_paragraph": None, "comparison": None},
    ]


def test_the_conclusion_is_impression_before_findings_before_last_paragraph_before_comparison():
    texts = [report(*sections) for sections in (["IMPRESSION: A.", "FINDINGS: B."], ["FINDINGS: B.", "COMPARISON: D."], ["COMPARISON: D."])]
    texts += [report("COMPARISON: D.\n \n C."), report("NOTE: E.")]

    rows = conclusion_rows((f"5000000{i}", text) for i, text in enumerate(texts))

    assert [conclusion for _, conclusion in rows] == ["A.", "B.", "D.", "C.", ""]


def test_the_published_tables_have_their_published_sizes():
    ranges = list(CONCLUSION_RANGES.values())

    assert sum(map(len, MISNAMED_CONCLUSIONS.values())) == 23
    assert (len(ranges), ranges.count((0, 0))) == (31, 8)


PIECES = st.sampled_from(
    [
        "\n ",
        "\n \n ",
        "FINDINGS",
        "IMPRESSION",
        "CHEST",
        ":",
        ": ",
        ":\n",
        " ",
        "x",
        "A B",
        "(",
        "/",
        "\r\n",
        "é",
        "___",
        "\x00",
        "HISTORY: ",
    ]
)


@given(st.lists(PIECES | st.text(max_size=5), max_size=30).map("".join), st.sampled_from([None, "", "s", "50913680", "s50525523", "x"]))
def test_any_text_splits_into_stripped_sections_made_of_its_own_words(text, study):
    sections = split_sections(text, study)

    assert sections
    for name, body in sections.items():
        assert name == name.lower().strip()
        assert body == body.strip()
        assert body in text
    assert all(sections.get(name) != "" for name in ("findings", "impression"))
