"""RadFact's own examples score as measured with the official code; they are read from a checkout that the user supplies."""

import os
from pathlib import Path

import pytest
from scripted_judges import ScriptedJudge, gold, overlap

from medvl.data.report_files import read_reports
from medvl.metrics.radfact import RadFactMetric

CHECKOUT = os.environ.get("MEDVL_RADFACT_CHECKOUT")
pytestmark = pytest.mark.skipif(not CHECKOUT, reason="MEDVL_RADFACT_CHECKOUT names no checkout of microsoft/RadFact")
EXAMPLES = Path(CHECKOUT or ".") / "examples"


def score(judge, samples, **options):
    metric = RadFactMetric(judge, compat="radfact", **options)
    sides = [{sample.example_id: getattr(sample, side) for sample in samples} for side in ("prediction", "reference")]
    _, table = metric.compute_metric_score(*sides)
    return metric, table


def test_grounded_examples_under_the_overlap_rule():
    samples = read_reports(EXAMPLES / "grounded_reporting_examples.json", "prediction")

    _, table = score(ScriptedJudge(overlap), samples)

    assert table == pytest.approx(
        {
            "logical_precision": 0.5701749639249639,
            "logical_recall": 0.5406547619047619,
            "logical_f1": 0.5550226145319423,
            "spatial_precision": 0.05952380952380952,
            "spatial_recall": 0.041666666666666664,
            "spatial_f1": 0.049019607843137254,
            "grounding_precision": 0.5,
            "grounding_recall": 0.6666666666666666,
            "grounding_f1": 0.5714285714285715,
            "num_candidate_phrases": 6.45,
            "num_reference_phrases": 6.65,
            "num_candidate_phrases_with_boxes": 1.2,
            "num_reference_phrases_with_boxes": 1.9,
            "num_samples": 20,
            "num_llm_failures": 0,
            "num_llm_success": 262,
            "num_llm_phrase_rewrites": 0,
            "num_invalid_processed_samples": 0,
        },
        abs=1e-12,
    )


def test_narrative_examples_under_the_overlap_rule_with_the_bootstrap_of_the_command_line():
    samples = read_reports(EXAMPLES / "findings_generation_examples.csv", "prediction")
    # The measured bootstrap ran on two workers, of which the second finished first: the official order of studies follows the workers.
    samples = samples[10:] + samples[:10]

    metric, table = score(ScriptedJudge(overlap), samples, is_narrative_text=True)
    drawn = metric.bootstrap_official(10, seed=42)

    expected = {
        "logical_precision": 0.5895995670995671,
        "logical_recall": 0.5601154401154401,
        "logical_f1": 0.5744794474202917,
        "num_candidate_phrases": 6.55,
        "num_reference_phrases": 6.8,
        "spatial_f1": 0,
        "grounding_f1": 0,
        "num_llm_success": 267,
        "report_to_phrases/generations/num_success": 20,
    }
    expected_draws = {
        "logical_precision/mean": 0.6113988095238095,
        "logical_precision/stderr": 0.10151641938081837,
        "logical_precision/p2.5th": 0.42717992424242424,
        "logical_precision/median": 0.6336796536796537,
        "logical_precision/p97.5th": 0.7495125811688312,
        "logical_recall/median": 0.607479256854257,
        "logical_f1/mean": 0.596254855884195,
        "logical_f1/median": 0.6202964519908141,
        "logical_f1/p2.5th": 0.41555303105821534,
        "logical_f1/p97.5th": 0.7318518472948197,
        "mean": 0.596254855884195,
    }
    assert {name: table[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert {name: drawn[name] for name in expected_draws} == pytest.approx(expected_draws, abs=1e-12)


def test_radiologists_answers_with_the_bootstrap_of_500():
    path = EXAMPLES / "test_examples.json"
    samples = read_reports(path, "prediction")

    metric, table = score(ScriptedJudge(gold(path)), samples)
    drawn = metric.bootstrap_official(500, seed=42)

    expected = {
        "logical_precision": 0.2990196078431372,
        "logical_recall": 0.2936274509803921,
        "logical_f1": 0.29629899933505244,
        "num_candidate_phrases": 3.5,
        "num_reference_phrases": 3.823529411764706,
        "num_invalid_processed_samples": 0,
    }
    expected_draws = {
        "logical_precision/mean": 0.299211,
        "logical_precision/stderr": 0.039165,
        "logical_precision/p2.5th": 0.225490,
        "logical_precision/p97.5th": 0.375000,
        "logical_precision/median": 0.299020,
        "logical_recall/mean": 0.293709,
        "logical_recall/stderr": 0.039630,
        "logical_recall/p2.5th": 0.216618,
        "logical_recall/p97.5th": 0.374277,
        "logical_recall/median": 0.290931,
        "logical_f1/mean": 0.295392,
        "logical_f1/stderr": 0.035326,
        "logical_f1/p2.5th": 0.229306,
        "logical_f1/p97.5th": 0.362485,
        "logical_f1/median": 0.295055,
    }
    assert {name: table[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert {name: drawn[name] for name in expected_draws} == pytest.approx(expected_draws, abs=5e-7)
