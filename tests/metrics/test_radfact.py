"""RadFact: the official numbers in compat mode, and the mended faults in the default mode."""

import math

import pytest
from scripted_judges import ScriptedJudge, overlap

from medvl.judges.judge import Verdict
from medvl.metrics.bootstrap import estimate, resample
from medvl.metrics.radfact import RadFactMetric
from medvl.metrics.radfact.official import UndefinedF1
from medvl.metrics.radfact.reports import InvalidReport, MismatchedStudies
from medvl.metrics.scores import statistics_from
from medvl.records import Box, Phrase
from medvl.runtime.errors import UserError

ANIMALS = [
    {"text": "The cat", "boxes": [[0.1, 0.1, 0.2, 0.2]]},
    {"text": "The dog", "boxes": [[0.3, 0.3, 0.4, 0.4], [0.5, 0.5, 0.6, 0.6]]},
    {"text": "The bird", "boxes": None},
    {"text": "The rabbit", "boxes": None},
]
OTHER_ANIMALS = [
    Phrase("The cat", boxes=(Box(0.1, 0.1, 0.2, 0.2),)),
    Phrase("The dog", boxes=(Box(0.3, 0.3, 0.4, 0.4),)),
    Phrase("The bird", boxes=(Box(0.5, 0.5, 0.6, 0.6),)),
    Phrase("The shark"),
]
NO_EFFUSION = ("No effusion.", None)
EDGE_CANDIDATES = {
    "a": ["BADYAML heart normal.", "No effusion."],
    "b": [("NOEV nodule.", [(0.1, 0.1, 0.2, 0.2)]), NO_EFFUSION, ("No effusion.", [(0.1, 0.1, 0.2, 0.2)])],
    "c": ["HALLU mass.", "No effusion."],
    "d": [],
}
EDGE_REFERENCES = {
    "a": [NO_EFFUSION],
    "b": [("No effusion.", [(0.1, 0.1, 0.3, 0.3)])],
    "c": [NO_EFFUSION],
    "d": [NO_EFFUSION],
}


def same_words(query):
    evidence = tuple(phrase for phrase in query.reference if phrase == query.hypothesis)
    return Verdict("entailment" if evidence else "not_entailment", evidence)


