from functools import partial

import numpy as np
import pytest

from medvl.benchmarks.report_metrics import CannotScore, OnTexts, RadFact
from medvl.benchmarks.report_scores import Bootstrap, score, units
from medvl.data.report_samples import ReportSample
from medvl.judges.recorded import RecordedJudge
from medvl.metrics.scores import scores
from medvl.metrics.text import rouge_l
from medvl.records import Phrase
from medvl.runtime.privacy import PrivacyError


def sample(name, prediction, reference, patient=None, **further):
    return ReportSample(name, prediction, reference, patient, **further)


def phrases(*texts):
    return tuple(Phrase(text, boxes=None) for text in texts)


def same_words(predictions, references):
    return scores("same_words", {"same": [p == r for p, r in zip(predictions, references, strict=True)]}, {"version": 1})


ENTRIES = (
    {"reference": ["Left effusion."], "hypothesis": "Effusion.", "status": "entailment", "evidence": ["Left effusion."]},
    {"reference": ["Effusion."], "hypothesis": "Left effusion.", "status": "entailment", "evidence": ["Effusion."], "raw_reply": "?"},
)


@pytest.fixture
def judge():
    """Knows one pair of phrases, each of which follows from the other, and fails at one of them."""
    return RecordedJudge({"nli": ENTRIES})


def test_a_metric_of_texts_sees_phrases_joined_by_a_space():
    result = score([sample("a", phrases("One. ", "Two."), "One. Two.")], metrics={"same": OnTexts(same_words)})

    assert result.figures["same"]["same"].value == 1


def test_figures_are_those_of_the_metric_and_intervals_are_drawn_over_patients():
    samples = [sample("a", "x", "x", "p1"), sample("b", "x", "x", "p1"), sample("c", "x", "y", "p2")]

    result = score(samples, metrics={"same": OnTexts(same_words)}, bootstrap=Bootstrap(replicates=200))

    figure = result.figures["same"]["same"]
    assert figure.value == pytest.approx(2 / 3)
    assert (figure.ci_low, figure.ci_high) == (0, 1)
    assert result.counts["patients"] == 2
    assert result.to_json()["bootstrap"] == {"replicates": 200, "seed": 0, "unit": "patient"}


def test_samples_without_a_patient_are_their_own_unit():
    assert units([sample("a", "x", "x", "p"), sample("p", "x", "x")]) == ["p", "sample p"]


def test_all_metrics_share_one_matrix_of_resamples():
    samples = [sample(str(i), "x" if i % 3 else "y", "x") for i in range(30)]

    result = score(samples, metrics={"one": OnTexts(same_words), "two": OnTexts(same_words)})

    assert result.figures["one"] == result.figures["two"]


def test_radfact_keeps_phrases_counters_and_the_judge(judge):
    samples = [sample("a", phrases("Effusion."), phrases("Left effusion."), privacy="public")]

    result = score(samples, metrics={"radfact": RadFact()}, judge=judge)

    assert result.figures["radfact"]["logical_precision"].value == 1
    assert result.figures["radfact"]["logical_recall"].value == 0
    assert result.counts["num_llm_failures"] == 1
    assert result.phrases[0].candidate_phrases[0].evidence[0].text == "Left effusion."
    assert result.to_json()["judge"] == {"name": "recorded", "prompt_hash": judge.prompt_hash, "allowances": []}
    assert result.to_json()["privacy"] == "public"
    assert result.official is None


def test_radfact_in_compat_mode_keeps_the_official_table():
    answer = {"reference": ["Effusion."], "hypothesis": "Effusion.", "status": "entailment", "evidence": ["Effusion."]}
    samples = [sample("a", phrases("Effusion."), phrases("Effusion."))]

    result = score(samples, metrics={"radfact": RadFact(compat="radfact")}, judge=RecordedJudge({"nli": [answer]}))

    assert result.official is not None
    assert result.official["logical_f1"] == 1


def test_the_judge_is_named_only_where_it_was_asked(judge):
    assert score([sample("a", "x", "x")], metrics={"same": OnTexts(same_words)}, judge=judge).judge is None


def test_n_counts_the_studies_that_a_figure_is_over(judge):
    samples = [sample("a", phrases("Effusion."), phrases("Left effusion.")), sample("b", (), phrases("Left effusion."))]
    unasked = RecordedJudge({"nli": [*ENTRIES, {"reference": [], "hypothesis": "Left effusion.", "status": "not_entailment"}]})

    figures = score(samples, metrics={"radfact": RadFact()}, judge=unasked).figures["radfact"]

    assert (figures["logical_precision"].n, figures["logical_recall"].n, figures["logical_f1"].n) == (1, 2, 2)
    assert (figures["spatial_precision"].value, figures["spatial_precision"].n) == (None, 0)


def test_radfact_needs_a_judge():
    with pytest.raises(CannotScore, match="judge=rules"):
        score([sample("a", "x", "x")], metrics={"radfact": RadFact()})


def test_radfact_judges_one_language_at_a_time(judge):
    samples = [sample("a", "x", "x", language="en"), sample("b", "x", "x", language="es")]

    with pytest.raises(CannotScore, match="en, es"):
        score(samples, metrics={"radfact": RadFact()}, judge=judge)


def test_a_judge_that_may_not_see_the_strictest_sample_is_not_asked():
    class Remote(RecordedJudge):
        def admit(self, policy, *, dataset):
            if policy != "public":
                raise PrivacyError(f"{dataset} must not leave the machine")

    samples = [sample("a", "x", "x", privacy="public"), sample("b", "x", "x", privacy="local_only", dataset="mimic_cxr")]

    with pytest.raises(PrivacyError, match="mimic_cxr"):
        score(samples, metrics={"radfact": RadFact()}, judge=Remote({}))


@pytest.mark.parametrize(("samples", "metrics"), [([], {"same": OnTexts(same_words)}), ([sample("a", "x", "x")], {})])
def test_nothing_to_score_is_an_error(samples, metrics):
    with pytest.raises(CannotScore, match="at least one sample and one metric"):
        score(samples, metrics=metrics)


def test_empty_reports_and_those_left_out_are_counted():
    samples = [sample("a", "", "x"), sample("b", (), phrases("")), sample("c", "x", "x")]

    counts = score(samples, metrics={"same": OnTexts(same_words)}, counts={"missing_predictions": 4}).counts

    assert counts == {"samples": 3, "patients": 3, "empty_predictions": 2, "empty_references": 1, "missing_predictions": 4}


def test_options_of_a_text_metric_stand_in_its_protocol():
    result = score([sample("a", "x y", "x")], metrics={"rouge_l": OnTexts(partial(rouge_l, implementation="rouge_score"))})

    assert result.to_json()["protocol"]["rouge_l"]["implementation"] == "rouge_score"
    assert np.isclose(result.figures["rouge_l"]["rouge_l"].value, 2 / 3)
