from functools import partial

import pytest

from medvl.benchmarks.findings_task import Splits
from medvl.benchmarks.report_metrics import RadFact
from medvl.benchmarks.report_retrieval import NothingToRetrieve, ReportRetrieval
from medvl.judges.rules import RulesJudge
from medvl.metrics.text import rouge_l
from medvl.records import Report, Study, View

DENSE, CLEAR = "A dense consolidation.", "The lungs are clear."


def study(number, text, split="test", view=None):
    return Study(
        "mimic_cxr",
        f"p{number}",
        f"s{number}",
        views=(View(view or f"v{number}", projection="PA"),),
        report=Report(text, {"findings": text}),
        split=split,
        privacy="public",
    )


@pytest.fixture
def images(images):
    """Films of even number are bright throughout."""
    for number in range(0, 10, 2):
        images[f"v{number}"][:] = 240
    return images


@pytest.fixture
def splits():
    """Reports of films of even number tell of something dense."""
    train = [study(20, f" {DENSE}\n", "train"), study(21, CLEAR, "train"), study(22, "", "train")]
    return Splits(train, [], [study(i, CLEAR if i % 2 else DENSE) for i in range(6)])


def retrieval(**options):
    metrics = {"rouge_l": partial(rouge_l), "radfact": RadFact()}
    plain = {"statistics": ["rouge_l/rouge_l", "radfact/logical_f1"], "crop": 64, "normal": CLEAR, "replicates": 50}
    return ReportRetrieval(metrics, **{**plain, "judge": RulesJudge(), **options})


def test_the_nearest_training_report_is_said(images, brightness_model, splits):
    found = retrieval().evaluate(brightness_model(), images, splits)

    table = found.tables["reports"]
    said = table[table["model"] == "trained"]
    assert list(said["prediction"]) == [DENSE, CLEAR] * 3
    assert found.metrics["reports_rouge_l_rouge_l"]["value"] == 1
    assert found.metrics["reports_radfact_logical_f1"]["value"] == 1


def test_an_untrained_model_and_the_constant_report_stand_beside_it(images, brightness_model, splits):
    found = retrieval().evaluate(brightness_model(), images, splits, untrained=brightness_model(reversed_texts=True))

    figure = found.metrics["reports_radfact_logical_f1"]
    assert figure["untrained"]["value"] == 0
    assert figure["difference"]["value"] == 1
    assert figure["constant"]["value"] == 0.5
    assert set(found.tables["reports"]["model"]) == {"trained", "untrained", "normal"}


def test_studies_without_the_section_or_an_image_are_counted(images, brightness_model, splits):
    test = [*splits.test, study(6, ""), study(7, CLEAR, view="nowhere")]

    found = retrieval().evaluate(brightness_model(), images, Splits(splits.train, [], test))

    assert (found.protocol["studies"], found.protocol["studies_left_out"]) == (6, 2)
    assert found.protocol["training_reports"] == 2
    assert found.protocol["judge"]["name"] == "rules"


def test_without_training_reports_there_is_nothing_to_retrieve(images, brightness_model, splits):
    with pytest.raises(NothingToRetrieve, match="0 training reports and 6 test studies"):
        retrieval().evaluate(brightness_model(), images, Splits([], [], splits.test))


def test_an_unknown_statistic_names_the_nearest(images, brightness_model, splits):
    with pytest.raises(NothingToRetrieve, match="no 'radfact/logical_f' — did you mean 'radfact/logical_f1'"):
        retrieval(statistics=["radfact/logical_f"]).evaluate(brightness_model(), images, splits)
