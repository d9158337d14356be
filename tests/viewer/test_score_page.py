import pytest

from medvl.viewer.score_page import SHOWN, write_score_page

BOX = {"x_min": 0.1, "y_min": 0.2, "x_max": 0.3, "y_max": 0.6}


def phrase(text, status="not_entailment", **further):
    plain = {"boxes": None, "spatial_entailment_status": "no_boxes", "evidence": [], "failure": None}
    return {**plain, "dropped_evidence": [], "explanation": "", "text": text, "status": status, **further}


def study(name="s1", candidate=(), reference=(), *, invalid=None):
    judged = {"invalid": invalid, "candidate_phrases": list(candidate), "reference_phrases": list(reference)}
    return {"example_id": name, "prediction": "A <b>prediction</b>.", "reference": "", "judged": judged}


@pytest.fixture
def results():
    entry = {"value": 0.25, "ci_low": 0.1, "ci_high": 0.5, "n": 4}
    return {
        "metrics": {"radfact/logical_f1": entry, "radfact/micro/logical_f1": {**entry, "value": None, "ci_low": None}},
        "counts": {"samples": 4, "patients": 2, "empty_predictions": 1, "num_llm_failures": 0},
        "bootstrap": {"replicates": 7, "unit": "patient"},
        "judge": {"name": "rules", "prompt_hash": "0123456789abcdef", "allowances": []},
        "protocol": {"radfact": {"signature": "radfact|version:1"}},
    }


def page(tmp_path, results, *studies, privacy="local_only"):
    return write_score_page(tmp_path / "index.html", title="score", results=results, studies=studies, privacy=privacy).read_text()


def test_each_phrase_shows_verdict_evidence_and_boxes_in_words_and_lines(tmp_path, results):
    evidence = {"text": "Left effusion.", "boxes": [BOX, BOX]}
    mine = phrase("Small effusion.", "entailment", boxes=[BOX], spatial_entailment_status="spatial_entailment", evidence=[evidence])

    html = page(tmp_path, results, study(candidate=[mine], reference=[phrase("A mass.", explanation="not mentioned")]))

    assert "follows from the reference; boxes agree" in html
    assert "does not follow from the prediction" in html
    assert "evidence: Left effusion." in html
    assert "not mentioned" in html
    assert html.count('<rect class="own"') == 1
    assert html.count('<rect class="evidence"') == 2
    assert 'x="0.1" y="0.2" width="0.19999999999999998" height="0.39999999999999997"' in html


def test_a_phrase_without_a_usable_answer_says_so(tmp_path, results):
    html = page(tmp_path, results, study(candidate=[phrase("A mass.", failure="unparseable")]))

    assert "no usable answer (unparseable)" in html
    assert "States nothing." in html


def test_boxes_of_a_phrase_that_does_not_follow_are_drawn_and_not_judged(tmp_path, results):
    lost = phrase("A mass.", boxes=[BOX], spatial_entailment_status="no_spatial_entailment", explanation="lung_lesion: not mentioned")

    html = page(tmp_path, results, study(candidate=[lost]))

    assert html.count('<rect class="own"') == 1
    assert "boxes do not agree" not in html
    assert "lung lesion: not mentioned" in html


def test_invented_evidence_is_shown_as_such(tmp_path, results):
    html = page(tmp_path, results, study(candidate=[phrase("A mass.", dropped_evidence=["Not said."])]))

    assert "invented evidence, not counted: Not said." in html


def test_a_report_that_was_not_judged_is_shown_as_text_and_escaped(tmp_path, results):
    html = page(tmp_path, results, {**study(), "judged": None}, study("s2", invalid="candidate: unparseable"))

    assert "A &lt;b&gt;prediction&lt;/b&gt;." in html
    assert "(empty)" in html
    assert "Not scored by RadFact: candidate: unparseable." in html


def test_figures_and_what_was_counted_are_shown_and_zeros_are_not(tmp_path, results):
    html = page(tmp_path, results)

    assert "<td>0.250</td><td>0.100 … 0.500</td><td>4</td>" in html
    assert html.index("radfact/<wbr>logical_f1") < html.index("<details>") < html.index("radfact/<wbr>micro/<wbr>logical_f1")
    assert "empty predictions" in html
    assert "judge failures" not in html
    assert "4 reports of 2 patients" in html


def test_studies_beyond_the_limit_are_counted(tmp_path, results):
    html = page(tmp_path, results, *[study(f"s{i}") for i in range(SHOWN + 3)])

    assert html.count('class="card study"') == SHOWN
    assert "3 further reports are in per_sample.parquet and phrases.jsonl" in html


@pytest.mark.parametrize(("privacy", "marked"), [("public", False), ("local_only", True)])
def test_only_public_pages_may_be_shared(tmp_path, results, privacy, marked):
    assert ("do not share" in page(tmp_path, results, privacy=privacy)) is marked
