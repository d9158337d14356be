"""Sentence pairs: their relation holds by construction, in both languages."""

from __future__ import annotations

from collections import Counter

from small_facts import finding, patient, random_patient, visit

from medvl.phantom.facts import Change
from medvl.phantom.sentence_pairs import sentence_pairs

PAIRS = list(sentence_pairs([random_patient(i) for i in range(60)], seed=0))


def test_pairs_are_a_function_of_the_patients_and_the_seed():
    patients = [random_patient(i) for i in range(5)]

    assert list(sentence_pairs(patients, seed=1)) == list(sentence_pairs(patients, seed=1))
    assert list(sentence_pairs(patients, seed=1)) != list(sentence_pairs(patients, seed=2))


def test_subsets_hold_their_relations_in_fair_shares():
    counts = Counter((p.subset, p.relation) for p in PAIRS if p.language == "en")
    total = Counter(p.subset for p in PAIRS if p.language == "en")

    assert {s for s, _ in counts} == {"RadGraph", "Swaps", "RadNLI"}
    assert {r for s, r in counts if s != "RadNLI"} == {"paraphrase", "contradiction"}
    assert {r for s, r in counts if s == "RadNLI"} == {"entailment", "neutral", "contradiction"}
    assert all(n > 0.15 * total[subset] for (subset, _), n in counts.items())


def test_both_languages_tell_the_same_pairs():
    english, spanish = ([(p.pair_id, p.relation) for p in PAIRS if p.language == language] for language in ("en", "es"))

    assert english == spanish
    assert len(set(english)) == len(english)


def test_the_two_sentences_of_a_pair_differ():
    assert not [p for p in PAIRS if p.text_1 == p.text_2]


def test_swaps_differ_only_in_the_words_for_the_change():
    for pair in (p for p in PAIRS if p.subset == "Swaps" and p.language == "en"):
        first, second = pair.text_1.split(), pair.text_2.split()
        shared = len([w for w in first if w in second])
        assert shared >= len(first) - 4


def test_opposed_changes_contradict_and_equal_ones_paraphrase():
    lesion = finding("pleural_effusion", "left")
    change = Change(lesion.lesion_id, "pleural_effusion", "left", "worsening")
    made = patient(visit(lesion), visit(lesion, index=1, changes=(change,)))

    pairs = [p for seed in range(60) for p in sentence_pairs([made], seed=seed) if p.subset == "Swaps" and p.language == "en"]

    worse = ("increased", "worsened", "progressed")
    assert {p.relation for p in pairs} == {"paraphrase", "contradiction"}
    for pair in pairs:
        assert any(w in pair.text_1 for w in worse)
        assert any(w in pair.text_2 for w in worse) == (pair.relation == "paraphrase")


def test_first_studies_have_no_temporal_pairs():
    made = patient(visit(finding("edema", "bilateral")))

    assert {p.subset for seed in range(10) for p in sentence_pairs([made], seed=seed)} <= {"RadNLI"}
