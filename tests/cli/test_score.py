"""`medvl score`: files in, a folder out; two folders compared; a table made again. Mistakes are answered in one line."""

import json

import pytest
from loopback import Scripted, serving

from medvl.benchmarks.metric_configs import metric_nodes
from medvl.cli.score import agreement, compare, main, rebuild, task
from medvl.data.report_samples import UnpairedReports
from medvl.metrics.comparison import Incomparable
from medvl.runtime.config import compose
from medvl.runtime.errors import UserError

REFERENCES = {"a": "Small left pleural effusion. Heart size is normal.", "b": "No pneumothorax.", "c": "The lungs are clear."}
PREDICTIONS = {"a": "Small left pleural effusion.", "b": "Right pneumothorax.", "c": ""}
METRICS = "metrics=[rouge_l,radfact]"


@pytest.fixture
def files(tmp_path):
    write(tmp_path / "predictions.jsonl", PREDICTIONS)
    write(tmp_path / "references.jsonl", REFERENCES)
    return tmp_path


def write(path, reports):
    path.write_text("".join(json.dumps({"study_id": name, "report": text}) + "\n" for name, text in reports.items()))


def scored(folder, *overrides, predictions="predictions.jsonl", out="one", judge="rules"):
    words = [f"predictions={folder / predictions}", f"references={folder / 'references.jsonl'}", f"out={folder / out}", "replicates=20"]
    return task(compose("score", [*words, "json=true", METRICS, *([f"judge={judge}"] if judge else []), *overrides]))


def test_scoring_leaves_every_file_of_the_folder(files):
    found = scored(files)

    names = {path.name for path in (files / "one").iterdir()}
    assert names == {
        *("config.yaml", "index.html", "per_sample.parquet", "phrases.jsonl", "provenance.json", "results.json", "table.md", "table.tex")
    }
    assert json.loads((files / "one" / "results.json").read_text()) == found
    assert found["judge"]["name"] == "rules"
    assert found["counts"]["empty_predictions"] == 1
    assert 0 < found["metrics"]["radfact/logical_f1"]["value"] < 1
    assert "Small left pleural effusion." in (files / "one" / "index.html").read_text()


def test_one_file_may_hold_both_sides(files):
    rows = [{"id": 0, "prediction": "No effusion.", "target": "No effusion."}]
    (files / "both.json").write_text(json.dumps(rows))

    config = compose("score", [f"predictions={files / 'both.json'}", "metrics=[rouge_l]", f"out={files / 'out'}", "json=true"])

    assert task(config)["metrics"]["rouge_l/rouge_l"]["value"] == 1


def test_the_tables_are_made_again_with_equal_numbers(files, capsys):
    found = scored(files)
    (files / "one" / "results.json").unlink()

    again = rebuild(compose("score_rebuild", [f"folder={files / 'one'}"]))

    assert again["metrics"] == found["metrics"]
    assert capsys.readouterr().out == (files / "one" / "table.md").read_text()


def test_two_systems_are_compared_on_the_same_examples(files):
    write(files / "better.jsonl", REFERENCES)
    scored(files)
    scored(files, predictions="better.jsonl", out="two")
    words = [f"first={files / 'two'}", f"second={files / 'one'}", "permutations=100", "statistics=[rouge_l,radfact/logical_f1]"]

    found = compare(compose("score_compare", [*words, f"out={files / 'comparison.json'}", "json=true"]))

    assert [(c["metric"], c["statistic"]) for c in found["comparisons"]] == [("rouge_l", "rouge_l"), ("radfact", "logical_f1")]
    assert all(c["difference"]["value"] > 0 for c in found["comparisons"])
    assert json.loads((files / "comparison.json").read_text()) == found


def test_systems_scored_on_other_examples_are_not_compared(files):
    write(files / "fewer.jsonl", {name: PREDICTIONS[name] for name in "ab"})
    scored(files)
    scored(files, "allow_missing=true", predictions="fewer.jsonl", out="two")

    with pytest.raises(Incomparable, match="'c'"):
        compare(compose("score_compare", [f"first={files / 'one'}", f"second={files / 'two'}"]))


COUNTS = """example_id,rater,category,significant,errors,cluster
a,r1,omission,1,1,s1
a,r2,omission,1,0,s1
b,r1,location,0,3,s1
b,r2,location,1,1,s1
c,r1,omission,1,4,s2
c,r2,omission,1,4,s2
"""


