import pytest

from medvl.lexicon.concepts import load
from medvl.lexicon.terms import TermTree, alternatives, fold, words


@pytest.mark.parametrize("language", ["en", "es"])
def test_every_relation_names_a_concept_that_exists(language):
    vocabulary = load(language)

    for concept in vocabulary.concepts.values():
        assert {*concept.parents, *concept.implies, *concept.rules_out, *concept.parts} <= set(vocabulary.concepts)
    assert {organ for organ, _ in vocabulary.compositions} <= {c for c, v in vocabulary.concepts.items() if v.kind == "organ"}
    assert vocabulary.quantities <= set(vocabulary.concepts)


@pytest.mark.parametrize("language", ["en", "es"])
def test_every_concept_can_be_found_by_a_term(language):
    vocabulary = load(language)

    assert _values(vocabulary.entities._root, "concept") == set(vocabulary.concepts)


def test_both_languages_have_cues_for_the_same_qualities_sites_and_tips():
    english, spanish = load("en"), load("es")

    for kind in ("severity", "sides", "placement", "tips", "change", "sites"):
        assert _values(english.cues._root, kind) == _values(spanish.cues._root, kind)


def test_an_effusion_is_pleural_and_a_blunted_angle_means_one():
    vocabulary = load()

    assert vocabulary.is_a("pleural_effusion", "pleural_abnormality")
    assert vocabulary.is_a("blunted_costophrenic_angle", "pleural_effusion")
    assert not vocabulary.is_a("pleural_abnormality", "pleural_effusion")
    assert vocabulary.chexpert("picc") == "Support Devices"


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="no table 'terms_fr'"):
        load("fr")


def test_alternatives_are_spelled_out():
    assert list(alternatives("(left|) lung (base|apex)")) == ["left lung base", "left lung apex", "lung base", "lung apex"]


@pytest.mark.parametrize(("one", "other"), [("effusions", "effusion"), ("opacities", "opacity"), ("masses", "mass"), ("bases", "base")])
def test_english_plurals_fold_together(one, other):
    assert fold(one, "en") == fold(other, "en")


@pytest.mark.parametrize(("one", "other"), [("opacidades", "opacidad"), ("izquierda", "izquierdos"), ("neumotorax", "neumotórax")])
def test_spanish_plural_gender_and_accents_fold_together(one, other):
    assert fold(one, "es") == fold(other, "es")


def test_the_longest_term_wins():
    tree = TermTree("en")
    tree.add(["no"], "negation", "no")
    tree.add(["no change in"], "change", "stable")

    (match,) = tree.matches(words("no change in the lung", "en"))

    assert (match.start, match.end, match.meanings) == (0, 3, {"change": "stable"})


def _values(node, kind):
    found = {node[""][kind]} if kind in node.get("", {}) else set()
    return found.union(*(_values(child, kind) for key, child in node.items() if key))
