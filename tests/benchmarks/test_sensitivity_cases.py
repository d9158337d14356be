"""The errors of ``scripts/sensitivity.py``: one at a time, and seen by the metrics that claim to see them."""

import pytest

from medvl.benchmarks.metric_configs import named_metrics
from medvl.benchmarks.metric_sensitivity import broken_claims, sensitivity
from medvl.judges.rules import RulesJudge
from sensitivity import CLAIMS, STATISTICS, cases

BOXES = "box moved"  # needs films


@pytest.fixture(scope="module")
def found():
    return cases(12, seed=0)


def test_every_error_has_cases_of_its_own(found):
    assert set(found) == {"control: reworded", *CLAIMS}
    assert all(found.values())


@pytest.mark.parametrize("error", [error for error in CLAIMS if error not in ("finding dropped", "device dropped", "finding added")])
def test_an_altered_report_differs_in_one_phrase(found, error):
    for case in found[error]:
        assert sum(mine != other for mine, other in zip(case.sound, case.erroneous, strict=True)) == 1


@pytest.mark.parametrize(("error", "more"), [("finding dropped", -1), ("device dropped", -1), ("finding added", 1)])
def test_a_dropped_or_added_statement_leaves_the_others_as_they_are(found, error, more):
    for case in found[error]:
        fewer, whole = sorted((case.sound, case.erroneous), key=len)
        assert len(case.erroneous) - len(case.sound) == more
        assert any((*whole[:n], *whole[n + 1 :]) == fewer for n in range(len(whole)))


def test_a_moved_box_keeps_its_words(found):
    for case in found[BOXES]:
        assert [p.text for p in case.sound] == [p.text for p in case.erroneous]


@pytest.mark.slow
def test_metrics_see_the_errors_that_they_claim_to_see():
    names = dict.fromkeys(name.split("/")[0] for name in STATISTICS)

    drops = sensitivity(cases(40, seed=0), named_metrics(list(names)), STATISTICS, RulesJudge())

    assert [(drop.error, drop.statistic) for drop in broken_claims(drops, CLAIMS)] == []
