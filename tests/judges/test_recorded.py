"""Recorded answers: what was recorded is answered, word for word, and nothing else."""

import json

import pytest

from medvl.judges.judge import CannotChat, ChatJudge, EntailmentQuery, Judge, SplitReport, SplitSentence, Verdict
from medvl.judges.recorded import MissingAnswer, RecordedJudge, Recorder
from medvl.runtime.errors import InvalidValue, MissingFile

QUERY = EntailmentQuery(("No effusion.", "Heart normal."), "No pleural effusion.")


def nli(**more):
    entry = {"reference": list(QUERY.reference), "hypothesis": QUERY.hypothesis, "status": "entailment", "evidence": ["No effusion."]}
    return {"nli": [entry | more]}


def test_a_recorded_verdict_is_answered():
    judge = RecordedJudge(nli())

    assert isinstance(judge, Judge)
    assert judge.entail([QUERY, QUERY]) == [Verdict("entailment", ("No effusion.",))] * 2


def test_a_raw_reply_is_a_failure_that_keeps_the_words():
    entry = {"reference": list(QUERY.reference), "hypothesis": QUERY.hypothesis, "raw_reply": "status: @@"}

    assert RecordedJudge({"nli": [entry]}).entail([QUERY]) == [Verdict("not_entailment", failure="unparseable", explanation="status: @@")]


def test_a_rewritten_hypothesis_is_reported_where_it_differs():
    rewritten = RecordedJudge(nli(reply_phrase="No effusions.")).entail([QUERY])[0]
    same = RecordedJudge(nli(reply_phrase=QUERY.hypothesis)).entail([QUERY])[0]

    assert (rewritten.reply_phrase, same.reply_phrase) == ("No effusions.", None)


def test_reports_are_split_as_recorded():
    table = {"report_to_phrases": [{"report": "A. B.", "sentence_list": [{"orig": "A.", "new": ["A1", "A2"]}, {"orig": "B.", "new": []}]}]}

    (answer,) = RecordedJudge(table).split(["A. B."])

    assert answer == SplitReport((SplitSentence("A.", ("A1", "A2")), SplitSentence("B.", ())))
    assert answer.phrases == ("A1", "A2")


def test_an_unparseable_split_is_a_failure():
    table = {"report_to_phrases": [{"report": "A.", "raw_reply": "{"}]}

    assert RecordedJudge(table).split(["A."]) == [SplitReport(failure="unparseable")]


def test_a_question_without_a_recorded_answer_is_an_error_that_tells_no_text():
    judge = RecordedJudge(nli())
    other_order = EntailmentQuery(QUERY.reference[::-1], QUERY.hypothesis)

    with pytest.raises(MissingAnswer, match="1 of 2 entailment questions") as error:
        judge.entail([QUERY, other_order])
    with pytest.raises(MissingAnswer, match="1 of 1 reports"):
        judge.split(["Heart normal."])
    assert "effusion" not in str(error.value)


def test_an_entry_with_a_language_answers_in_it_alone():
    spanish = EntailmentQuery(QUERY.reference, QUERY.hypothesis, "es")

    assert RecordedJudge(nli()).entail([spanish])[0].status == "entailment"
    with pytest.raises(MissingAnswer):
        RecordedJudge(nli(language="en")).entail([spanish])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "nli: is not a list"),
        ({"nli": {}}, "nli: is not a list"),
        ({"nli": [{"reference": ["x"], "status": "entailment"}]}, "nli entry 0: has no 'hypothesis'"),
        (nli(status="neutral"), "nli entry 0: the status is not one of entailment, not_entailment"),
        (nli(evidence="No effusion."), "nli entry 0: needs a list of texts"),
        ({"nli": [*nli()["nli"], *nli(status="not_entailment")["nli"]]}, "nli entry 1: answers a question otherwise"),
        ({"chat": [{"prompt": "A?"}]}, "chat entry 0: has no 'reply'"),
        ({"chat": [{"prompt": "A?", "reply": 1}]}, "chat entry 0: needs a text"),
        ({"report_to_phrases": [{"report": "A."}]}, "report_to_phrases entry 0: has no 'sentence_list'"),
    ],
)
def test_a_malformed_table_is_an_error_that_names_the_entry(table, message):
    with pytest.raises(InvalidValue, match=message):
        RecordedJudge(table)


