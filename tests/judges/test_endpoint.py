"""A judge behind an OpenAI-compatible endpoint: what it asks, how it bears failures, what it refuses to send."""

import json
import socket
import stat

import pytest
from loopback import Scripted, endpoint, serving

from medvl.judges.endpoint import EndpointError, EndpointJudge
from medvl.judges.judge import ChatJudge, EntailmentQuery, Judge
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


VERDICT = json.dumps({"phrase": "No effusion.", "evidence": ["No pleural effusion."], "status": "entailment"})


def no_schemas(request):
    return ("400 Bad Request", "response_format is not supported") if "response_format" in request.body else VERDICT


def test_answers_are_asked_for_by_schema():
    server = Scripted(lambda request: VERDICT)
    with serving(server) as url:
        judge(url).entail(QUERIES[:1])

    form = server.requests[0].body["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["name"] == "entailment"


@pytest.mark.parametrize("status", ["400 Bad Request", "422 Unprocessable Entity"])
def test_a_server_that_refuses_the_schema_is_asked_without_it_and_never_with_it_again(status):
    server = Scripted(lambda request: (status, "no schemas") if "response_format" in request.body else VERDICT)
    with serving(server) as url:
        found = judge(url, concurrency=1)
        verdicts = found.entail(QUERIES)
        found.entail(MANY[:2])

    assert [v.failure for v in verdicts] == [None] * 4
    assert ["response_format" in request.body for request in server.requests] == [True] + 5 * [False]


def test_a_chat_says_nothing_about_schemas():
    server = Scripted(no_schemas)
    with serving(server) as url:
        found = judge(url)
        found.ask(["How many?"])
        found.entail(QUERIES[:1])

    assert ["response_format" in request.body for request in server.requests] == [False, True, False]


def test_a_judge_that_insists_on_the_schema_says_what_the_server_says():
    with serving(Scripted(no_schemas)) as url, pytest.raises(EndpointError, match=r"not supported.*judge\.structured"):
        judge(url, structured="json_schema").entail(QUERIES)


@pytest.mark.parametrize(
    ("status", "options", "setting"),
    [
        ("401 Unauthorized", {}, "judge.api_key_env"),
        ("403 Forbidden", {}, "judge.api_key_env"),
        ("404 Not Found", {}, "judge.base_url.*judge.model"),
        ("404 Not Found", {"azure_api_version": "2024-10-21"}, "judge.base_url.*judge.model.*deployment.*judge.azure_api_version"),
    ],
)
def test_a_server_that_refuses_us_is_one_error_that_names_the_setting(status, options, setting):
    server = Scripted(lambda request: (status, "go away"))
    with serving(server) as url, pytest.raises(EndpointError, match=f"status {status[:3]}: go away .*{setting}"):
        judge(url, concurrency=1, **options).entail(MANY)

    assert len(server.requests) == 1


def test_the_key_is_the_one_that_is_named(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "not this one")
    monkeypatch.setenv("JUDGE_KEY", "this one")
    server = Scripted(lambda request: VERDICT)
    with serving(server) as url:
        judge(url, api_key_env="JUDGE_KEY").entail(QUERIES[:1])
        judge(url).entail(QUERIES[:1])

    assert [request.headers["authorization"] for request in server.requests] == ["Bearer this one", "Bearer none"]
    assert server.requests[0].path == "/v1/chat/completions"


def test_azure_is_asked_at_its_deployment_with_its_version_and_its_key_header(monkeypatch):
    monkeypatch.setenv("AZURE_KEY", "a key")
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "not this one")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "nor this one")
    server = Scripted(lambda request: VERDICT)
    with serving(server) as url:
        found = EndpointJudge(url.removesuffix("/v1"), "my-gpt", api_key_env="AZURE_KEY", azure_api_version="2024-10-21", progress=False)
        (verdict,) = found.entail(QUERIES[:1])

    assert verdict.status == "entailment"
    (request,) = server.requests
    assert request.path == "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
    assert request.headers["api-key"] == "a key"
    assert "authorization" not in request.headers


def test_a_prompt_is_sent_alone_and_equal_ones_once(tmp_path):
    server = Scripted(lambda request: f"So be it: {request.prompt}")
    with serving(server) as url:
        found = judge(url, cache=tmp_path / "cache.sqlite")
        replies = found.ask(["One?", "Two?", "One?"])
        again = judge(url, cache=tmp_path / "cache.sqlite").ask(["One?"])

    assert isinstance(found, ChatJudge)
    assert replies == ["So be it: One?", "So be it: Two?", "So be it: One?"]
    assert again == replies[:1]
    assert [len(request.body["messages"]) for request in server.requests] == [1, 1]


def test_a_reply_that_is_not_usable_is_asked_for_again_and_the_last_one_returned():
    said = iter(["hm", "four", "hm", "hm", "well"])
    server = Scripted(lambda request: next(said))
    with serving(server) as url:
        found = judge(url)
        good, bad = (found.ask([prompt], usable=lambda reply: reply == "four") for prompt in ("2 + 2?", "3 + 1?"))

    assert (good, bad) == (["four"], ["well"])
    assert found.counters["failed"] == 1
    assert "form asked for" in server.requests[1].prompt


def test_a_prompt_goes_nowhere_before_its_dataset_is_admitted():
    with pytest.raises(PrivacyError, match="admit"):
        judge(ELSEWHERE).ask(["Anything."])
