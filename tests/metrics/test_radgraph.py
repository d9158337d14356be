"""RadGraph F1 of given graphs: what each level asks to agree."""

import json

import pytest

from medvl.metrics.radgraph import RecordedGraphs, graph_f1, radgraph_f1
from medvl.runtime.errors import InvalidValue, MissingFile, UserError


def graph(*entities, text=""):
    """Entities as (tokens, label, *relations), numbered from 1; a relation is (type, number)."""
    return {
        "text": text,
        "entities": {
            str(i): {"tokens": tokens, "label": label, "start_ix": 0, "end_ix": 0, "relations": [list(r) for r in relations]}
            for i, (tokens, label, *relations) in enumerate(entities, start=1)
        },
    }


LOCATED = graph(("effusion", "OBS-DP", ("located_at", "2")), ("left", "ANAT-DP"))
APART = graph(("effusion", "OBS-DP"), ("left", "ANAT-DP"))
EMPTY = graph()


def test_a_missing_relation_costs_more_at_each_level():
    corpus = graph_f1([LOCATED], [APART], model="radgraph").corpus

    assert corpus["simple"] == 1
    assert corpus["partial"] == 1 / 2
    assert corpus["complete"] == 1 / 2
    assert corpus["radcliq"] == (1 + 0) / 2


def test_equal_graphs_agree_at_every_level():
    corpus = graph_f1([LOCATED], [LOCATED], model="radgraph").corpus

    assert corpus == dict.fromkeys(corpus, 1)


def test_complete_compares_the_target_of_a_relation_and_partial_does_not():
    right = graph(("effusion", "OBS-DP", ("located_at", "2")), ("right", "ANAT-DP"))

    corpus = graph_f1([right], [LOCATED], model="radgraph").corpus

    assert corpus["partial"] == 1 / 2  # the effusion with a relation; not its side
    assert corpus["complete"] == 0


def test_a_denied_entity_is_another_one():
    denied = graph(("effusion", "OBS-DA"), ("left", "ANAT-DP"))

    assert graph_f1([denied], [APART], model="radgraph").corpus["simple"] == 1 / 2


def test_an_entity_said_twice_counts_once():
    twice = graph(("effusion", "OBS-DP"), ("effusion", "OBS-DP"), ("left", "ANAT-DP"))

    assert graph_f1([twice], [APART], model="radgraph").corpus["simple"] == 1


def test_a_report_without_entities_on_either_side_scores_zero():
    assert graph_f1([EMPTY, EMPTY], [EMPTY, APART], model="radgraph").per_sample["simple"].tolist() == [0, 0]


def test_relations_that_nobody_states_score_zero_in_radcliq():
    assert graph_f1([APART], [APART], model="radgraph").corpus["radcliq"] == 1 / 2


def test_micro_sums_the_counts():
    result = graph_f1([APART, graph(("mass", "OBS-DP"))], [APART, graph(("nodule", "OBS-DP"))], model="radgraph")

    assert result.corpus["simple"] == 1 / 2
    assert result.corpus["simple_micro"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))


def test_the_model_stands_in_the_result():
    assert "model:radgraph-xl" in graph_f1([APART], [APART], model="radgraph-xl").signature


def test_recorded_annotations_are_found_whatever_their_white_space(tmp_path):
    path = tmp_path / "graphs.json"
    path.write_text(json.dumps({"0": {**LOCATED, "text": "Left effusion ."}, "1": {**APART, "text": "No effusion ."}}))

    result = radgraph_f1(["left effusion."], ["Left  effusion."], annotator=RecordedGraphs([path]), model="radgraph")

    assert result.corpus["complete"] == 1


def test_reports_without_an_annotation_are_counted_in_the_error(tmp_path):
    path = tmp_path / "graphs.json"
    path.write_text(json.dumps({"0": {**LOCATED, "text": "Left effusion ."}}))

    with pytest.raises(UserError, match="1 of 2 reports"):
        RecordedGraphs([path])(["Left effusion.", "Another."])


def test_an_empty_report_has_an_empty_graph():
    assert RecordedGraphs([])([""]) == [{"entities": {}}]


def test_a_graph_of_another_form_is_refused_without_its_text():
    with pytest.raises(UserError, match="has entities with tokens") as error:
        graph_f1([{"text": "secret", "entities": {"1": {"tokens": "secret"}}}], [APART], model="radgraph")
    assert "secret" not in str(error.value)


def test_annotation_files_that_are_absent_or_broken_are_named(tmp_path):
    with pytest.raises(MissingFile, match=r"absent\.json"):
        RecordedGraphs([tmp_path / "absent.json"])
    (tmp_path / "broken.json").write_text("[1]")
    with pytest.raises(InvalidValue, match=r"broken\.json"):
        RecordedGraphs([tmp_path / "broken.json"])
