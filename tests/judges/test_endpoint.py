"""A judge behind an OpenAI-compatible endpoint: what it asks, how it bears failures, what it refuses to send."""

import socket
import stat

import pytest
from loopback import endpoint, serving

from medvl.judges.endpoint import EndpointError, EndpointJudge
from medvl.judges.judge import EntailmentQuery, Judge
from medvl.runtime.privacy import PrivacyError

REFERENCE = ("No pleural effusion.", "The heart is enlarged.")
QUERIES = [EntailmentQuery(REFERENCE, text) for text in ("No effusion.", "The heart is enlarged.", "Left nodule.", "No effusion.")]
MANY = [EntailmentQuery(REFERENCE, f"Phrase number {number}.") for number in range(40)]
ELSEWHERE = "https://judge.example.org/v1"


def judge(url, **options):
    return EndpointJudge(url, "fake", progress=False, **options)


def test_verdicts_come_in_the_order_of_the_queries_and_equal_ones_are_asked_once():
    server = endpoint()
    with serving(server) as url:
        found = judge(url)
        verdicts = found.entail(QUERIES)

    assert isinstance(found, Judge)
    assert [v.status for v in verdicts] == ["entailment", "entailment", "not_entailment", "entailment"]
    assert verdicts[1].evidence == ("The heart is enlarged.",)
    assert server.counters["calls"] == 3


def test_reports_are_split_into_phrases():
    with serving(endpoint()) as url:
        (report,) = judge(url).split(["No effusion. Heart is normal."])

    assert report.phrases == ("No effusion.", "Heart is normal.")


def test_no_more_calls_are_under_way_than_allowed():
    server = endpoint(latency=0.01)
    with serving(server) as url:
        judge(url, concurrency=5).entail(MANY)

    assert server.counters["most_at_once"] == 5


def test_malformed_answers_are_asked_again_and_no_question_is_lost():
    server = endpoint(malformed=0.3)
    with serving(server) as url:
        asked = judge(url, retries=6)
        verdicts = asked.entail(MANY)

    assert server.counters["malformed"] > 0
    assert asked.counters["retried"] == server.counters["malformed"]
    assert not any(v.failure for v in verdicts)


def test_an_answer_that_stays_malformed_is_a_failure_with_its_words_and_is_asked_anew_next_time(tmp_path):
    with serving(endpoint(malformed=1.0)) as url:
        (verdict,) = judge(url, cache=tmp_path / "cache.sqlite").entail(QUERIES[:1])
    with serving(endpoint()) as url:
        (mended,) = judge(url, cache=tmp_path / "cache.sqlite").entail(QUERIES[:1])

    assert (verdict.status, verdict.failure, verdict.explanation) == ("not_entailment", "unparseable", "I am afraid that I cannot say.")
    assert mended.status == "entailment"


def test_invented_evidence_is_complained_of_and_returned_if_the_model_insists():
    with serving(endpoint(invented=1.0)) as url:
        asked = judge(url)
        (verdict,) = asked.entail(QUERIES[:1])

    assert verdict.evidence == ("Nobody wrote this.",)
    assert verdict.failure is None
    assert asked.counters["calls"] == 3


def test_refused_calls_are_waited_out():
    server = endpoint(refused=0.1)
    with serving(server) as url:
        verdicts = judge(url, concurrency=8).entail(MANY)

    assert server.counters["refused"] > 0
    assert not any(v.failure for v in verdicts)


def test_what_was_answered_is_not_asked_again(tmp_path):
    server = endpoint()
    with serving(server) as url:
        first = judge(url, cache=tmp_path / "cache.sqlite").entail(MANY)
        again = judge(url, cache=tmp_path / "cache.sqlite").entail(MANY)

    assert again == first
    assert server.counters["calls"] == len(MANY)
    assert stat.S_IMODE((tmp_path / "cache.sqlite").stat().st_mode) == 0o600


@pytest.mark.parametrize("change", [{"parameters": {"temperature": 0.5}}, {"revision": "2"}, {"retries": 1}, {"structured": "none"}])
def test_whatever_shapes_the_answer_is_part_of_its_key(tmp_path, change):
    server = endpoint()
    with serving(server) as url:
        judge(url, cache=tmp_path / "cache.sqlite").entail(QUERIES[:1])
        other = judge(url, cache=tmp_path / "cache.sqlite", **change)
        other.entail(QUERIES[:1])

    assert server.counters["calls"] == 2
    assert other.prompt_hash != judge(url).prompt_hash


def test_batches_ask_less_often_and_answer_alike():
    server = endpoint()
    with serving(server) as url:
        verdicts = judge(url, batch=2).entail(QUERIES)
        single = judge(url).entail(QUERIES)

    assert verdicts == single
    assert server.counters["calls"] == 2 + 3


def test_an_endpoint_that_is_down_is_one_clear_error():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    with pytest.raises(EndpointError, match="cannot be reached"):
        judge(f"http://127.0.0.1:{port}/v1", attempts=1).entail(QUERIES)


def test_a_missing_key_is_named(monkeypatch):
    monkeypatch.delenv("JUDGE_KEY", raising=False)

    with pytest.raises(EndpointError, match="JUDGE_KEY"):
        judge(ELSEWHERE, api_key_env="JUDGE_KEY")


def test_private_data_is_refused_before_any_socket_opens(monkeypatch):
    opened = []
    found = judge(ELSEWHERE)
    monkeypatch.setattr(socket, "socket", lambda *a, **k: opened.append(a))

    for policy in ("local_only", "zero_retention"):
        with pytest.raises(PrivacyError, match=r"mimic_cxr.*judge\.allow_remote"):
            found.admit(policy, dataset="mimic_cxr")
    with pytest.raises(PrivacyError, match="admit"):
        found.entail(QUERIES)

    assert opened == []


def test_an_allowance_is_for_one_dataset_and_is_recorded():
    found = judge(ELSEWHERE, allow_remote={"mimic_cxr": "zero_retention"})

    found.admit("local_only", dataset="mimic_cxr")

    assert list(found.allowances) == ["mimic_cxr"]
    with pytest.raises(PrivacyError, match="padchest"):
        found.admit("local_only", dataset="padchest")


def test_public_data_may_go_anywhere_and_any_data_to_loopback():
    elsewhere, here = judge(ELSEWHERE), judge("http://127.1.2.3:8000/v1")

    elsewhere.admit("public", dataset="phantom")
    here.admit("local_only", dataset="mimic_cxr")

    assert elsewhere.allowances == here.allowances == {}
