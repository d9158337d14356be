"""Labels: CheXpert's follow the words, MS-CXR-T's follow the facts, PadChest's terms follow the statement."""

from __future__ import annotations

from small_facts import finding, patient, random_patient, visit

from medvl.phantom.facts import Change
from medvl.phantom.labels import CHEXPERT, CHEXPERT_BY_SUBJECT, chexpert_labels, padchest_terms, progression_labels
from medvl.phantom.phrasing import Sentence
from medvl.phantom.reports import WrittenReport, write_report
from medvl.phantom.statements import Statement


def report(*statements: Statement) -> WrittenReport:
    return WrittenReport({}, (Sentence(statements, {}),), {})


def test_a_hedge_is_uncertain_and_silence_is_no_label():
    labels = chexpert_labels(report(Statement("edema", "positive", certain=False), Statement("pneumothorax", "negative")))

    assert labels == {"Edema": "uncertain", "Pneumothorax": "negative"}


def test_a_positive_mention_outweighs_a_negative_one():
    labels = chexpert_labels(report(Statement("nodule", "negative", change="resolved"), Statement("nodule", "positive")))

    assert labels["Lung Lesion"] == "positive"


def test_lung_opacity_is_implied_and_an_opacity_is_no_consolidation():
    assert chexpert_labels(report(Statement("consolidation", "positive")))["Lung Opacity"] == "positive"
    assert chexpert_labels(report(Statement("opacity", "positive"))) == {"Lung Opacity": "positive"}


def test_no_finding_is_positive_or_absent_and_ignores_devices():
    assert chexpert_labels(report(Statement("chest", "negative"), Statement("pacemaker", "positive")))["No Finding"] == "positive"
    assert "No Finding" not in chexpert_labels(report(Statement("fracture", "positive", certain=False)))


def test_normal_heart_and_mediastinum_are_negative_labels():
    labels = chexpert_labels(report(Statement("heart", "negative"), Statement("mediastinum", "negative")))

    assert labels == {"Cardiomegaly": "negative", "Enlarged Cardiomediastinum": "negative", "No Finding": "positive"}


def test_noise_corrupts_its_share_of_the_mentioned_labels():
    reports = [write_report(p, v, seed=0) for p in map(random_patient, range(150)) for v in p.visits]
    wrong = mentioned = 0
    for key, made in enumerate(reports):
        clean, noisy = (chexpert_labels(made, noise=noise, key=key) for noise in (0.0, 0.2))
        told = {CHEXPERT_BY_SUBJECT.get(s.subject) for sentence in made.sentences for s in sentence.statements}
        names = [name for name in clean if name in told and name != "Lung Opacity"]
        mentioned += len(names)
        wrong += sum(noisy.get(name) != clean[name] for name in names)
        assert list(noisy) == [name for name in CHEXPERT if name in noisy]

    assert 0.16 < wrong / mentioned < 0.24


def test_progression_counts_new_as_worsening_and_resolved_as_improving():
    made = visit(index=1, changes=(Change("a", "edema", None, "new"), Change("b", "pneumothorax", "left", "resolved")))

    assert progression_labels(made) == {"edema": "worsening", "pneumothorax": "improving"}


def test_lesions_that_move_in_opposite_directions_have_no_progression():
    changes = (Change("a", "pleural_effusion", "left", "worsening"), Change("b", "pleural_effusion", "right", "improving"))

    assert progression_labels(visit(index=1, changes=changes)) == {}


def test_one_moving_lesion_decides_over_stable_ones():
    changes = (Change("a", "pleural_effusion", "left", "worsening"), Change("b", "pleural_effusion", "right", "stable"))

    assert progression_labels(visit(index=1, changes=changes)) == {"pleural_effusion": "worsening"}


def test_consolidation_in_a_fever_progresses_as_pneumonia_too():
    changes = (Change("a", "consolidation", "left", "improving"),)

    assert progression_labels(visit(index=1, changes=changes, reason="fever")) == {"consolidation": "improving", "pneumonia": "improving"}
    assert "pneumonia" not in progression_labels(visit(index=1, changes=changes, reason="trauma"))


def test_progression_is_limited_to_the_five_findings_of_ms_cxr_t():
    assert progression_labels(visit(index=1, changes=(Change("a", "nodule", "left", "new"),))) == {}


def test_padchest_terms_are_lower_case_labels_and_places():
    terms = padchest_terms(Statement("pleural_thickening", "positive", side="right", zone="apical"))

    assert terms == (("apical pleural thickening",), ("pleural", "apical", "right"))


def test_negative_statements_have_no_padchest_terms():
    assert padchest_terms(Statement("pneumothorax", "negative")) == ((), ())


def test_every_positive_statement_has_a_padchest_label():
    for made in map(random_patient, range(60)):
        for number in made.visits:
            for sentence in write_report(made, number, seed=0).sentences:
                assert all(padchest_terms(s)[0] for s in sentence.statements if s.status == "positive")


def test_a_pneumonia_in_the_report_is_a_pneumonia_label():
    facts = visit(finding("consolidation", zone="lower"), reason="fever")

    labels = [chexpert_labels(write_report(patient(facts), facts, seed=seed)) for seed in range(20)]

    assert any("Pneumonia" in found for found in labels)
    assert not any(found.get("Pneumonia") == "negative" for found in labels)
