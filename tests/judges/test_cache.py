"""Answers kept in a file."""

import pytest

from medvl.judges.cache import Answer, AnswerCache
from medvl.runtime.errors import InvalidValue

ANSWER = Answer({"status": "entailment"}, ("¿sí?", "sí"), {"prompt_tokens": 3})


def test_an_answer_is_there_for_whoever_opens_the_file_next(tmp_path):
    writer = AnswerCache(tmp_path / "a.sqlite")
    writer.put("k", ANSWER, model="m", prompt_hash="p", question="q")  # not closed: as if the process were killed

    assert AnswerCache(tmp_path / "a.sqlite").find(["k", "other"]) == {"k": ANSWER}


def test_more_keys_than_one_statement_takes_are_found(tmp_path):
    cache = AnswerCache(tmp_path / "a.sqlite")
    for number in range(1201):
        cache.put(str(number), ANSWER, model="m", prompt_hash="p", question="q")

    assert len(cache.find([str(number) for number in range(2000)])) == 1201


def test_a_file_that_is_no_cache_is_named(tmp_path):
    (tmp_path / "a.sqlite").write_text("this is no database at all, but long enough to be taken for one " * 20)

    with pytest.raises(InvalidValue, match=r"a\.sqlite.*another file"):
        AnswerCache(tmp_path / "a.sqlite")
