"""The report by groups, on scores whose faults are planted."""

import numpy as np
import pandas as pd
import pytest

from medvl.benchmarks.features import Encoding
from medvl.benchmarks.findings_task import FindingsTask, Splits
from medvl.benchmarks.results import Evaluation
from medvl.benchmarks.subgroups import SubgroupReport
from medvl.records import Study, View


class PlantedProbe:
    """Says what it is told: log-odds of pneumothorax that follow the chest tube, and fail in women."""

    name = "planted"

    def __init__(self):
        self.task = FindingsTask({"pneumothorax": []}, Encoding(crop=8), replicates=100)

    def evaluate(self, encoder, images, splits):
        draw = np.random.default_rng(0)
        rows = []
        for study in splits.test:
            truth = study.labels["chexpert"]["Pneumothorax"] == "positive"
            tube = study.labels["chexpert"].get("Support Devices") == "positive"
            seen = 4 * truth if study.sex == "M" else 0
            score = seen + 3 * tube + draw.normal() - 3
            rows.append((study.dataset, study.patient_id, study.study_id, "pneumothorax", float(truth), score, "trained"))
        table = pd.DataFrame(rows, columns=["dataset", "patient_id", "study_id", "finding", "truth", "score", "model"])
        return Evaluation("planted", {}, {}, {}, tables={"planted_scores": table}, privacy="public")


@pytest.fixture(scope="module")
def report():
    draw = np.random.default_rng(1)
    studies = [
        Study(
            "invented",
            f"p{i}",
            f"s{i}",
            sex="M" if i % 2 else "F",
            age=30.0 + i % 60,
            views=(View(f"v{i}", projection="PA"),),
            labels={
                "chexpert": {"Pneumothorax": "positive" if draw.random() < 0.3 else "negative"}
                | ({"Support Devices": "positive"} if draw.random() < 0.5 else {})
            },
        )
        for i in range(400)
    ]
    return SubgroupReport(PlantedProbe()).evaluate(None, None, Splits([], [], studies))


def figure(report, metric):
    return report.per_finding[metric]["pneumothorax"]


def test_the_group_that_a_probe_fails_is_seen(report):
    assert figure(report, "auroc/sex=M")["value"] > 0.9
    assert figure(report, "auroc/sex=F")["ci_low"] < 0.55
    assert figure(report, "auroc_gap/sex")["ci_low"] > 0.2


def test_a_shortcut_is_seen_among_those_without_the_finding(report):
    assert figure(report, "shortcut_auroc/devices=present")["ci_low"] > 0.9
    assert 0.35 < figure(report, "shortcut_auroc/sex=M")["value"] < 0.65


def test_every_group_has_its_calibration(report):
    assert figure(report, "calibration_error/sex=F")["value"] > 0.05
    assert figure(report, "brier/devices=absent")["n"] == report.protocol["groups"]["devices"]["absent"]


def test_an_attribute_with_one_group_is_left_out(report):
    assert "projection" not in report.protocol["groups"]
    assert set(report.protocol["groups"]["age"]) == {"0-40", "40-60", "60-80", "80+"}


def test_the_table_has_one_row_per_metric_group_and_finding(report):
    table = report.tables["subgroups"]

    assert not table.duplicated(["metric", "group", "finding"]).any()
    assert set(table["metric"]) == {"auroc", "calibration_error", "brier", "auroc_gap", "shortcut_auroc"}
