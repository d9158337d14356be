import json
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medvl.benchmarks.report_folder import read_pair, read_scores, rebuild, write_result
from medvl.benchmarks.report_metrics import OnTexts, RadFact
from medvl.benchmarks.report_scores import Bootstrap, score
from medvl.data.report_samples import ReportSample
from medvl.judges.rules import RulesJudge
from medvl.metrics.comparison import Incomparable
from medvl.metrics.text import bleu, cider, rouge_l
from medvl.records import Box, Phrase
from medvl.runtime.errors import InvalidValue, MissingFile

EFFUSION = Phrase("Small left pleural effusion.", boxes=(Box(0.6, 0.6, 0.9, 0.9),))
NORMAL = Phrase("The heart size is normal.", boxes=None)


def samples(*predictions):
    references = [(EFFUSION, NORMAL), (NORMAL,), (EFFUSION,)]
    return [
        ReportSample(str(i), prediction, reference, f"p{i // 2}", "invented", "en", "public")
        for i, (prediction, reference) in enumerate(zip(predictions, references, strict=True))
    ]


def scored(*predictions, compat=None):
    metrics = {"bleu": OnTexts(bleu), "rouge_l": OnTexts(rouge_l), "cider": OnTexts(cider), "radfact": RadFact(compat)}
    return score(samples(*predictions), metrics=metrics, judge=RulesJudge(), bootstrap=Bootstrap(50))


@pytest.fixture
def folder(tmp_path):
    write_result(scored((EFFUSION,), (NORMAL,), (NORMAL,)), tmp_path / "one")
    return tmp_path / "one"


def test_figures_and_tables_are_rebuilt_from_the_file_of_samples_alone(folder):
    written = json.loads((folder / "results.json").read_text())["metrics"]
    tables = {name: (folder / name).read_bytes() for name in ("table.md", "table.tex")}
    for path in folder.iterdir():
        if path.name != "per_sample.parquet":
            path.unlink()

    figures = rebuild(folder)

    again = {f"{metric}/{name}": asdict(figure) for metric, of in figures.items() for name, figure in of.items()}
    assert again == written
    assert {name: (folder / name).read_bytes() for name in tables} == tables


def test_each_phrase_is_a_line_with_its_verdict_and_its_policy(folder):
    lines = [json.loads(line) for line in (folder / "phrases.jsonl").read_text().splitlines()]

    places = [(line["example_id"], line["side"], line["index"]) for line in lines]
    first = lines[0]
    assert places[:3] == [("0", "candidate", 0), ("0", "reference", 0), ("0", "reference", 1)]
    assert first["status"] == "entailment"
    assert first["spatial_entailment_status"] == "spatial_entailment"
    assert first["evidence"][0]["text"] == EFFUSION.text
    assert first["privacy"] == "public"
    assert len(lines) == 7


def test_the_file_of_samples_names_policy_and_units(folder):
    schema = pq.read_schema(folder / "per_sample.parquet")

    assert schema.metadata[b"privacy"] == b"public"
    assert pq.read_table(folder / "per_sample.parquet")["unit"].to_pylist() == ["p0", "p0", "p1"]


def test_the_second_of_a_pair_is_put_in_the_order_of_the_first(folder, tmp_path):
    other = scored((EFFUSION, NORMAL), (NORMAL,), (EFFUSION,))
    mixed = score(other.samples[::-1], metrics={"rouge_l": OnTexts(rouge_l)})
    write_result(mixed, tmp_path / "two")

    one, two = read_pair(folder, tmp_path / "two")

    assert one.example_ids == two.example_ids == ["0", "1", "2"]
    np.testing.assert_array_equal(two.scores["rouge_l"].per_sample["rouge_l"], other.scores["rouge_l"].per_sample["rouge_l"])


def test_runs_on_different_examples_are_not_compared(folder, tmp_path):
    write_result(score(samples((NORMAL,), (NORMAL,), (NORMAL,))[:2], metrics={"rouge_l": OnTexts(rouge_l)}), tmp_path / "two")

    with pytest.raises(Incomparable, match="'2'"):
        read_pair(folder, tmp_path / "two")


def test_the_official_table_is_written_in_compat_mode_only(folder, tmp_path):
    write_result(scored((EFFUSION,), (NORMAL,), (NORMAL,), compat="radfact"), tmp_path / "official")

    assert not (folder / "radfact_scores.json").exists()
    official = json.loads((tmp_path / "official" / "radfact_scores.json").read_text())
    assert official["num_llm_success"] == 7
    assert 0 < official["logical_f1"] < 1


def test_tables_escape_what_latex_reads(folder):
    assert r"rouge\_l/rouge\_l & " in (folder / "table.tex").read_text()
    assert "| rouge_l/rouge_l | " in (folder / "table.md").read_text()


def test_a_folder_without_scores_is_named(tmp_path):
    with pytest.raises(MissingFile, match=r"per_sample\.parquet"):
        read_scores(tmp_path)


def test_a_table_of_another_maker_is_refused(tmp_path):
    pq.write_table(pa.table({"example_id": ["a"]}), tmp_path / "per_sample.parquet")

    with pytest.raises(InvalidValue, match=r"medvl\.scores"):
        read_scores(tmp_path)
