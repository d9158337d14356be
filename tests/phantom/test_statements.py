"""What reports say: nothing against the facts, bilateral pairs merged, changes only with a prior."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_facts import device, finding, patient, random_patient, visit

from medvl.phantom.draws import generator
from medvl.phantom.facts import Change, Patient, Visit
from medvl.phantom.reports import write_report
from medvl.phantom.statements import (
    DEVICES,
    SWEEPS,
    Statement,
    finding_statements,
    merge_sides,
    prior_visit,
    severity_word,
)  # fmt: skip
from medvl.phantom.world import sample_patient

SAME_LESION = {"opacity": {"consolidation", "atelectasis"}, "pneumonia": {"consolidation"}}
PATIENTS = [random_patient(i) for i in range(120)] + [sample_patient(i, seed=0) for i in range(60)]


def told(patient: Patient, visit: Visit) -> list[Statement]:
    return [s for sentence in write_report(patient, visit, seed=0).sentences for s in sentence.statements]


def visits() -> list[tuple[Patient, Visit]]:
    return [(p, v) for p in PATIENTS for v in p.visits]


def test_what_is_affirmed_is_there():
    for patient_, visit_ in visits():
        lesions = {f.lesion_id: f for f in visit_.findings}
        devices = {d.device_id: d for d in visit_.devices}
        for s in told(patient_, visit_):
            if s.status == "negative" or s.subject == "lung_volumes":
                continue
            assert s.lesion_ids
            if s.subject in DEVICES:
                here = devices[s.lesion_ids[0]]
                assert (s.subject, s.side, s.placement) == (here.name, here.side, here.error or "proper")
                continue
            here = [lesions[i] for i in s.lesion_ids]
            assert {f.name for f in here} <= SAME_LESION.get(s.subject, {s.subject})
            assert s.zone in (None, *(f.zone for f in here))
            assert s.severity_word in (None, *(severity_word(f.name, f.severity) for f in here))
            assert s.certain or s.subject == "pneumonia" or not any(f.certain for f in here)
            sides = {f.side for f in here}
            assert s.side in (None, "bilateral" if sides == {"left", "right"} else next(iter(sides)))


def test_what_is_denied_is_not_there():
    for patient_, visit_ in visits():
        names = {f.name for f in visit_.findings}
        devices = {d.name for d in visit_.devices}
        for s in told(patient_, visit_):
            if s.status == "positive" or s.change:
                continue
            if s.subject == "chest":
                assert not names
            elif s.subject in DEVICES:
                assert s.subject not in devices
            elif s.subject == "pneumonia":
                assert "consolidation" not in names
            else:
                assert not names & set(SWEEPS.get(s.subject, (s.subject,)))  # type: ignore[call-overload]


def test_changes_are_those_of_the_facts():
    for patient_, visit_ in visits():
        prior = prior_visit(patient_, visit_)
        labels = {c.lesion_id: c.label for c in visit_.changes}
        here = {f.lesion_id for f in visit_.findings} | {d.device_id for d in visit_.devices}
        before = {f.lesion_id for f in prior.findings} | {d.device_id for d in prior.devices} if prior else set()
        for s in told(patient_, visit_):
            if s.change is None:
                continue
            assert prior is not None
            if s.subject not in DEVICES:
                assert {labels[i] for i in s.lesion_ids} == {s.change}
            assert (s.change == "new") == (not before & set(s.lesion_ids))
            assert (s.change == "resolved") == (not here & set(s.lesion_ids))


def test_alike_effusions_of_both_sides_are_told_as_bilateral():
    left = finding("pleural_effusion", "left", severity=0.5, lesion_id="a")
    right = finding("pleural_effusion", "right", severity=0.55, lesion_id="b")

    statements = finding_statements(visit(left, right), None, ["pleural_effusion"], generator(1))

    assert [(s.side, s.lesion_ids) for s in statements] == [("bilateral", ("a", "b"))]


def test_effusions_of_different_size_stay_apart():
    left = finding("pleural_effusion", "left", severity=0.1, lesion_id="a")
    right = finding("pleural_effusion", "right", severity=0.9, lesion_id="b")

    statements = finding_statements(visit(left, right), None, ["pleural_effusion"], generator(1))

    assert [s.side for s in statements] == ["left", "right"]


def test_three_lesions_never_merge_twice():
    sides: list[Any] = ["left", "right", "left"]
    statements = [Statement("nodule", "positive", side=side, lesion_ids=(str(i),)) for i, side in enumerate(sides)]

    assert [s.lesion_ids for s in merge_sides(statements)] == [("0", "1"), ("2",)]


@given(st.lists(st.tuples(st.sampled_from(["left", "right"]), st.sampled_from(["upper", "lower"]), st.sampled_from(["small", "large"]))))
def test_merging_keeps_every_lesion_once_and_joins_only_opposite_sides(lesions):
    statements = [
        Statement("nodule", "positive", True, side, zone, word, lesion_ids=(str(i),)) for i, (side, zone, word) in enumerate(lesions)
    ]

    merged = merge_sides(statements)

    assert sorted(i for s in merged for i in s.lesion_ids) == sorted(str(i) for i in range(len(lesions)))
    for s in merged:
        assert (s.side == "bilateral") == (len(s.lesion_ids) == 2)
        assert {lesions[int(i)][1:] for i in s.lesion_ids} == {(s.zone, s.severity_word)}


def test_a_resolved_lesion_is_told_as_resolved():
    lesion = finding("pneumothorax", "left")
    gone = Change(lesion.lesion_id, "pneumothorax", "left", "resolved")
    made = patient(visit(lesion), visit(index=1, changes=(gone,)))

    statements = [s for seed in range(10) for s in _told_at(made, 1, seed)]

    assert [s for s in statements if s.subject == "pneumothorax" and s.change == "resolved" and s.side == "left"]
    assert not [s for s in statements if s.subject == "pneumothorax" and s.status == "positive"]


def test_studies_at_the_same_time_are_not_compared():
    first = visit(finding("edema", "bilateral"), devices=(device("chest_tube"),))
    twin = visit(index=1, time=first.time, changes=(Change("edema-1", "edema", "bilateral", "resolved"),))

    statements = [s for seed in range(10) for s in _told_at(patient(first, twin), 1, seed)]

    assert not [s for s in statements if s.change]


def test_absent_common_findings_are_denied_in_about_45_percent():
    common = {"pneumothorax", "pleural_effusion", "consolidation", "edema", "cardiomegaly"}
    denied, absent = Counter(), 0
    for patient_, visit_ in visits():
        missing = common - {f.name for f in visit_.findings}
        subjects = {s.subject for s in told(patient_, visit_) if s.status == "negative" and not s.change}
        absent += len(missing)
        denied["all"] += len(missing & (subjects | ({"cardiomegaly"} if "heart" in subjects else set())))

    assert 0.38 < denied["all"] / absent < 0.55


@pytest.mark.parametrize(
    ("name", "severity", "word"),
    [("pleural_effusion", 0.1, "trace"), ("pneumothorax", 0.9, "large"), ("edema", 0.5, "moderate"), ("fracture", 0.9, None)],
)
def test_grades_use_the_word_of_their_finding(name, severity, word):
    assert severity_word(name, severity) == word


def _told_at(made: Patient, index: int, seed: int) -> list[Statement]:
    report = write_report(made, made.visits[index], seed=seed)
    return [s for sentence in report.sentences for s in sentence.statements]
