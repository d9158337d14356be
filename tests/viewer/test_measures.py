import pytest

from medvl.viewer.measures import measures, report_figures, spoken, what_was_learned


def entry(value, low=None, high=None, **beside):
    return {"value": value, "ci_low": low, "ci_high": high, "n": 10, "undefined_replicates": 0, **beside}


def test_findings_come_from_the_best_to_the_weakest_and_undefined_ones_last():
    found = {"edema": entry(0.6), "fracture": entry(None), "pleural_effusion": entry(0.9)}

    (measure,) = measures({"metrics": {"zero_shot_auroc": entry(0.75)}, "per_finding": {"zero_shot_auroc": found}})

    assert [row.name for row in measure.findings] == ["Pleural effusion", "Edema", "Fracture"]


def test_the_axis_holds_everything_shown_and_chance():
    found = {"edema": entry(0.62, 0.55, 0.71)}

    (measure,) = measures({"metrics": {"zero_shot_auroc": entry(0.62)}, "per_finding": {"zero_shot_auroc": found}})

    assert measure.axis == pytest.approx((0.5, 0.8))


def test_an_unknown_metric_keeps_its_name():
    (measure,) = measures({"metrics": {"some_new_score": entry(1.5)}})

    assert measure.name == "some new score"


def test_a_clear_gain_is_called_one():
    gain = entry(0.8, 0.75, 0.85, untrained=entry(0.5, 0.45, 0.55))

    (sentence,) = what_was_learned({"metrics": {"zero_shot_auroc": gain}})

    assert sentence.startswith("Zero-shot AUROC rose from 0.50 before training to 0.80 after")
    assert "do not overlap" in sentence


def test_a_gain_within_the_intervals_is_not_called_clear():
    gain = entry(0.56, 0.5, 0.62, untrained=entry(0.5, 0.45, 0.55))

    (sentence,) = what_was_learned({"metrics": {"zero_shot_auroc": gain}})

    assert "not a clear gain" in sentence


def test_nothing_is_said_without_an_untrained_model():
    assert what_was_learned({"metrics": {"zero_shot_auroc": entry(0.8)}}) == []


def test_where_the_best_threshold_comes_from_is_said():
    results = {
        "metrics": {"grounding_miou_best_threshold": entry(0.3), "grounding_miou": entry(0.2)},
        "protocol": {"phrase_grounding": {"best_threshold_chosen_on": "the samples themselves (oracle)"}},
    }

    best, plain = measures(results)

    assert best.meaning.endswith("Chosen on the samples themselves (oracle).")
    assert "Chosen" not in plain.meaning


def test_figures_of_reports_stand_apart():
    beside = {"untrained": entry(0.1), "constant": entry(0.5)}
    found = {"metrics": {"reports_radfact_logical_f1": entry(0.4, 0.3, 0.5, **beside), "zero_shot_auroc": entry(0.7)}}

    (figure,) = report_figures(found)

    assert [m.name for m in measures(found)] == ["Zero-shot AUROC"]
    assert what_was_learned(found) == []
    assert (figure.name, figure.retrieved.value, figure.untrained.value, figure.constant.value) == ("RadFact logical F1", 0.4, 0.1, 0.5)


def test_names_of_findings_are_prose():
    assert spoken("pleural_effusion") == "Pleural effusion"


def test_a_lower_rank_is_the_better_one():
    found = entry(2.0, 1.0, 3.0, untrained=entry(20.0, 15.0, 25.0))

    (sentence,) = what_was_learned({"metrics": {"retrieval_image_to_text_median_rank": found}})

    assert "went from 20.00 before training to 2.00 after" in sentence
    assert "do not overlap" in sentence
