"""Pairs of films with what changed, from Chest ImaGenome's and MS-CXR-T's words alike."""

import dataclasses

import pytest
from cohort import write_cohort

from medvl.data import ms_cxr_t
from medvl.data.prepare import prepare
from medvl.data.prepared import PreparedDataset
from medvl.data.progression_samples import named_pairs, prepared_pairs, progression_labels
from medvl.records import Progression, Study, View

SILVER = {"pulmonary edema/hazy opacity": Progression("improved", "silver"), "lung opacity": Progression("worsened", "silver")}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Five patients of two visits; silver labels on every visit, MS-CXR-T's own on one, a prior without a frontal film on another."""
    root = tmp_path_factory.mktemp("cohort")
    studies = [dataclasses.replace(s, progression=SILVER) for s in write_cohort(root / "images", patients=5)]
    by_id = {s.study_id: s for s in studies}
    by_id["s0011"] = dataclasses.replace(by_id["s0011"], dataset="ms_cxr_t", progression={"pneumonia": Progression("stable", "one_expert")})
    by_id["s0021"] = dataclasses.replace(by_id["s0021"], progression={"lung opacity": Progression("worsened", "silver")})
    only_lateral = tuple(view for view in by_id["s0030"].views if not view.is_frontal)
    by_id["s0030"] = dataclasses.replace(by_id["s0030"], views=only_lateral)
    prepare(by_id.values(), root / "out", inputs={}, image_size=16, progress=False)
    return PreparedDataset(root / "out")


def test_a_prepared_study_with_labels_and_a_prior_film_is_a_pair(prepared):
    pairs = {pair.study_id: pair for pair in prepared_pairs(prepared)}

    pair = pairs["s0001"]
    assert (pair.patient_id, pair.view_id, pair.previous_view_id) == ("p000", "frontal-0001", "frontal-0000")
    assert (pair.labels, pair.dataset, pair.privacy) == ({"edema": "improving"}, "chest_imagenome", "public")
    assert (pairs["s0011"].labels, pairs["s0011"].dataset) == ({"pneumonia": "stable"}, "ms_cxr_t")


def test_studies_without_a_prior_film_or_a_finding_of_ms_cxr_t_are_none(prepared):
    assert [pair.study_id for pair in prepared_pairs(prepared)] == ["s0001", "s0011", "s0041"]


def test_pairs_of_one_split(prepared):
    assert [pair.study_id for pair in prepared_pairs(prepared, split="test")] == ["s0041"]
    assert prepared_pairs(prepared, split="evaluation") == []


def test_each_datasets_words_become_the_five_findings_and_three_classes():
    told = {
        "pneumothorax": Progression("worsened", "silver"),
        "pleural effusion": Progression("no change", "silver"),
        "consolidation": Progression("improving", "one_expert"),
        "atelectasis": Progression("improved", "silver"),
    }

    labels = progression_labels(told)

    assert labels == {"consolidation": "improving", "pleural_effusion": "stable", "pneumothorax": "worsening"}
    assert list(labels) == ["consolidation", "pleural_effusion", "pneumothorax"]


@pytest.mark.parametrize("first", ["pleural effusion", "pleural_effusion"])
def test_a_radiologists_label_wins_over_a_silver_one(first):
    told = {"pleural effusion": Progression("worsened", "silver"), "pleural_effusion": Progression("stable", "one_expert")}
    told = {first: told[first]} | told

    assert progression_labels(told) == {"pleural_effusion": "stable"}


def test_a_word_that_neither_dataset_has_is_left_out():
    assert progression_labels({"edema": Progression("vanished"), "pneumonia": Progression("improved")}) == {"pneumonia": "improving"}


def test_pairs_of_ms_cxr_t_keep_the_films_that_a_row_names():
    labels = {"edema": Progression("worsening", "one_expert")}
    current = Study("ms_cxr_t", "p", "2", views=(View("now"),), progression=labels, prior_study_id="1")
    prior = Study("ms_cxr_t", "p", "1", views=(View("before"),))
    unlabelled = dataclasses.replace(current, study_id="3", progression={})

    (pair,) = named_pairs([ms_cxr_t.ImagePair(current, prior), ms_cxr_t.ImagePair(unlabelled, prior)])

    assert pair == ("ms_cxr_t", "p", "2", "now", "before", {"edema": "worsening"}, "local_only")
