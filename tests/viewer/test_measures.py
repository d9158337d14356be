import pytest

from medvl.viewer.meanings import meaning
from medvl.viewer.measures import by_benchmark, measures, report_figures, spoken, what_was_learned


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


def test_one_figure_stands_for_each_benchmark_and_the_rest_follows():
    names = ("grounding_cnr", "grounding_miou", "retrieval_image_to_text_recall_at_1", "retrieval_image_to_text_recall_at_5", "new_score")
    gain = entry(0.8, 0.75, 0.85, untrained=entry(0.5, 0.45, 0.55))
    results = {"metrics": dict.fromkeys(names, gain)}

    grouped = [[measure.name for measure in group] for group in by_benchmark(measures(results))]

    assert grouped == [
        ["Phrase grounding, CNR", "Phrase grounding, mIoU"],
        ["Retrieval, report of a film, recall at 5", "Retrieval, report of a film, recall at 1"],
        ["new score"],
    ]
    assert len(what_was_learned(results)) == 3


def test_two_arms_are_shown_by_their_paired_difference():
    beside = entry(0.6, current=entry(0.45), difference=entry(0.15, 0.1, 0.2))
    name = "progression_P0_macro_accuracy_beside_current"

    (measure,) = measures({"metrics": {name: beside}, "per_finding": {name: {"edema": beside}}})

    assert measure.name == "Progression from two films, gain over the current film alone"
    assert (measure.headline.trained.value, measure.headline.trained.low, measure.chance) == (0.15, 0.1, 0.0)
    assert measure.findings[0].trained.value == 0.15


REPORTED = {
    "grounding": ["cnr", "cnr_absolute", "cnr_per_box", "coverage", "miou", "miou_best_threshold", "pointing_game"],
    "zero_shot": ["auroc", "auprc", "accuracy", "f1"],
    **{f"retrieval_{way}": ["median_rank", *(f"recall_at_{k}" for k in (1, 5, 10))] for way in ("image_to_text", "text_to_image")},
    "sentence_similarity": ["accuracy", "auroc"],
    "radnli": ["two_class_accuracy", "two_class_auroc", "entailment_accuracy", "entailment_macro_f1"],
    **{
        f"progression_{protocol}": [
            "macro_accuracy",
            *(f"macro_accuracy_beside_{arm}" for arm in ("current", "concatenated", "registered")),
            *(f"macro_accuracy_beside_static_{arm}" for arm in ("concatenated", "registered")),
            "blank_prior_macro_accuracy_beside_current",
            "swapped_macro_accuracy",
            "flipped_share",
        ]
        for protocol in ("P0", "A", "B", "C")
    },
    **{f"label_efficiency_{mode}_{share}_percent": ["auroc", "auprc"] for mode in ("linear", "fine_tune") for share in ("0.1", "1", "100")},
    **{probe: ["auroc", "auprc"] for probe in ("knn", "linear_probe", "logistic_regression")},
    **{f"segmentation_{decoder}": ["dice", "dice_beside_mean_mask"] for decoder in ("linear", "upernet")},
    "age": ["r_squared", "mean_absolute_error"],
}


@pytest.mark.parametrize("metric", [f"{start}_{end}" for start, ends in REPORTED.items() for end in ends])
def test_every_metric_of_our_benchmarks_has_a_name_and_a_meaning(metric):
    told = meaning(metric)

    assert told.benchmark
    assert told.name[:1].isupper() or told.name[:1].isdigit()
    assert told.text.endswith(".")
    assert "{" not in told.text
