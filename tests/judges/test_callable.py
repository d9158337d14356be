"""A function of sentence pairs as a judge."""

import pytest

from medvl.judges.callable import CallableJudge
from medvl.judges.judge import EntailmentQuery, Judge

SCORES = {("No effusion.", "Clear."): 0.4, ("Lungs clear.", "Clear."): 0.9, ("Clear lungs.", "Clear."): 0.95}
QUERY = EntailmentQuery(("No effusion.", "Lungs clear.", "Clear lungs."), "Clear.")


def test_the_phrases_that_reach_the_threshold_are_the_evidence_best_first():
    judge = CallableJudge(lambda pairs: [SCORES[pair] for pair in pairs], name="table")

    (verdict,) = judge.entail([QUERY])

    assert isinstance(judge, Judge)
    assert (verdict.status, verdict.evidence) == ("entailment", ("Clear lungs.", "Lungs clear."))


def test_below_the_threshold_nothing_follows_nor_does_it_from_an_empty_report():
    judge = CallableJudge(lambda pairs: [SCORES[pair] for pair in pairs], name="table", threshold=0.99)

    verdicts = judge.entail([QUERY, EntailmentQuery((), "Clear.")])

    assert [v.status for v in verdicts] == ["not_entailment"] * 2


def test_each_pair_is_scored_once():
    seen = []
    CallableJudge(lambda pairs: seen.extend(pairs) or [True] * len(pairs), name="yes").entail([QUERY, QUERY])

    assert sorted(seen) == sorted(SCORES)


@pytest.mark.parametrize("scores", [[0.5], [0.5, 0.5, 1.5]])
def test_a_function_that_does_not_answer_with_probabilities_is_an_error(scores):
    with pytest.raises(ValueError, match="one probability for each"):
        CallableJudge(lambda pairs: scores, name="broken").entail([QUERY])


def test_another_threshold_is_another_judge():
    assert CallableJudge(list, name="x").prompt_hash != CallableJudge(list, name="x", threshold=0.6).prompt_hash