def test_metrics_are_set_against_radiologists(files, capsys):
    scored(files)
    (files / "counts.csv").write_text(COUNTS)
    words = [f"folder={files / 'one'}", f"counts={files / 'counts.csv'}", "replicates=20", f"out={files / 'tau.json'}"]

    found = agreement(compose("score_agreement", words))
    significant = agreement(compose("score_agreement", [*words, "errors=significant", "json=true"]))

    taus = {row["metric"]: row for row in found["kendall_tau_b"]}
    # ROUGE-L falls from a to b to c, the errors 0.5, 2, 4 rise.
    assert (taus["rouge_l/rouge_l"]["value"], taus["rouge_l/rouge_l"]["n"]) == (1, 3)
    assert significant["kendall_tau_b"] != found["kendall_tau_b"]
    assert json.loads((files / "tau.json").read_text()) == significant
    assert "rouge_l/rouge_l" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("c,r1,omission,1,4,s2\nc,r2,omission,1,4,s2\n", "", "1 of 3 examples have no error counts, first 'c'"),
        ("b,r1,location,0,3,s1", "b,r1,location,no,3,s1", "row 4, significant: is 1 or 0, got 'no'"),
        ("b,r1,location,0,3,s1", "b,r1,location,0,-3,s1", "row 4, errors: is a number of errors, got '-3'"),
        ("errors,cluster", "number,cluster", "errors"),
    ],
)
def test_a_mistake_in_the_radiologists_table_is_named(files, old, new, message):
    scored(files, "metrics=[rouge_l]", judge=None)
    (files / "counts.csv").write_text(COUNTS.replace(old, new))

    with pytest.raises(UserError, match=message):
        agreement(compose("score_agreement", [f"folder={files / 'one'}", f"counts={files / 'counts.csv'}"]))


def test_a_missing_prediction_is_an_error_or_counted(files):
    write(files / "fewer.jsonl", {"a": "Left pleural effusion."})

    with pytest.raises(UnpairedReports, match="2 of 3 examples have no prediction, first 'b'"):
        scored(files, predictions="fewer.jsonl")
    found = scored(files, "allow_missing=true", predictions="fewer.jsonl")

    assert found["counts"]["samples"] == 1
    assert found["counts"]["missing_predictions"] == 2


def test_compat_leaves_the_official_table(files):
    scored(files, "++options.radfact.compat=radfact")

    assert "logical_f1" in json.loads((files / "one" / "radfact_scores.json").read_text())


def test_options_are_written_without_hydras_signs(files, capsys):
    words = [f"predictions={files / 'predictions.jsonl'}", f"references={files / 'references.jsonl'}", f"out={files / 'one'}"]

    main([*words, "metrics=[rouge_l]", "options.rouge_l.implementation=rouge_score", "json=true"])

    assert json.loads(capsys.readouterr().out)["protocol"]["rouge_l"]["implementation"] == "rouge_score"


def test_a_metric_that_asks_a_judge_says_so_when_there_is_none(files):
    with pytest.raises(UserError, match="radfact needs a judge: give judge=rules"):
        scored(files, judge=None)


REPLIES = {
    "green": "[Clinically Significant Errors]:\n(b) Missing finding: 1. heart\n\n[Matched Findings]:\n1. effusion",
    "chexprompt": "\n".join(
        f"Number of clinically {kind} errors by type: [{', '.join(f'({letter}, 0)' for letter in 'ABCDEF')}]"
        for kind in ("significant", "insignificant")
    ),
}


def test_counts_of_errors_are_asked_of_an_endpoint_and_can_be_recorded(files):
    server = Scripted(lambda request: REPLIES["chexprompt" if "Number of clinically" in request.prompt else "green"])
    with serving(server) as url:
        options = [f"judge.base_url={url}", "judge.model=m", "judge.progress=false", f"judge.cache={files / 'cache.sqlite'}"]
        found = scored(files, "metrics=[green,chexprompt]", f"record={files / 'answers.json'}", *options, judge="endpoint")

    assert found["metrics"]["green/green"]["value"] == 0.5
    assert found["metrics"]["chexprompt/error_free"]["value"] == 1
    assert found["judge"]["name"] == found["protocol"]["green"]["chat"] == "endpoint:m"
    assert found["counts"]["green_failures"] == 0
    assert len(server.requests) == 6

    again = scored(files, "metrics=[green,chexprompt]", f"judge.table={files / 'answers.json'}", out="two", judge="recorded")

    assert again["metrics"] == found["metrics"]


def test_a_judge_that_is_no_language_model_cannot_count_errors(files):
    with pytest.raises(UserError, match=r"'rules' is no language model.*judge=endpoint or judge=local"):
        scored(files, "metrics=[green]")
    with pytest.raises(UserError, match="green asks a language model: give judge=endpoint"):
        scored(files, "metrics=[green]", judge=None)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["blue"], {}, "there is no metric 'blue' — did you mean 'bleu'"),
        (["bleu"], {"bleu": {"tokenzer": "13a"}}, "bleu has no option 'tokenzer' — did you mean 'tokenizer'"),
        (["bleu"], {"bleu": "13a"}, "options.bleu = '13a' names no key"),
        (["bleu"], {"rouge_l": {"stemmer": True}}, "options.rouge_l is given, but rouge_l is not among the metrics"),
        (["bertscore"], {}, "bertscore needs options.bertscore.encoder.folder=…"),
        (["bleu"], {"bleu": {"_target_": "os.system"}}, "'os.system' is not allowed"),
    ],
)
def test_a_mistake_in_metrics_or_options_is_named(names, options, message):
    with pytest.raises(UserError, match=message):
        metric_nodes(names, options)


def test_a_dry_run_names_missing_files_and_writes_nothing(files):
    plan = task(compose("score", ["predictions=nowhere.csv", f"out={files / 'one'}", METRICS, "dry_run=true", "json=true"]))

    assert plan["missing"] == ["nowhere.csv"]
    assert not (files / "one").exists()
