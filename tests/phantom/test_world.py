from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from medvl.phantom.facts import Difficulty
from medvl.phantom.lines_and_tubes import OFFSET
from medvl.phantom.world import prior_of, sample_cohort, sample_patient

PREVALENCE = {
    "pleural_effusion": 0.27, "cardiomegaly": 0.19, "consolidation": 0.18, "atelectasis": 0.15, "edema": 0.13, "pneumothorax": 0.12,
    "nodule": 0.10, "fracture": 0.06, "pleural_thickening": 0.05, "enlarged_mediastinum": 0.05,
}  # fmt: skip
ACUTE = ("atelectasis", "consolidation", "edema", "pleural_effusion", "pneumothorax")


@pytest.fixture(scope="module")
def patients():
    return list(sample_cohort(2500, seed=11))


@pytest.fixture(scope="module")
def visits(patients):
    return [visit for patient in patients for visit in patient.visits]


@cache
def seen_at(confounding):
    difficulty = Difficulty(confounding=confounding)
    return [visit for patient in sample_cohort(1500, seed=5, difficulty=difficulty) for visit in patient.visits]


def has(visit, name):
    return any(finding.name == name for finding in visit.findings)


def is_ap(visit):
    return any(a.projection == "AP" for a in visit.acquisitions)


def steps(patients):
    """Each visit that has a prior, after its prior."""
    for patient in patients:
        for visit in patient.visits:
            prior = prior_of(patient, visit)
            if prior is not None:
                yield prior, visit


def test_a_patient_is_the_same_alone_and_in_a_cohort(patients):
    assert sample_patient(1234, seed=11) == patients[1234]
    assert sample_patient(1234, seed=12) != patients[1234]


def test_every_number_is_a_plain_python_value(patients):
    def plain(value):
        if isinstance(value, tuple):
            return all(map(plain, value))
        return not isinstance(value, np.generic)

    for patient in patients[:50]:
        records = [patient, *patient.visits, *(r for v in patient.visits for r in v.findings + v.devices + v.acquisitions)]
        assert all(plain(getattr(record, name)) for record in records for name in record.__slots__)


def test_patients_come_one_to_five_times_about_two_on_average(patients):
    counts = [len(patient.visits) for patient in patients]

    assert set(counts) == {1, 2, 3, 4, 5}
    assert 2.1 < np.mean(counts) < 2.3


def test_patients_can_be_made_to_come_more_often_and_the_others_stay_as_they_are(patients):
    often = [sample_patient(index, seed=11, least_visits=3) for index in range(60)]

    assert all(len(now.visits) == max(len(patient.visits), 3) for now, patient in zip(often, patients, strict=False))
    assert all(now == patient for now, patient in zip(often, patients, strict=False) if len(patient.visits) >= 3)
    assert all(now.visits[-1].time.year < 2200 for now in often)


def test_visits_are_in_order_of_time_between_2110_and_2200(patients):
    for patient in patients:
        assert all(a.time <= b.time for a, b in pairwise(patient.visits))
        assert patient.visits[0].time.year >= 2110
        assert patient.visits[-1].time.year < 2200


def test_intensive_care_repeats_films_within_days_outpatients_return_after_months(patients):
    gaps = {"icu": [], "outpatient": []}
    for a, b in (pair for patient in patients for pair in pairwise(patient.visits) if pair[0].setting == pair[1].setting in gaps):
        gaps[b.setting].append((b.time - a.time).total_seconds() / 86400)

    assert 0.3 < np.median(gaps["icu"]) < 2
    assert 60 < np.median(gaps["outpatient"]) < 400


def test_study_numbers_do_not_follow_time(patients):
    rising = [a.study_id < b.study_id for patient in patients for a, b in pairwise(patient.visits)]

    assert 0.46 < np.mean(rising) < 0.54


def test_identifiers_are_unique_in_a_cohort(patients, visits):
    for names in (
        [patient.patient_id for patient in patients],
        [visit.study_id for visit in visits],
        [film.view_id for visit in visits for film in visit.acquisitions],
    ):
        assert len(set(names)) == len(names)


def test_some_studies_are_before_ten_and_some_share_a_time(patients, visits):
    assert 0.1 < np.mean([visit.time.hour < 10 for visit in visits]) < 0.6
    assert any(a.time == b.time for patient in patients for a, b in pairwise(patient.visits))


def test_any_ten_patients_in_a_row_are_split_seven_one_two(patients):
    for start in range(0, 200, 10):
        assert Counter(p.split for p in patients[start : start + 10]) == {"train": 7, "validate": 1, "test": 2}


@pytest.mark.parametrize("name", PREVALENCE)
def test_prevalences_are_as_designed(visits, name):
    assert np.mean([has(visit, name) for visit in visits]) == pytest.approx(PREVALENCE[name], abs=0.025)


