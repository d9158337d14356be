"""A scaling study's figures: from scores whose growth is known."""

import json

import numpy as np
import pandas as pd
import pytest

from medvl.benchmarks.scaling import ScalingPoint, scaling_results
from medvl.viewer.scaling_plot import write_scaling_plot

STUDIES = 120
SIZES = (0, 100, 200, 400, 800)


def table(signal, seed, *, findings=("edema", "fracture"), reverse=False):
    """Scores of test studies that know the truth by ``signal``; the last finding is never positive."""
    draw, rows = np.random.default_rng(seed), []
    for study in range(STUDIES):
        for number, finding in enumerate(findings):
            truth = float((study + number) % 3 == 0)
            noise = draw.normal()
            rows.append((f"p{study // 2}", f"s{study:03d}", finding, truth, signal * truth + noise))
        rows.append((f"p{study // 2}", f"s{study:03d}", "never", 0.0, draw.normal()))
    found = pd.DataFrame(rows, columns=["patient_id", "study_id", "finding", "truth", "score"])
    return found.iloc[::-1] if reverse else found


def points(paradigm, signals, seeds=(0,)):
    return [
        ScalingPoint(paradigm, studies, studies, studies // 2, seed, {"findings": table(signal, seed=seed)})
        for seed in seeds
        for studies, signal in zip(SIZES, signals, strict=True)
    ]


def results(found, **options):
    return scaling_results(found, macro_over={"findings": None}, replicates=200, **options)


def test_a_curve_that_grows_is_monotone_and_its_law_says_so():
    curve = results(points("dino", (0.0, 0.5, 1.0, 1.4, 1.6)))["curves"]["findings"]["dino"]

    assert [p["studies"] for p in curve["points"]] == [100, 200, 400, 800]
    assert curve["start"]["studies"] == 0
    values = [p["value"] for p in curve["points"]]
    assert values == sorted(values)
    assert curve["monotone_within_interval"]
    law = curve["power_law"]
    assert law["b"]["value"] < 0
    assert law["a"]["value"] > values[-1]
    assert law["c"]["ci_low"] <= law["c"]["value"] <= law["c"]["ci_high"]


def test_a_curve_that_falls_by_more_than_chance_is_not_monotone():
    curve = results(points("dino", (0.0, 2.5, 2.5, 0.0, 2.5)))["curves"]["findings"]["dino"]

    assert not curve["monotone_within_interval"]
    assert [step["ci_high"] < 0 for step in curve["steps"]] == [False, True, False]


def test_a_fall_within_the_interval_still_counts_as_monotone():
    alike = [ScalingPoint("dino", studies, studies, studies // 2, 0, {"findings": table(1.3, seed=studies)}) for studies in SIZES[1:]]

    curve = results(alike)["curves"]["findings"]["dino"]

    assert min(step["value"] for step in curve["steps"]) < 0
    assert curve["monotone_within_interval"]


def test_the_score_of_a_size_is_the_mean_over_seeds_of_findings_with_both_classes():
    found = results(points("dino", (0.0, 0.5, 1.0, 1.4, 1.6), seeds=(0, 1)))

    curve = found["curves"]["findings"]["dino"]
    assert curve["findings"] == ["edema", "fracture"]
    for point in curve["points"]:
        assert point["value"] == pytest.approx(np.mean(list(point["by_seed"].values())))
    assert set(curve["points"][0]["by_seed"]) == {"0", "1"}


def test_the_interval_of_several_seeds_holds_the_chance_between_runs():
    """Two runs of a size that differ by much: for the patients alone the step would be down by more than chance."""
    lucky, unlucky = (0.0, 2.5, 1.0, 2.6, 3.0), (0.0, 1.0, 2.0, 2.6, 3.0)
    alone = results(points("dino", lucky))["curves"]["findings"]["dino"]
    both = results([*points("dino", lucky, seeds=(0,)), *points("dino", unlucky, seeds=(1,))])["curves"]["findings"]["dino"]

    assert not alone["monotone_within_interval"]
    assert both["monotone_within_interval"]
    spread = both["points"][0]["by_seed"]
    assert both["points"][0]["ci_high"] - both["points"][0]["ci_low"] > abs(spread["0"] - spread["1"])
    assert both["points"][0]["n"] == STUDIES


def test_the_seeds_of_a_size_are_one_point_whatever_the_studies_of_their_subsets():
    found = [ScalingPoint("dino", 0.1, 90 + 20 * seed, 10, seed, {"findings": table(1.0, seed=seed)}) for seed in (0, 1)]

    (point,) = results(found)["curves"]["findings"]["dino"]["points"]

    assert (point["studies"], point["patients"]) == (100, 10)
    assert set(point["by_seed"]) == {"0", "1"}


def test_two_paradigms_differ_by_a_paired_interval_at_each_common_size():
    first, second = points("dino", (0.0, 0.5, 1.0, 1.4, 1.6)), points("unicl", (0.0, 1.5, 2.0, 2.4, 2.6))[:4]

    differences = results(first + second)["differences"]["findings"]

    assert [(d["first"], d["second"], d["studies"]) for d in differences] == [("dino", "unicl", n) for n in (100, 200, 400)]
    assert all(d["ci_high"] < 0 for d in differences)


def test_the_order_of_rows_does_not_matter_and_other_studies_are_refused():
    found = points("dino", (0.0, 0.5, 1.0, 1.4, 1.6))
    reversed_rows = ScalingPoint("dino", 100, 100, 50, 0, {"findings": table(0.5, seed=0, reverse=True)})
    turned = [reversed_rows if point.studies == 100 else point for point in found]
    fewer = [ScalingPoint("dino", 100, 100, 50, 0, {"findings": table(0.5, seed=0).query("study_id != 's003'")}), *found]

    assert results(turned) == results(found)
    with pytest.raises(ValueError, match="same test studies"):
        results(fewer)


@pytest.mark.slow
def test_the_plot_and_the_results_can_be_written(tmp_path):
    found = results(points("dino", (0.0, 0.5, 1.0, 1.4, 1.6)) + points("unicl", (0.0, 0.7, 0.9, 1.0, 1.2))[:3])

    paths = write_scaling_plot(tmp_path / "scaling", found["curves"], metric="macro AUROC")

    assert [path.name for path in paths] == ["scaling.png", "scaling.svg"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    svg = paths[1].read_bytes()
    assert b">unicl<" in svg
    write_scaling_plot(tmp_path / "again", found["curves"], metric="macro AUROC")
    assert (tmp_path / "again.svg").read_bytes() == svg
    json.dumps(found, allow_nan=False)