@pytest.mark.parametrize("compat", ["radfact", None])
def test_the_four_animals_score_as_in_the_official_tests(compat):
    metric = RadFactMetric(ScriptedJudge(same_words), compat=compat)

    logical_f1, table = metric.compute_metric_score({"study1": ANIMALS}, {"study1": OTHER_ANIMALS})

    expected = {
        "logical_precision": 0.75,
        "logical_recall": 0.75,
        "spatial_precision": 0.5,
        "spatial_recall": 2 / 3,
        "grounding_precision": 0.5,
        "grounding_recall": 2 / 3,
        "num_candidate_phrases": 4,
        "num_reference_phrases": 4,
        "num_candidate_phrases_with_boxes": 2,
        "num_reference_phrases_with_boxes": 3,
        "logical_f1": 0.75,
        "spatial_f1": 0.5714285714285715,
        "grounding_f1": 0.5714285714285715,
        "num_samples": 1,
        "num_llm_failures": 0,
        "num_llm_success": 8,
        "num_llm_phrase_rewrites": 0,
        "num_invalid_processed_samples": 0,
    }
    assert logical_f1 == 0.75
    assert {name: table[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert compat is None or table.keys() == expected.keys()


def test_the_hand_worked_example_holds():
    candidate = [("Left effusion.", [(0, 0.5, 0.4, 1)]), ("A mass.", None)]
    reference = [("Left effusion.", [(0, 0.5, 0.5, 1)]), ("Heart normal.", None)]
    metric = RadFactMetric(ScriptedJudge(same_words))

    _, table = metric.compute_metric_score({"1": candidate}, {"1": reference})

    assert (table["logical_precision"], table["logical_recall"]) == (0.5, 0.5)
    assert [table[f"{kind}_{side}"] for kind in ("spatial", "grounding") for side in ("precision", "recall")] == [1] * 4
    assert metric.per_sample[0].candidate_phrases[0].box_precision == pytest.approx(1)
    assert metric.per_sample[0].reference_phrases[0].box_precision == pytest.approx(0.8)


def test_narrative_animals_have_the_official_keys_and_zeros():
    text = {"study1": "The cat. The dog. The bird. The rabbit."}
    other = {"study1": "The cat. The dog. The bird. The shark."}

    _, table = RadFactMetric(ScriptedJudge(same_words), compat="radfact", is_narrative_text=True).compute_metric_score(text, other)

    assert table["logical_f1"] == pytest.approx(0.75, abs=1e-12)
    zeros = [f"{kind}_{measure}" for kind in ("spatial", "grounding") for measure in ("precision", "recall", "f1")]
    assert [table[name] for name in (*zeros, "num_candidate_phrases_with_boxes", "num_reference_phrases_with_boxes")] == [0] * 8
    assert {name: value for name, value in table.items() if name.startswith("report_to_phrases")} == {
        "report_to_phrases/generations/num_failures": 0,
        "report_to_phrases/generations/num_success": 1,
        "report_to_phrases/ground_truth/num_failures": 0,
        "report_to_phrases/ground_truth/num_success": 1,
        "report_to_phrases/num_dropped_candidates": 0,
        "report_to_phrases/num_dropped_references": 0,
    }


def test_compat_reproduces_the_official_edge_cases():
    metric = RadFactMetric(ScriptedJudge(overlap), compat="radfact")

    _, table = metric.compute_metric_score(EDGE_CANDIDATES, EDGE_REFERENCES)

    measured = {
        "logical_precision": (1 / 2 + 2 / 3) / 2,
        "logical_recall": 2 / 3,
        "spatial_precision": 0.5,
        "spatial_recall": 0,
        "grounding_precision": 1,
        "grounding_recall": 0,
        "num_samples": 3,
        "num_invalid_processed_samples": 1,
        "num_llm_failures": 2,
    }
    assert {name: table[name] for name in measured} == pytest.approx(measured, abs=1e-12)
    study_b = metric.per_sample[1]
    assert study_b.candidate_phrases[2].spatial_entailment_status == "spatial_entailment"
    assert study_b.reference_phrases[0].evidence_indices == (1, 1)
    assert metric.per_sample[2].scores is None


def test_the_default_keeps_the_study_with_invented_evidence_and_counts_it():
    metric = RadFactMetric(ScriptedJudge(overlap))

    _, table = metric.compute_metric_score(EDGE_CANDIDATES, EDGE_REFERENCES)

    measured = {
        "logical_precision": (1 / 2 + 2 / 3 + 1 / 2) / 3,
        "logical_recall": 3 / 4,
        "micro/logical_precision": 4 / 7,
        "micro/logical_recall": 3 / 4,
        "spatial_recall": 0,  # a quarter of the reference's box lies in the candidate's
        "num_samples": 4,
        "num_invalid_processed_samples": 0,
        "num_dropped_evidence": 1,
        "num_failed_phrases": 3,
        "num_llm_failures": 2,
        "num_empty_candidates": 1,
    }
    assert {name: table[name] for name in measured} == pytest.approx(measured, abs=1e-12)
    assert metric.per_sample[2].candidate_phrases[0].dropped_evidence == ("not in report",)
    assert metric.per_sample[2].candidate_phrases[0].failure == "invented_evidence"


def test_evidence_stands_for_every_equal_phrase_by_default_and_for_the_first_in_compat():
    candidates = {"1": [("no effusion", None), ("No effusion.", [(0.1, 0.1, 0.2, 0.2)])]}
    references = {"1": [("No effusion", [(0.1, 0.1, 0.2, 0.2)])]}
    judge = ScriptedJudge(lambda query: Verdict("entailment", query.reference[:1]))

    _, default = RadFactMetric(judge).compute_metric_score(candidates, references)
    _, compat = RadFactMetric(judge, compat="radfact").compute_metric_score(candidates, references)

    assert default["spatial_recall"] == 1
    assert compat["spatial_recall"] == 0


def test_equal_phrases_share_the_first_verdict_in_compat_only():
    candidates = {"1": ["Effusion", "effusion."]}
    judge = ScriptedJudge(
        lambda query: Verdict("entailment", query.reference) if query.hypothesis == "effusion." else Verdict("not_entailment")
    )

    _, default = RadFactMetric(judge).compute_metric_score(candidates, {"1": ["Effusion", "effusion."]})

    assert default["logical_precision"] == 0.5
    with pytest.raises(UndefinedF1):
        RadFactMetric(judge, compat="radfact").compute_metric_score(candidates, {"1": ["Effusion", "effusion."]})


def test_space_before_punctuation_loses_a_study_in_compat_only():
    judge = ScriptedJudge(lambda query: Verdict("entailment", ("Effusion",) if query.reference == ("Effusion .",) else query.reference))

    default = RadFactMetric(judge)
    default.compute_metric_score({"1": ["x"], "2": ["y"]}, {"1": ["Effusion ."], "2": ["z"]})
    compat = RadFactMetric(judge, compat="radfact")
    compat.compute_metric_score({"1": ["x"], "2": ["y"]}, {"1": ["Effusion ."], "2": ["z"]})

    assert [result.scores is None for result in default.per_sample] == [False, False]
    assert [result.scores is None for result in compat.per_sample] == [True, False]


def test_invented_evidence_of_an_unentailed_phrase_loses_the_study_in_compat_only():
    judge = ScriptedJudge(lambda query: Verdict("not_entailment", ("nobody wrote this",)))

    metric = RadFactMetric(judge)
    metric.compute_metric_score({"1": ["x"]}, {"1": ["y"]})

    assert metric.counters["num_dropped_evidence"] == 2
    assert metric.counters["num_llm_failures"] == 0
    with pytest.raises(UndefinedF1):
        RadFactMetric(judge, compat="radfact").compute_metric_score({"1": ["x"]}, {"1": ["y"]})


def test_nothing_entailed_is_zero_by_default_and_an_error_in_compat():
    judge = ScriptedJudge(lambda query: Verdict("not_entailment"))

    logical_f1, _ = RadFactMetric(judge).compute_metric_score({"1": ["x"]}, {"1": ["y"]})

    assert logical_f1 == 0
    with pytest.raises(ZeroDivisionError, match="logical precision and recall are both 0"):
        RadFactMetric(judge, compat="radfact").compute_metric_score({"1": ["x"]}, {"1": ["y"]})


def test_exactly_half_of_the_boxes_is_not_more_than_half():
    halves = [("x", [(0.3, 0.3, 0.4, 0.4), (0.5, 0.5, 0.6, 0.6)])]
    reference = [("x", [(0.3, 0.3, 0.4, 0.4)])]
    judge = ScriptedJudge(same_words)

    for boxes in ("analytic", "raster-224"):
        _, table = RadFactMetric(judge, boxes=boxes).compute_metric_score({"1": halves}, {"1": reference})

        assert (table["spatial_precision"], table["spatial_recall"]) == (0, 1)


def test_a_box_thinner_than_a_raster_pixel_is_seen_analytically_only():
    thin = {"1": [("x", [(0.301, 0.1, 0.3035, 0.9)])]}
    judge = ScriptedJudge(same_words)

    _, analytic = RadFactMetric(judge).compute_metric_score(thin, thin)
    _, raster = RadFactMetric(judge, boxes="raster-224").compute_metric_score(thin, thin)

    assert analytic["spatial_precision"] == 1
    assert raster["spatial_precision"] == 0


def test_the_threshold_of_box_precision_is_a_parameter():
    candidate = {"1": [("x", [(0, 0, 1, 1)])]}
    reference = {"1": [("x", [(0, 0, 0.5, 0.5)])]}
    judge = ScriptedJudge(same_words)

    scores = [RadFactMetric(judge, box_precision_threshold=t).compute_metric_score(candidate, reference)[1] for t in (0.2, 0.3)]

    assert [table["spatial_precision"] for table in scores] == [1, 0]


def test_text_has_no_spatial_value_by_default():
    _, table = RadFactMetric(ScriptedJudge(overlap)).compute_metric_score({"1": "No effusion. Heart normal."}, {"1": "No effusion."})

    assert math.isnan(table["spatial_precision"])
    assert math.isnan(table["grounding_f1"])
    assert (table["logical_precision"], table["logical_recall"]) == (0.5, 1)


def test_a_text_that_cannot_be_split_stays_visible_and_has_a_worst_case():
    candidates = {"1": "No effusion.", "2": "UNSPLITTABLE"}
    references = {"1": "No effusion.", "2": "No effusion."}
    metric = RadFactMetric(ScriptedJudge(overlap))

    _, table = metric.compute_metric_score(candidates, references)

    assert [result.invalid for result in metric.per_sample] == [None, "candidate: unparseable"]
    assert (table["logical_f1"], table["worst_case/logical_f1"]) == (1, 0.5)
    assert (table["num_samples"], table["num_invalid_processed_samples"]) == (1, 1)
    assert table["report_to_phrases/generations/num_failures"] == 1


def test_compat_forgets_a_text_that_cannot_be_split():
    candidates = {"1": "No effusion.", "2": "UNSPLITTABLE"}
    references = {"1": "No effusion.", "2": "No effusion."}
    metric = RadFactMetric(ScriptedJudge(overlap), compat="radfact")

    _, table = metric.compute_metric_score(candidates, references)

    assert [result.study_id for result in metric.per_sample] == ["1"]
    assert table["report_to_phrases/num_dropped_references"] == 1
    assert table["num_invalid_processed_samples"] == 0


def test_mixed_text_and_phrases_are_each_taken_as_they_are():
    reference = [("No effusion.", [(0, 0, 1, 1)])]

    _, table = RadFactMetric(ScriptedJudge(overlap)).compute_metric_score({"1": "No effusion. Heart normal."}, {"1": reference})

    assert table["logical_precision"] == 0.5
    assert table["spatial_recall"] == 0


def test_an_empty_report_is_counted_and_the_judge_is_not_asked():
    judge = ScriptedJudge(overlap)

    _, table = RadFactMetric(judge).compute_metric_score({"1": " ", "2": ["", "x"]}, {"1": "No effusion.", "2": ["x"]})

    assert table["num_empty_candidates"] == 1
    assert table["num_empty_phrases"] == 1
    assert table["logical_recall"] == 0.5
    assert {query.hypothesis for query in judge.asked} == {"x"}


def test_the_judge_must_admit_the_reports_before_it_is_asked():
    class Refusing(ScriptedJudge):
        def admit(self, policy, *, dataset):
            raise UserError(f"{dataset} is {policy}")

    judge = Refusing(overlap)

    with pytest.raises(UserError, match="mimic_cxr is zero_retention"):
        RadFactMetric(judge, privacy="zero_retention", dataset="mimic_cxr").compute_metric_score({"1": ["x"]}, {"1": ["x"]})
    assert judge.asked == []


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ({"1": ["x"]}, {"2": ["x"]}, "there is no reference for study '1'"),
        ({"1": ["x"]}, {"1": ["x"], "2": ["x"]}, "there is no candidate for study '2'"),
        ({1: ["x"], "1": ["x"]}, {"1": ["x"]}, "candidate study '1' comes twice"),
        ({}, {}, "no study in common"),
    ],
)
def test_studies_that_do_not_match_are_an_error(candidates, references, message):
    with pytest.raises(MismatchedStudies, match=message):
        RadFactMetric(ScriptedJudge(overlap)).compute_metric_score(candidates, references)