def test_a_quarter_to_a_third_of_studies_show_nothing(visits):
    assert 0.23 < np.mean([not visit.findings for visit in visits]) < 0.33


def test_severities_reach_from_barely_visible_to_gross_and_large_grey_areas_are_often_small(visits):
    effusions = [f.severity for v in visits for f in v.findings if f.name == "pleural_effusion"]
    others = [f.severity for v in visits for f in v.findings if f.name == "consolidation"]

    assert min(effusions) < 0.06
    assert max(effusions) > 0.9
    assert max(effusions) <= 1
    assert np.median(effusions) < 0.32 < np.median(others)


def test_fluid_and_a_large_heart_come_together_with_edema(visits):
    wet = [visit for visit in visits if has(visit, "edema")]

    assert np.mean([has(visit, "pleural_effusion") for visit in wet]) > 0.4
    assert np.mean([has(visit, "cardiomegaly") for visit in wet]) > 0.4


def test_an_effusion_of_both_sides_is_two_lesions(visits):
    for visit in visits:
        sides = [f.side for f in visit.findings if f.name == "pleural_effusion"]
        assert len(set(sides)) == len(sides)
        assert "bilateral" not in sides


def test_midline_findings_have_no_side_and_edema_has_both(visits):
    for finding in (f for visit in visits for f in visit.findings):
        if finding.name in ("cardiomegaly", "enlarged_mediastinum"):
            assert finding.side is None
        else:
            assert finding.side == "bilateral" if finding.name == "edema" else finding.side in ("left", "right")


def test_changes_tell_how_every_lesion_differs_from_the_prior(patients):
    labels = Counter()
    for prior, visit in steps(patients):
        before = {f.lesion_id: f.severity for f in prior.findings}
        now = {f.lesion_id: f.severity for f in visit.findings}
        changes = {c.lesion_id: c.label for c in visit.changes}
        labels.update(changes.values())

        assert set(changes) == set(before) | set(now)
        for lesion, label in changes.items():
            if label in ("new", "resolved"):
                assert (lesion in now) == (label == "new")
                assert (lesion in before) == (label == "resolved")
                continue
            ratio = now[lesion] / before[lesion]
            low, high = {"improving": (0.6, 0.85), "stable": (0.95, 1.0527), "worsening": (1 / 0.85, 1 / 0.6)}[label]
            assert low - 1e-9 <= ratio <= high + 1e-9
    assert min(labels.values()) > 300


def test_a_first_visit_has_no_changes(patients):
    assert all(not patient.visits[0].changes for patient in patients)


def test_a_visit_without_a_frontal_or_at_an_equal_time_shows_the_body_as_before(patients):
    kinds = Counter()
    for patient in patients:
        for a, b in pairwise(patient.visits):
            equal = a.time == b.time
            lateral_only = all(film.projection == "LATERAL" for film in b.acquisitions)
            if equal or lateral_only:
                kinds[equal] += 1
                assert [f.severity for f in a.findings] == [f.severity for f in b.findings]
                assert a.devices == b.devices
                assert b.changes == a.changes if equal else {c.label for c in b.changes} <= {"stable"}
    assert min(kinds[True], kinds[False]) > 5


def test_the_current_severity_alone_hardly_tells_the_direction(patients):
    rows = [
        (visit.findings[[f.lesion_id for f in visit.findings].index(c.lesion_id)].severity, c.name, c.label)
        for _, visit in steps(patients)
        for c in visit.changes
        if c.name in ACUTE and c.label in ("improving", "stable", "worsening")
    ]
    labels = np.array([label for *_, label in rows])
    bins = np.digitize([severity for severity, *_ in rows], np.linspace(0.04, 1, 13)) + 20 * np.array([ACUTE.index(n) for _, n, _ in rows])
    learn = np.arange(len(rows)) % 2 == 0
    classes = np.unique(labels)
    share = {c: np.bincount(bins[learn & (labels == c)], minlength=120) / max(1, (learn & (labels == c)).sum()) for c in classes}
    guess = classes[np.argmax([share[c][bins] for c in classes], axis=0)]

    accuracy = np.mean([(guess[~learn & (labels == c)] == c).mean() for c in classes])

    assert len(rows) > 1500
    assert accuracy < 0.42


def test_subtlety_shrinks_severities_and_nothing_else(patients):
    plain, faint = patients[3], sample_patient(3, seed=11, difficulty=Difficulty(subtlety=1))

    pairs = [(a, b) for u, v in zip(plain.visits, faint.visits, strict=True) for a, b in zip(u.findings, v.findings, strict=True)]

    assert all(b.severity == pytest.approx(0.06 * a.severity) for a, b in pairs)
    assert [v.changes for v in plain.visits] == [v.changes for v in faint.visits]


