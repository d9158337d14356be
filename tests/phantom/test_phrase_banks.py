"""The phrase banks: complete, varied, and the frozen test bank apart from the training bank."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from typing import Any, get_args

import pytest
from small_facts import MIDLINE

from medvl.phantom.draws import generator
from medvl.phantom.facts import ChangeLabel, DeviceName, FindingName
from medvl.phantom.language import bank, grammar
from medvl.phantom.phrasing import phrase
from medvl.phantom.statements import Organ, Statement

TEST_BANK_SHA256 = "430e6c43a466d76855d4fe552f36914001870810bf94739cd090e12d084612b5"
BANKS: tuple[bank.BankName, ...] = ("train", "test")
SECTIONS = ("nouns", "denied", "sentences", "frames", "devices", "sites", "cues", "priors")


def wordings(name: bank.BankName, statement: Statement, draws: int = 150) -> set[tuple[str, str]]:
    sentences = [phrase([statement], bank.load(name), generator("wordings", i)) for i in range(draws)]
    return {(s.texts["en"], s.texts["es"]) for s in sentences}


def templates(value: Any) -> set[str]:
    """All strings of a bank, without marks; bare slots are no wording."""
    if isinstance(value, str):
        plain = re.sub(r"[<>~]", "", value).lower().strip(" .")
        return {plain} if len(re.sub(r"\{[^}]*\}|[^a-zñáéíóú]", "", plain)) > 1 else set()
    items = value.values() if isinstance(value, dict) else value
    return set().union(*(templates(item) for item in items)) - {"m", "f", "mp", "fp", "detail"}


def test_the_test_bank_is_frozen():
    text = files("medvl.phantom.language").joinpath("test.yaml").read_bytes()

    assert hashlib.sha256(text).hexdigest() == TEST_BANK_SHA256


@pytest.mark.parametrize("section", SECTIONS)
def test_the_banks_share_no_template(section):
    train, test = (templates(bank.read(f"{name}.yaml")[section]) for name in BANKS)

    assert train & test == set()


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("finding", get_args(FindingName))
def test_every_finding_is_affirmed_hedged_and_denied_in_many_ways(name, finding):
    least = 8 if name == "train" else 5
    side: Any = None if finding in (*MIDLINE, "edema") else "left"

    assert len(wordings(name, Statement(finding, "positive", side=side))) >= least
    assert len(wordings(name, Statement(finding, "positive", certain=False, side=side))) >= least
    assert len(wordings(name, Statement(finding, "negative"))) >= 5


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("change", get_args(ChangeLabel))
def test_every_finding_is_compared_in_many_ways(name, change):
    status: Any = "negative" if change == "resolved" else "positive"
    for finding in get_args(FindingName):
        assert len(wordings(name, Statement(finding, status, change=change))) >= 5


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("subject", [*get_args(Organ), "chest"])
def test_every_organ_is_called_normal_in_several_ways(name, subject):
    assert len(wordings(name, Statement(subject, "negative"), draws=60)) >= 3


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("device", get_args(DeviceName))
def test_devices_are_told_in_place_new_unchanged_removed_and_absent(name, device):
    for placement in bank.load(name).devices[device]:
        for change in (None, "new", "stable"):
            statement = Statement(device, "positive", placement=placement, change=change, tip_cm=4.5)  # type: ignore[arg-type]
            assert len(wordings(name, statement, draws=60)) >= 4
    assert len(wordings(name, Statement(device, "negative", change="resolved"))) >= 3
    assert len(wordings(name, Statement(device, "negative"))) >= 5


@pytest.mark.parametrize("name", BANKS)
def test_every_noun_phrase_and_sentence_marks_its_entity(name):
    loaded = bank.load(name)
    texts = [n.en for nouns in (*loaded.nouns.values(), *loaded.denied.values()) for n in nouns]
    texts += [p.en for kinds in loaded.sentences.values() for pairs in kinds.values() for p in pairs]

    assert [t for t in texts if not grammar.entity(t)] == []


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("kind", ["new", "worsening", "improving", "stable", "resolved"])
def test_every_comparison_marks_its_word_for_the_change(name, kind):
    assert [p.en for p in bank.load(name).frames[kind] if not grammar.cue(p.en)] == []


@pytest.mark.parametrize("name", BANKS)
def test_two_findings_or_one_and_an_absence_can_share_a_sentence(name):
    effusion, edema = Statement("pleural_effusion", "positive", side="left"), Statement("edema", "positive")

    together = phrase([effusion, edema], bank.load(name), generator("together"))
    contrast = phrase([effusion, Statement("pneumothorax", "negative")], bank.load(name), generator("contrast"))

    assert len(together.words) == len(contrast.words) == 2
    assert "left" in together.texts["en"].lower()
    assert "izquierd" in contrast.texts["es"]


def test_a_bank_without_words_says_which_statement_it_cannot_tell():
    with pytest.raises(ValueError, match="cardiomegaly"):
        phrase([Statement("cardiomegaly", "positive", side="left")], bank.load("train"), generator("side of a midline finding"))


def test_articles_and_contractions_are_right():
    assert grammar.finish("there is a <effusion>", "en") == "There is an effusion"
    assert grammar.finish("a NG tube , well placed .", "en") == "An NG tube, well placed."
    assert grammar.finish("aumento de el derrame respecto a el previo.", "es") == "Aumento del derrame respecto al previo."


def test_spanish_adjectives_agree():
    values = {"side": grammar.SIDES["left"], "severity": grammar.agreeing("pequeño", "pequeña")}

    assert grammar.fill("opacidad {severity} {side}", values, plural=False, gender="f") == "opacidad pequeña izquierda"
    assert grammar.fill("nuev{o} nódulos {severity} {side}", values, plural=True, gender="mp") == "nuevos nódulos pequeños izquierdos"