def test_compat_ignores_references_without_a_candidate():
    metric = RadFactMetric(ScriptedJudge(overlap), compat="radfact")

    _, table = metric.compute_metric_score({"1": ["x"]}, {"1": ["x"], "2": ["x"]})

    assert table["num_samples"] == 1
    with pytest.raises(MismatchedStudies, match="there is no reference for study '3'"):
        metric.compute_metric_score({"1": ["x"], "3": ["x"]}, {"1": ["x"]})


@pytest.mark.parametrize("options", [{"compat": "radfact-ct"}, {"boxes": "raster-512"}])
def test_an_unknown_rule_is_an_error(options):
    with pytest.raises(UserError, match=r"RadFact has no (compat|boxes)="):
        RadFactMetric(ScriptedJudge(overlap), **options)


def test_missing_studies_can_be_allowed_and_are_counted():
    metric = RadFactMetric(ScriptedJudge(overlap), allow_missing=True)

    _, table = metric.compute_metric_score({"1": ["x"], "3": ["x"]}, {"1": ["x"], "2": ["x"]})

    assert (table["num_samples"], table["num_missing_candidates"], table["num_missing_references"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (float("nan"), "neither text nor a list of phrases, but float"),
        ([("x", [(0.1, 0.1, 1.2, 0.2)])], "a box needs 0 ≤ min ≤ max ≤ 1"),
        ([{"boxes": None}], "a phrase needs a text"),
        ([{"text": "x", "boxes": [[0.1, 0.2]]}], "a box is four numbers"),
    ],
)
def test_a_malformed_report_is_an_error_that_names_the_study(report, message):
    with pytest.raises(InvalidReport, match=f"candidate of study '7'.*{message}"):
        RadFactMetric(ScriptedJudge(overlap)).compute_metric_score({"7": report}, {"7": ["x"]})