def test_devices_follow_the_setting(visits):
    def share(name, setting):
        return np.mean([any(d.name == name for d in v.devices) for v in visits if v.setting == setting])

    for name in ("endotracheal_tube", "nasogastric_tube", "central_venous_line"):
        assert share(name, "icu") > 0.3 > 0.12 > share(name, "outpatient")


def test_about_one_placement_in_eight_is_wrong_and_every_offset_fits_its_error(visits):
    devices = [device for visit in visits for device in visit.devices]

    assert 0.11 < np.mean([d.error is not None for d in devices]) < 0.16
    for device in devices:
        low, high = OFFSET[device.name][device.error]
        assert low <= device.tip_offset <= high
    assert {(d.name, d.error) for d in devices} == {(name, error) for name, errors in OFFSET.items() for error in errors}


def test_a_device_keeps_its_place_until_it_is_moved_and_a_pacemaker_stays(patients):
    put_right = []
    for patient in patients:
        for a, b in pairwise(patient.visits):
            later = {d.device_id: d for d in b.devices}
            for device in a.devices:
                again = later.get(device.device_id)
                assert again is not None or device.name != "pacemaker"
                if again is not None and a.time < b.time:
                    assert (again.side, again.seed) == (device.side, device.seed)
                    assert again.error != device.error or again.tip_offset == device.tip_offset
                    put_right += [again.error is None] if device.error else []
    assert np.mean(put_right) > 0.65


def test_a_chest_tube_is_tied_to_the_pleura_as_far_as_the_world_is_confounded():
    def excess(confounding):
        seen = seen_at(confounding)
        tube = np.array([any(d.name == "chest_tube" for d in v.devices) for v in seen])
        air = np.array([has(v, "pneumothorax") for v in seen])
        return tube[air].mean() - tube[~air].mean()

    assert abs(excess(0.0)) < 0.04
    assert excess(1.0) > 0.2


@pytest.mark.parametrize(("confounding", "low", "high"), [(0.0, -0.05, 0.05), (0.6, 0.10, 0.25), (1.0, 0.2, 0.4)])
def test_projection_is_as_independent_of_disease_as_the_difficulty_says(confounding, low, high):
    seen = seen_at(confounding)
    ap, ill = np.array([is_ap(v) for v in seen]), np.array([bool(v.findings) for v in seen])

    assert low < ap[ill].mean() - ap[~ill].mean() < high


@pytest.mark.parametrize(("confounding", "low", "high"), [(0.0, -0.04, 0.04), (1.0, -0.6, -0.2)])
def test_the_sick_breathe_less_deeply_as_far_as_the_world_is_confounded(confounding, low, high):
    seen = seen_at(confounding)
    breath, ill = np.array([v.acquisitions[0].inspiration for v in seen]), np.array([bool(v.findings) for v in seen])

    assert low < breath[ill].mean() - breath[~ill].mean() < high


def test_prevalences_do_not_depend_on_the_confounding():
    shares = []
    for confounding in (0.0, 1.0):
        seen = seen_at(confounding)
        shares.append([np.mean([has(v, name) for v in seen]) for name in PREVALENCE])

    assert shares[0] == pytest.approx(shares[1], abs=0.03)


def test_intensive_care_is_filmed_ap_others_mostly_pa(visits):
    icu = [is_ap(v) for v in visits if v.setting == "icu"]
    others = [is_ap(v) for v in visits if v.setting != "icu"]

    assert np.mean(icu) == pytest.approx(0.75, abs=0.05)
    assert np.mean(others) == pytest.approx(0.22, abs=0.04)


def test_films_are_varied_as_in_a_real_archive(visits):
    films = [film for visit in visits for film in visit.acquisitions]
    frontal = [sum(film.projection != "LATERAL" for film in visit.acquisitions) for visit in visits]

    assert np.mean([film.photometric == "MONOCHROME1" for film in films]) == pytest.approx(0.25, abs=0.03)
    assert np.mean([film.view_position_missing for film in films]) == pytest.approx(0.04, abs=0.012)
    assert {film.bits_stored for film in films} == {12, 14, 15}
    assert {film.transfer_syntax for film in films} == {
        "ExplicitVRLittleEndian", "ImplicitVRLittleEndian", "RLELossless", "JPEG2000Lossless",
    }  # fmt: skip
    assert {film.aspect for film in films} == {1.2, 1.0, 0.83}
    assert 0.002 < np.mean([n == 0 for n in frontal]) < 0.025
    assert 0.02 < np.mean([n == 2 for n in frontal]) < 0.12
    assert all(-1 <= film.inspiration <= 1 and film.exposure > 0 for film in films)
