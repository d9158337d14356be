"""GREEN- and CheXprompt-style counts: how replies are read, and the formulas."""

import math

import numpy as np
import pytest

from medvl.metrics import chexprompt as chexprompt_module
from medvl.metrics import green as green_module
from medvl.metrics.chexprompt import chexprompt
from medvl.metrics.comparison import compare
from medvl.metrics.error_counts import ErrorCounts
from medvl.metrics.green import green, green_of

REPLY = """[Explanation]:
Some words.

[Clinically Significant Errors]:
(a) False finding: 0.
(b) Missing finding: 1. effusion is missing
(c) Wrong location: 1. nodule on the left
(d) Wrong severity: 0.

[Clinically Insignificant Errors]:
(d) Wrong severity: 2. mild; small

[Matched Findings]:
3. clear lungs; normal heart; tube
"""
THOUGHTFUL = f"<think>\n[Clinically Significant Errors]:\n(a) False finding: 9. or so\n\n[Matched Findings]:\nNo.\n</think>\n{REPLY}"
RATING = """Number of clinically significant errors by type: [(A, 0), (B, 1), (C, 0), (D, 0), (E, 0), (F, 0)]
Number of clinically insignificant errors by type: ((A, 0), (B, 0), (C, 1), (D, 0), (E, 0), (F, 0))
Explanation: (A, 9)"""
NO_ERRORS = """Number of clinically significant errors by type: [(A, 0), (B, 0), (C, 0), (D, 0), (E, 0), (F, 0)]
Number of clinically insignificant errors by type: [(A, 0), (B, 0), (C, 0), (D, 0), (E, 0), (F, 0)]"""


def test_green_reads_sections_letters_and_matches():
    assert green_module.parse(REPLY) == ErrorCounts((0, 1, 1, 0, 0, 0), (0, 0, 0, 2, 0, 0), matched=3)


def test_green_reads_numbers_in_place_of_letters():
    numbered = REPLY.replace("(a)", "(1)").replace("(b)", "(2)").replace("(c)", "(3)").replace("(d)", "(4)")

    assert green_module.parse(numbered) == green_module.parse(REPLY)


def test_green_reads_a_section_that_begins_with_no_as_zero():
    reply = "[Clinically Significant Errors]:\nNone. (a) x: 4.\n\n[Matched Findings]:\nNo matched findings."

    assert green_module.parse(reply) == ErrorCounts((0,) * 6, (0,) * 6, matched=0)


def chat(answer):
    """A chat model that answers each prompt by a function."""

    def says(prompts, *, usable):
        return [answer(prompt) for prompt in prompts]

    return says


@pytest.mark.parametrize("reply", ["", "I cannot do that.", "[Matched Findings]:\n2. a; b", "[Clinically Significant Errors]:\nNo."])
def test_green_cannot_read_a_reply_without_its_sections(reply):
    assert green_module.parse(reply) is None


def test_green_is_matches_over_matches_and_significant_errors():
    assert green_of(ErrorCounts((0, 1, 1, 0, 0, 0), (5,) * 6, matched=3)) == pytest.approx(3 / 5)


def test_two_normal_reports_with_nothing_counted_score_zero():
    assert green_of(ErrorCounts((0,) * 6, (0,) * 6, matched=0)) == 0


def test_green_leaves_unread_replies_out_and_counts_them():
    replies = {"good": REPLY, "bad": "?"}

    result = green(["good", "bad"], ["r", "r"], chat=chat(lambda prompt: replies["good" if "good" in prompt else "bad"]))

    assert result.per_sample["green"][0] == pytest.approx(0.6)
    assert np.isnan(result.per_sample["green"][1])
    assert result.corpus["green"] == pytest.approx(0.6)
    assert result.corpus["significant/missing_finding"] == 1
    assert result.corpus["no_significant_error"] == 0
    assert np.isnan(result.per_sample["significant_errors"][1])
    assert "green" not in result.lower_is_better
    assert "significant_errors" in result.lower_is_better
    assert "no_significant_error" not in result.lower_is_better


def test_greens_prompt_cuts_each_report_at_300_words():
    prompt = green_module.prompt("reference " * 400, "candidate " * 10)

    assert prompt.count("reference ") < 310
    assert prompt.count("candidate ") >= 10


def test_braces_in_a_report_do_not_disturb_the_prompt():
    assert "{x}" in green_module.prompt("{x}", "{y}")
    assert "{y}" in chexprompt_module.prompt("{x}", "{y}")


def test_chexprompt_reads_both_lists_and_no_explanation():
    assert chexprompt_module.parse(RATING) == ErrorCounts((0, 1, 0, 0, 0, 0), (0, 0, 1, 0, 0, 0))


@pytest.mark.parametrize("reply", ["", RATING.replace("(F, 0)", ""), RATING.split("\n")[0]])
def test_chexprompt_cannot_read_a_missing_or_incomplete_list(reply):
    assert chexprompt_module.parse(reply) is None


def test_chexprompt_counts_errors_per_report_and_error_free_reports():
    result = chexprompt(["p", "q"], ["r", "r"], chat=chat(lambda prompt: RATING if "findings: p" in prompt else NO_ERRORS))

    assert result.corpus["significant_errors"] == 0.5
    assert result.corpus["errors"] == 1
    assert result.corpus["error_free"] == 0.5
    assert result.corpus["no_significant_error"] == 0.5


@pytest.mark.parametrize("reply", ["?", None])
def test_a_reply_that_nobody_could_read_gives_no_number(reply):
    result = chexprompt(["p"], ["r"], chat=chat(lambda prompt: reply))

    assert math.isnan(result.corpus["errors"])


def test_the_thoughts_of_a_reasoning_model_are_not_counted():
    result = green(["p"], ["r"], chat=chat(lambda prompt: THOUGHTFUL))

    assert result.corpus["green"] == pytest.approx(0.6)


def test_equal_pairs_are_asked_once_and_all_in_one_call():
    calls = []

    def ask(prompts, *, usable):
        calls.append(len(prompts))
        assert usable(NO_ERRORS)
        assert not usable("?")
        return [NO_ERRORS for _ in prompts]

    chexprompt(["p", "p", "q"], ["r", "r", "r"], chat=ask)

    assert calls == [2]


def test_the_number_names_the_prompt_and_the_judge_that_was_asked():
    class Asked:
        name = "endpoint:some-model"

        def ask(self, prompts, *, usable):
            return [REPLY for _ in prompts]

    protocol = green(["p"], ["r"], chat=Asked().ask).protocol

    assert protocol["chat"] == "endpoint:some-model"
    assert protocol["prompt"].startswith("medvl:")
    assert protocol["prompt"] != chexprompt(["p"], ["r"], chat=Asked().ask).protocol["prompt"]


def test_two_systems_stay_comparable_where_one_has_a_reply_that_nobody_could_read():
    both = [green(["p", "q"], ["r", "r"], chat=chat(answer)) for answer in (lambda p: REPLY, lambda p: REPLY if "p\n" in p else "?")]

    (found, *_) = compare({"green": both[0]}, {"green": both[1]}, ["a", "b"], replicates=5, permutations=5)

    assert (found.first.n, found.second.n) == (2, 1)
