import pytest

from medvl.benchmarks.metric_sensitivity import Case, broken_claims, sensitivity, table
from medvl.benchmarks.report_metrics import CannotScore, OnTexts
from medvl.metrics.scores import scores


def words(predictions, references):
    """Share of the reference's words that the prediction has, and how many it has that the reference lacks."""
    pairs = [(set(p.split()), set(r.split())) for p, r in zip(predictions, references, strict=True)]
    recall = [len(p & r) / len(r) for p, r in pairs]
    return scores(
        "words", {"recall": recall, "wrong": [len(p - r) for p, r in pairs]}, {"version": 1}, lower_is_better=frozenset({"wrong"})
    )


METRICS = {"words": OnTexts(words)}


def case(number, erroneous, sound="a b"):
    return Case(f"s{number}", f"p{number // 2}", "a b", sound, erroneous)


def drops(**cases):
    found = sensitivity(cases, METRICS, ["words/recall", "words/wrong"], replicates=100)
    return {(drop.error, drop.statistic): drop for drop in found}


def test_a_drop_is_sound_minus_erroneous_with_a_paired_interval():
    found = drops(dropped=[case(i, "a") for i in range(8)])["dropped", "words/recall"]

    assert (found.sound, found.drop.value) == (1, 0.5)
    assert (found.drop.ci_low, found.drop.ci_high) == (0.5, 0.5)
    assert found.seen


def test_the_sign_is_turned_where_lower_is_better():
    found = drops(added=[case(i, "a b c") for i in range(8)])

    assert found["added", "words/wrong"].drop.value == 1
    assert found["added", "words/wrong"].seen
    assert not found["added", "words/recall"].seen


def test_an_error_that_shows_in_one_patient_only_is_not_seen():
    cases = [case(0, "a"), *(case(i, "a b") for i in range(2, 12))]

    assert not drops(dropped=cases)["dropped", "words/recall"].seen


def test_an_error_without_cases_is_left_out():
    assert {error for error, _ in drops(dropped=[case(0, "a")], added=[])} == {"dropped"}


def test_an_unknown_statistic_is_named():
    with pytest.raises(CannotScore, match="words/precision"):
        sensitivity({"dropped": [case(0, "a")]}, METRICS, ["words/precision"])


def test_the_table_marks_what_is_seen_and_what_ought_to_be():
    found = list(drops(dropped=[case(i, "a") for i in range(8)]).values())
    claims = {"dropped": ["words/recall", "words/wrong"]}

    lines = table(found, claims).splitlines()

    assert lines[0] == "| error | n | words/recall | words/wrong |"
    assert lines[2] == "| dropped | 8 | **0.500 (0.500 … 0.500)** | 0.000 (0.000 … 0.000) ! |"
    assert [drop.statistic for drop in broken_claims(found, claims)] == ["words/wrong"]


def test_the_table_counts_reports_also_where_the_last_metric_has_no_say():
    def silent(predictions, references):
        return scores("silent", {"box": [float("nan")] * len(predictions)}, {"version": 1})

    found = sensitivity(
        {"dropped": [case(i, "a") for i in range(8)]},
        METRICS | {"silent": OnTexts(silent)},
        ["words/recall", "silent/box"],
        replicates=100,
    )

    assert table(found, {}).splitlines()[2].startswith("| dropped | 8 |")
