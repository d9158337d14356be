"""GREEN- and CheXprompt-style counts: how replies are read, and the formulas."""

import math
import threading

import numpy as np
import pytest

from medvl.metrics import chexprompt as chexprompt_module
from medvl.metrics import green as green_module
from medvl.metrics.chexprompt import chexprompt
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


@pytest.mark.parametrize("reply", ["", "I cannot do that.", "[Matched Findings]:\n2. a; b", "[Clinically Significant Errors]:\nNo."])
def test_green_cannot_read_a_reply_without_its_sections(reply):
    assert green_module.parse(reply) is None


def test_green_is_matches_over_matches_and_significant_errors():
    assert green_of(ErrorCounts((0, 1, 1, 0, 0, 0), (5,) * 6, matched=3)) == pytest.approx(3 / 5)


def test_two_normal_reports_with_nothing_counted_score_zero():
    assert green_of(ErrorCounts((0,) * 6, (0,) * 6, matched=0)) == 0


def test_green_leaves_unread_replies_out_and_counts_them():
    replies = {"good": REPLY, "bad": "?"}

    result = green(["good", "bad"], ["r", "r"], chat=lambda prompt: replies["good" if "good" in prompt else "bad"])

    assert result.per_sample["green"][0] == pytest.approx(0.6)
    assert np.isnan(result.per_sample["green"][1])
    assert result.corpus["green"] == pytest.approx(0.6)
    assert result.corpus["significant/missing_finding"] == 1
    assert result.corpus["no_significant_error"] == 0
    assert result.protocol["failures"] == 1
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
    result = chexprompt(["p", "q"], ["r", "r"], chat=lambda prompt: RATING if "findings: p" in prompt else NO_ERRORS)

    assert result.corpus["significant_errors"] == 0.5
    assert result.corpus["errors"] == 1
    assert result.corpus["error_free"] == 0.5
    assert result.corpus["no_significant_error"] == 0.5
    assert result.protocol["failures"] == 0


def test_a_reply_that_nobody_could_read_gives_no_number():
    result = chexprompt(["p"], ["r"], chat=lambda prompt: "?")

    assert math.isnan(result.corpus["errors"])


def test_equal_pairs_are_asked_once_and_several_at_a_time():
    asked, both = [], threading.Barrier(2, timeout=5)

    def chat(prompt):
        asked.append(prompt)
        both.wait()
        return NO_ERRORS

    chexprompt(["p", "p", "q"], ["r", "r", "r"], chat=chat, concurrency=2)

    assert len(asked) == 2
