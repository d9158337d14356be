"""Structured rows: the columns of Lunguage, words of the report, groups and episodes from the facts."""

from __future__ import annotations

from typing import Any

from small_facts import device, finding, patient, random_patient, visit

from medvl.phantom.facts import Change, Patient
from medvl.phantom.reports import write_report
from medvl.phantom.structured_rows import RELATIONS, structured_rows

COLUMNS = {
    "subject_id", "study_id", "sequence", "section", "report", "section_report", "sent", "sent_idx", "ent", "ent_idx", *RELATIONS,
    "gt_entity_group", "gt_temporal_group", "StudyDateTime",
}  # fmt: skip


def rows_of(made: Patient, seed: int = 0) -> list[dict[str, Any]]:
    return structured_rows(made, {v.study_id: write_report(made, v, seed=seed) for v in made.visits})


def test_rows_have_the_columns_of_lunguage():
    rows = [row for i in range(30) for row in rows_of(random_patient(i))]

    assert all(set(row) == COLUMNS for row in rows)
    assert {row["section"] for row in rows} == {"find", "impr"}
    assert {row["dx_status"] for row in rows} == {"positive", "negative"}
    assert {row["dx_certainty"] for row in rows} == {"definitive", "tentative"}


def test_entities_stand_in_their_sentence_and_count_from_one_in_each_section():
    for i in range(30):
        for study in {row["study_id"] for row in rows_of(random_patient(i))}:
            for section in ("find", "impr"):
                rows = [r for r in rows_of(random_patient(i)) if (r["study_id"], r["section"]) == (study, section)]
                assert [r["ent_idx"] for r in rows] == list(range(1, len(rows) + 1))
                assert all(r["ent"] in r["sent"] and r["sent"] in r["section_report"] for r in rows)


def test_one_lesion_is_one_group_and_one_episode_through_all_studies():
    lesion = finding("pleural_effusion", "left")
    change = Change(lesion.lesion_id, "pleural_effusion", "left", "worsening")
    made = patient(visit(lesion), visit(lesion, index=1, changes=(change,)))

    rows = [r for r in rows_of(made) if r["gt_entity_group"].startswith("pleural effusion left")]

    assert {r["sequence"] for r in rows} == {1, 2}
    assert len({(r["gt_entity_group"], r["gt_temporal_group"]) for r in rows}) == 1


def test_a_new_lesion_at_the_same_place_is_another_episode():
    first, second = finding("pneumothorax", "left", lesion_id="a"), finding("pneumothorax", "left", lesion_id="b")
    gone = Change("a", "pneumothorax", "left", "resolved")
    made = patient(visit(first), visit(index=1, changes=(gone,)), visit(second, index=2))

    rows = [r for r in rows_of(made) if r["dx_status"] == "positive" and "pneumothorax left" in r["gt_entity_group"]]

    assert {r["gt_temporal_group"] for r in rows if r["sequence"] == 1} == {1}
    assert {r["gt_temporal_group"] for r in rows if r["sequence"] == 3} == {2}


def test_a_reinserted_device_is_another_episode():
    tube = device("chest_tube", "left")
    made = patient(visit(devices=(tube,)), visit(index=1), visit(index=2, devices=(tube,)))

    rows = [r for r in rows_of(made) if r["gt_entity_group"].startswith("chest tube left")]

    assert {r["gt_temporal_group"] for r in rows if r["sequence"] == 1} == {1}
    assert {r["gt_temporal_group"] for r in rows if r["sequence"] == 3} == {2}


def test_resolved_findings_are_positive_and_improved():
    lesion = finding("pneumothorax", "left")
    made = patient(visit(lesion), visit(index=1, changes=(Change(lesion.lesion_id, "pneumothorax", "left", "resolved"),)))

    rows = [r for seed in range(5) for r in rows_of(made, seed) if r["sequence"] == 2 and "pneumothorax left" in r["gt_entity_group"]]

    assert rows
    assert all(r["dx_status"] == "positive" and r["improved"] for r in rows)


def test_a_pneumonia_rests_on_its_opacity():
    facts = visit(finding("consolidation", zone="lower"), reason="fever")
    rows = [r for seed in range(40) for r in rows_of(patient(facts), seed)]

    diagnoses = [r for r in rows if r["evidence"]]

    assert diagnoses
    assert all(r["cat"] == "cf" and "idx" in r["evidence"] for r in diagnoses)