def test_text_where_phrases_are_announced_is_an_error():
    with pytest.raises(InvalidReport, match="is_narrative_text=True"):
        RadFactMetric(ScriptedJudge(overlap), is_narrative_text=False).compute_metric_score({"7": "x"}, {"7": ["x"]})


def test_rewritten_phrases_are_counted_and_kept_as_written():
    judge = ScriptedJudge(lambda query: Verdict("entailment", query.reference, reply_phrase="otherwise"))
    metric = RadFactMetric(judge, compat="radfact")

    _, table = metric.compute_metric_score({"1": ["x"]}, {"1": ["y"]})

    assert table["num_llm_phrase_rewrites"] == 2
    assert metric.per_sample[0].candidate_phrases[0].text == "x"
    assert metric.per_sample[0].candidate_phrases[0].rewritten


def test_scores_rebuild_the_table_from_columns_alone():
    metric = RadFactMetric(ScriptedJudge(overlap))
    _, table = metric.compute_metric_score(EDGE_CANDIDATES, EDGE_REFERENCES)
    scores = metric.scores()

    rebuilt = statistics_from(scores.aggregate, {**scores.per_sample, **scores.counts}, scores.protocol)
    interval = estimate(rebuilt["logical_f1"], resample(["p", "q", "q", "r"], replicates=200))

    assert interval.value == table["logical_f1"]
    assert interval.ci_low <= interval.value <= interval.ci_high
    assert scores.corpus["micro/logical_precision"] == table["micro/logical_precision"]


def test_per_sample_results_are_plain_json_in_the_official_form():
    metric = RadFactMetric(ScriptedJudge(same_words))
    metric.compute_metric_score({"study1": ANIMALS}, {"study1": OTHER_ANIMALS})

    plain = metric.per_sample[0].to_json()

    assert plain["study_id"] == "study1"
    assert plain["scores"]["logical_precision"] == 0.75
    assert plain["candidate_phrases"][1] | {"explanation": ""} == {
        "text": "The dog",
        "boxes": [
            {"x_min": 0.3, "y_min": 0.3, "x_max": 0.4, "y_max": 0.4},
            {"x_min": 0.5, "y_min": 0.5, "x_max": 0.6, "y_max": 0.6},
        ],
        "status": "entailment",
        "spatial_entailment_status": "no_spatial_entailment",
        "evidence": [{"text": "The dog", "boxes": [{"x_min": 0.3, "y_min": 0.3, "x_max": 0.4, "y_max": 0.4}]}],
        "evidence_indices": [1],
        "box_precision": pytest.approx(0.5),
        "failure": None,
        "dropped_evidence": [],
        "rewritten": False,
        "explanation": "",
    }
