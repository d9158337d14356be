"""Reports: the file format of MIMIC-CXR, parallel languages, words that say what the statements say."""

from __future__ import annotations

import re
from collections import Counter

from small_facts import finding, patient, random_patient, visit

from medvl.data import report_sections
from medvl.phantom.draws import generator
from medvl.phantom.language import bank
from medvl.phantom.phrasing import phrase
from medvl.phantom.reports import WrittenReport, write_report
from medvl.phantom.statements import DEVICES, Statement

HEADER = re.compile(r"\n ([A-Z ()/,-]+):\s")
PATIENTS = [random_patient(i) for i in range(100)]
REPORTS = [write_report(p, v, seed=1) for p in PATIENTS for v in p.visits]


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_the_same_facts_and_seed_give_the_same_report():
    made = random_patient(3)

    assert write_report(made, made.visits[0], seed=5) == write_report(made, made.visits[0], seed=5)
    assert write_report(made, made.visits[0], seed=5) != write_report(made, made.visits[0], seed=6)


def test_files_have_the_spacing_of_mimic_cxr():
    for report in REPORTS:
        lines = report.text("en").split("\n")
        title = lines.index(" " * 33 + "FINAL REPORT")
        assert max(map(len, lines)) <= 79
        assert lines[-1] == ""
        assert all(line.startswith(" ") for line in lines[title:-1])
        assert report.text("en").isascii()


def test_every_sentence_stands_in_its_section():
    for report in REPORTS:
        for language, sections in report.sections.items():
            for sentence in report.sentences:
                section = sentence.statements[0].section
                named = section if section in sections else "last_paragraph"
                assert sentence.texts[language] in one_line(re.sub(r"(?m)^\d+\. ", "", sections[named]))


def test_the_file_holds_every_section_text():
    for report in REPORTS:
        for language in ("en", "es"):
            text = one_line(report.text(language))
            assert all(one_line(body) in text for body in report.sections[language].values())


def test_the_section_parser_finds_the_same_sections():
    for report in REPORTS:
        found = report_sections.split_sections(report.text("en"))
        for name, body in report.sections["en"].items():
            if name not in ("addendum", "wet read"):  # these run on to the next header, over the title
                assert one_line(found[name]) == one_line(body)


def test_reports_vary_in_their_headers_and_sections():
    names = Counter(name for report in REPORTS for name in report.sections["en"])
    headers = Counter(h for report in REPORTS for h in HEADER.findall(report.text("en")))

    assert {"findings", "impression", "indication", "history", "technique", "comparison", "examination"} <= set(names)
    assert names["last_paragraph"]
    assert names["addendum"] + names["wet read"]
    assert len(headers) > 12
    assert any("findings" not in r.sections["en"] for r in REPORTS)
    assert any("impression" not in r.sections["en"] for r in REPORTS)


def test_both_languages_name_the_side_of_the_statement_and_no_other():
    for report in REPORTS:
        for sentence in report.sentences:
            statements = [s for s in sentence.statements if s.subject not in DEVICES]
            if len(statements) != 1:
                continue
            for language, left, right in (("en", "left", "right"), ("es", "izquierd", "derech")):
                text = sentence.texts[language].lower()
                assert (left in text, right in text) == (statements[0].side == "left", statements[0].side == "right"), text


def test_no_slot_or_mark_of_the_grammar_is_left():
    for report in REPORTS:
        for sentence in report.sentences:
            assert not re.search(r"[{}\[\]<>~|]|  |\s[,.]|\ba [aeiou]", sentence.texts["en"])
            assert not re.search(r"[{}\[\]<>~|]|  |\s[,.]|\b(a|de) el ", sentence.texts["es"])


def test_each_statement_has_its_words_in_the_sentence():
    for report in REPORTS:
        for sentence in report.sentences:
            assert len(sentence.words) == len(sentence.statements)
            for words in sentence.words:
                assert all(word in sentence.texts["en"].lower() for word in words.values())


def test_the_test_split_never_speaks_in_sentences_of_the_training_split():
    train = {s.texts[lang] for r in REPORTS for s in r.sentences for lang in s.texts}
    held_out = [random_patient(i, split="test") for i in range(100)]

    test = {s.texts[lang] for p in held_out for v in p.visits for s in write_report(p, v, seed=1).sentences for lang in s.texts}

    assert train & test == set()


def test_validation_patients_speak_like_training_patients():
    facts = visit(finding("pneumothorax", "left"))
    train, validate = (write_report(patient(facts, split=split), facts, seed=2) for split in ("train", "validate"))

    assert train == validate


def test_an_opacity_beside_a_denied_pneumonia_is_told_as_both():
    told = (Statement("opacity", "positive", side="right"), Statement("pneumonia", "negative"))

    for seed in range(20):
        sentence = phrase(told, bank.load("train"), generator("opacity", seed))
        assert sentence.statements == told
        assert re.search(r"\b(no|not|without|negative)\b", sentence.texts["en"], re.IGNORECASE)


def test_a_first_study_has_nothing_to_compare_with():
    facts = visit(finding("edema", "bilateral"))

    texts = [_comparison(write_report(patient(facts), facts, seed=seed)) for seed in range(20)]

    assert "___" not in "".join(texts)
    assert any(texts)


def _comparison(report: WrittenReport) -> str:
    return report.sections["en"].get("comparison", "")
