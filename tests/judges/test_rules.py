"""The rules judge: what follows from what."""

import pytest

from medvl.judges.judge import EntailmentQuery, Judge
from medvl.judges.rules import RulesJudge

JUDGE = RulesJudge()


def entailed(reference, hypothesis, language="en"):
    phrases = (reference,) if isinstance(reference, str) else tuple(reference)
    return JUDGE.entail([EntailmentQuery(phrases, hypothesis, language)])[0].status == "entailment"


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [
        ("Small left pleural effusion.", "Pleural effusion."),
        ("Right lower lobe pneumonia.", "Right lung opacity."),
        ("The lungs are clear.", "No consolidation."),
        ("No pleural effusion or pneumothorax.", "No pneumothorax."),
        ("Bilateral pleural effusions.", "Left pleural effusion."),
        (("Left pleural effusion.", "Right pleural effusion."), "Bilateral pleural effusions."),
        ("Heart size is normal.", "No cardiomegaly."),
        ("Pneumothorax.", "Possible pneumothorax."),
        ("Findings are consistent with pneumonia.", "Pneumonia."),
        ("Airspace opacity at the left base.", "Consolidation."),
        ("Pulmonary edema.", "Pulmonary vascular congestion."),
        ("The pleural effusion has resolved.", "No pleural effusion."),
        ("No pleural effusion.", "No left pleural effusion."),
        ("Unfamiliar wording altogether", "unfamiliar wording altogether."),
    ],
)
def test_these_follow(reference, hypothesis):
    assert entailed(reference, hypothesis)


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [
        ("Pleural effusion.", "Small left pleural effusion."),
        ("Left pleural effusion.", "Right pleural effusion."),
        ("Left pleural effusion.", "No pleural effusion."),
        ("No pneumothorax.", "Pneumothorax."),
        ("Possible pneumonia.", "Pneumonia."),
        ("Pulmonary vascular congestion.", "Pulmonary edema."),
        ("Possible pneumonia.", "Findings are consistent with pneumonia."),
        ("Pleural effusion, improved.", "Pleural effusion, worse."),
        ("Small pleural effusion.", "Large pleural effusion."),
        ("Left lower lobe opacity.", "Left upper lobe opacity."),
        ("The pleural effusion has resolved.", "Pleural effusion."),
        ("No left pleural effusion.", "No pleural effusion."),
        ("No pneumothorax.", "No pleural effusion."),
        (("The lungs are clear.", "Right upper lobe nodule."), "No nodule."),
        ((), "No pleural effusion."),
        ("Cardiomegaly.", "Unfamiliar wording altogether."),
    ],
)
def test_these_do_not_follow(reference, hypothesis):
    assert not entailed(reference, hypothesis)


def test_spanish_is_judged_alike():
    assert entailed("Sin derrame pleural ni neumotórax.", "Sin neumotórax.", "es")
    assert not entailed("Derrame pleural izquierdo.", "Derrame pleural derecho.", "es")


def test_evidence_is_the_phrases_that_decide_and_each_decision_is_explained():
    query = EntailmentQuery(("No pneumothorax.", "Small left effusion.", "Cardiomegaly."), "Left pleural effusion.")

    (verdict,) = JUDGE.entail([query])

    assert verdict.evidence == ("Small left effusion.",)
    assert "left pleural_effusion" in verdict.explanation


def test_a_sentence_is_split_into_one_phrase_per_finding():
    (report,) = JUDGE.split(["No pleural effusion or pneumothorax. Mild cardiomegaly. Two views were obtained."])

    assert [sentence.new for sentence in report.sentences] == [("No pleural effusion.", "No pneumothorax."), ("Mild cardiomegaly.",), ()]


def test_phrases_of_a_split_sentence_follow_from_it():
    sentence = "Small left pleural effusion and mild cardiomegaly, unchanged."
    (report,) = JUDGE.split([sentence])

    assert len(report.phrases) == 2
    assert all(entailed(sentence, phrase) for phrase in report.phrases)


def test_it_is_named_rules_and_its_hash_is_stable():
    assert isinstance(JUDGE, Judge)
    assert (JUDGE.name, RulesJudge().prompt_hash) == ("rules", JUDGE.prompt_hash)
