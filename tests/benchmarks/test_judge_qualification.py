"""Judges against gold labels."""

import json

import numpy as np
import pytest

from medvl.benchmarks.judge_qualification import agreement, qualify
from medvl.data.entailment_gold import GoldEntailment, read_gold
from medvl.judges.judge import Verdict
from medvl.judges.rules import RulesJudge
from medvl.runtime.errors import InvalidValue

EXAMPLE = {
    "study_id": "N/A",
    "example_id": "one",
    "input": {"phrases_A": ["No effusion."], "phrases_B": ["Lungs are clear.", "Cardiomegaly."]},
    "output": {
        "phrases_A_evidenced": [{"phrase": "No effusion.", "status": "neutral", "evidence": []}],
        "phrases_B_evidenced": [
            {"phrase": "Lungs are clear.", "status": "neutral", "evidence": []},
            {"phrase": "Cardiomegaly.", "status": "contradiction", "evidence": ["No effusion."]},
        ],
    },
}


class Wavering(RulesJudge):
    """Says yes to the first question and no to all others."""

    def entail(self, queries):
        return [Verdict("entailment", q.reference[:1]) if n == 0 else Verdict("not_entailment") for n, q in enumerate(queries)]


def gold(hypothesis, relation, cluster):
    return GoldEntailment(("Small left pleural effusion.",), hypothesis, relation, ("Small left pleural effusion.",), "all", cluster)


GOLD = [gold("Pleural effusion.", "entailment", "1"), gold("No effusion.", "contradiction", "1"), gold("Left effusion.", "entailment", "2")]


@pytest.mark.parametrize(("name", "value"), [("accuracy", 0.8), ("precision", 2 / 3), ("recall", 2 / 3), ("kappa", 0.22 / 0.42)])
def test_the_figures_are_those_worked_by_hand(name, value):
    said = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], bool)
    true = np.array([1, 1, 0, 1, 0, 0, 0, 0, 0, 0], bool)

    assert agreement(name, said, true, np.ones(10, bool))(np.ones((1, 10)))[0] == pytest.approx(value)


def test_kappa_is_undefined_where_all_say_the_same():
    assert np.isnan(agreement("kappa", np.ones(3, bool), np.ones(3, bool), np.ones(3, bool))(np.ones((1, 3)))[0])


def test_a_judge_is_named_and_measured_against_gold_and_against_itself():
    found = qualify(RulesJudge(), GOLD, dataset="gold", privacy="local_only", again=Wavering(), replicates=50)

    assert found.protocol["judge"] == "rules"
    assert found.protocol["prompt_hash"] == RulesJudge().prompt_hash
    assert found.metrics["accuracy"]["value"] == 1.0
    assert found.metrics["evidence_jaccard"] == {**found.metrics["evidence_jaccard"], "value": 1.0, "n": 2}
    assert found.metrics["repeat_agreement"]["value"] == pytest.approx(2 / 3)


def test_each_phrase_of_an_example_is_held_against_all_of_the_other_report(tmp_path):
    path = tmp_path / "examples.json"
    path.write_text(json.dumps([EXAMPLE]))

    found = read_gold(path)

    assert [(g.reference, g.hypothesis, g.category) for g in found] == [
        (("Lungs are clear.", "Cardiomegaly."), "No effusion.", "candidate"),
        (("No effusion.",), "Lungs are clear.", "reference"),
        (("No effusion.",), "Cardiomegaly.", "reference"),
    ]
    assert {g.cluster for g in found} == {"one"}


def test_an_example_with_another_status_is_named(tmp_path):
    path = tmp_path / "examples.json"
    path.write_text(json.dumps([EXAMPLE]).replace('"neutral"', '"perhaps"'))

    with pytest.raises(InvalidValue, match="example 0"):
        read_gold(path)