def test_a_table_is_read_from_a_file(tmp_path):
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(nli()), encoding="utf-8")

    assert RecordedJudge(path).entail([QUERY])[0].status == "entailment"
    assert RecordedJudge(path).prompt_hash == RecordedJudge(str(path)).prompt_hash != RecordedJudge({}).prompt_hash
    with pytest.raises(MissingFile):
        RecordedJudge(tmp_path / "absent.json")
    path.write_text("{", encoding="utf-8")
    with pytest.raises(InvalidValue, match="is not readable JSON"):
        RecordedJudge(path)


class Various:
    """A judge with one answer of each kind."""

    name, prompt_hash = "various", "1"
    verdicts = (
        Verdict("entailment", ("No effusion.",), explanation="same words"),
        Verdict("not_entailment", failure="endpoint"),
        Verdict("entailment", ("Heart normal.",), reply_phrase="Normal heart"),
        Verdict("entailment", (), failure="unparseable", explanation="no evidence named"),
    )

    def admit(self, policy, *, dataset):
        raise PermissionError(policy)

    def entail(self, queries):
        return list(self.verdicts[: len(queries)])

    def split(self, reports, *, language="en"):
        return [SplitReport((SplitSentence(r, (r,)),)) if r else SplitReport(failure="endpoint") for r in reports]


def test_what_a_recorder_writes_answers_alike(tmp_path):
    queries = [EntailmentQuery(("r",), f"h{number}", "es") for number in range(4)]
    recorder = Recorder(Various())
    verdicts, splits = recorder.entail(queries), recorder.split(["A.", ""], language="es")
    path = tmp_path / "folder" / "answers.json"

    recorder.write(path)

    replayed = RecordedJudge(path)
    assert replayed.entail(queries[::-1]) == verdicts[::-1] == list(Various.verdicts)[::-1]
    assert replayed.split(["A.", ""], language="es") == splits


def test_replies_to_prompts_are_answered_as_recorded():
    judge = RecordedJudge({"chat": [{"prompt": "A?", "reply": "Yes."}, {"prompt": "B?", "reply": None}]})

    assert isinstance(judge, ChatJudge)
    assert judge.ask(["B?", "A?"], usable=lambda reply: False) == [None, "Yes."]
    with pytest.raises(MissingAnswer, match="1 of 2 prompts") as error:
        judge.ask(["A?", "Cancer?"])
    assert "Cancer" not in str(error.value)


def test_a_table_without_any_reply_names_the_judges_that_chat():
    with pytest.raises(CannotChat, match=r"judge=endpoint or judge=local, or judge=recorded .*\"chat\""):
        RecordedJudge(nli()).ask(["A?"])


class Chatting(Various):
    allowances = {"mimic_cxr": "as agreed"}  # noqa: RUF012

    def ask(self, prompts, *, usable=None):
        return [None if prompt == "B?" else prompt.lower() for prompt in prompts]


def test_a_recorder_keeps_replies_to_prompts_and_the_allowances_of_its_judge():
    recorder = Recorder(Chatting())
    replies = recorder.ask(["A?", "B?"])

    assert RecordedJudge(recorder.table()).ask(["A?", "B?"]) == replies == ["a?", None]
    assert recorder.allowances == {"mimic_cxr": "as agreed"}


def test_a_recorder_of_a_judge_that_does_not_chat_says_so():
    with pytest.raises(CannotChat, match="'various' is no language model"):
        Recorder(Various()).ask(["A?"])


def test_a_recorder_admits_what_its_judge_admits():
    with pytest.raises(PermissionError, match="local_only"):
        Recorder(Various()).admit("local_only", dataset="mimic_cxr")
