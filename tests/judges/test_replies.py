"""What is read from a model's reply, and what it is told where nothing can be."""

import json

import pytest

from medvl.judges import prompts
from medvl.judges.replies import UnusableReply, read_sentences, read_verdict, read_verdicts, verdict_of

REFERENCE = ("No effusion.", "Heart is large.")
GOOD = {"phrase": "No effusion", "evidence": ["No effusion."], "status": "entailment"}


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps(GOOD),
        f"```json\n{json.dumps(GOOD)}\n```",
        f"<think>It says {{so}}.</think>Here it is: {json.dumps(GOOD)} I hope this helps.",
        "phrase: No effusion\nevidence:\n- No effusion.\nstatus: entailment",
    ],
)
def test_json_fences_thoughts_chatter_and_yaml_are_read(raw):
    assert read_verdict(raw, REFERENCE) == GOOD


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("I cannot say.", "JSON"),
        ("[1, 2]", "JSON"),
        ('{"evidence": [], "status": "entailment"}', "phrase"),
        ('{"phrase": "x", "evidence": [], "status": "neutral"}', "status"),
        ('{"phrase": "x", "evidence": "No effusion.", "status": "entailment"}', "evidence"),
    ],
)
def test_what_is_wrong_is_said(raw, problem):
    with pytest.raises(UnusableReply, match=problem) as error:
        read_verdict(raw, REFERENCE)

    assert error.value.readable is None


@pytest.mark.parametrize("evidence", [[], ["Nobody wrote this."]])
def test_an_entailment_without_known_evidence_is_complained_of_but_kept(evidence):
    with pytest.raises(UnusableReply) as error:
        read_verdict(json.dumps({**GOOD, "evidence": evidence}), REFERENCE)

    assert error.value.readable == {**GOOD, "evidence": evidence}


def test_a_batch_needs_one_verdict_for_each_hypothesis():
    with pytest.raises(UnusableReply, match="list of 2"):
        read_verdicts(json.dumps({"verdicts": [GOOD]}), REFERENCE, ["a", "b"])


def test_a_rewritten_phrase_is_told():
    assert verdict_of(GOOD, "No effusion.").reply_phrase == "No effusion"
    assert verdict_of(GOOD, "No effusion").reply_phrase is None


def test_a_sentence_without_a_finding_has_no_phrases():
    raw = '{"sentence_list": [{"orig": "Two views.", "new": []}]}'

    assert read_sentences(raw) == {"sentence_list": [{"orig": "Two views.", "new": []}]}


@pytest.mark.parametrize("language", prompts.LANGUAGES)
@pytest.mark.parametrize("task", ["entailment", "entailment_batch", "split"])
def test_our_examples_obey_our_own_rules(task, language):
    for question, answer in prompts.load(task, language).examples:
        if task == "split":
            assert all(item["orig"] in question.replace("\n", " ") for item in read_sentences(answer)["sentence_list"])
        elif task == "entailment":
            read_verdict(answer, json.loads(question)["reference"])
        else:
            read_verdicts(answer, json.loads(question)["reference"], json.loads(question)["hypotheses"])


def test_the_rendered_bytes_are_the_conversation_and_begin_alike_for_every_question():
    prompt = prompts.load("entailment", "en")
    said = [("bad", 'it is "no" JSON')]

    assert json.loads(prompt.conversation_bytes("¿qué?", said)) == prompt.conversation("¿qué?", said)
    assert prompt.conversation_bytes("a").startswith(prompt.rendered)
    assert prompt.conversation_bytes("b").startswith(prompt.rendered)
