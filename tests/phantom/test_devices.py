from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvl.phantom.anatomy import build_thorax
from medvl.phantom.device_courses import CARINA
from medvl.phantom.devices import device_parts, side_hole, tip
from medvl.phantom.facts import Device
from medvl.phantom.lines_and_tubes import OFFSET, RIGHT_SHARE, towards_apex, venous_access
from medvl.phantom.primitives import Plate, Tube
from medvl.phantom.world import sample_patient

PATIENTS = [sample_patient(i, seed=21) for i in range(8)]
KINDS = [(name, error) for name, errors in OFFSET.items() for error in errors]


def placed(name, error=None, *, side=None, seed=0, offset=None):
    low, high = OFFSET[name][error]
    side = side or ("right" if name in RIGHT_SHARE else None)
    return Device(f"{name}-1", name, side, (low + high) / 2 if offset is None else offset, error, seed)


def tips(name, error=None, **options):
    """Tips (N, 3) of the device in several patients, at several seeds."""
    return np.array([tip(placed(name, error, seed=seed, **options), patient) for seed, patient in enumerate(PATIENTS)])


def seed_where(condition):
    return next(seed for seed in count() if condition(seed))


def length(points):
    return np.linalg.norm(np.diff(points, axis=0), axis=1).sum()


@given(st.floats(-40, 120), st.integers(0, 7))
def test_an_endotracheal_tip_is_exactly_its_offset_above_the_carina_in_the_patients_millimetres(offset, index):
    patient = PATIENTS[index]
    short, carina = placed("endotracheal_tube", offset=offset), placed("endotracheal_tube", offset=0.0)

    reach = [length(device_parts(d, patient)[0].points * patient.scale) for d in (carina, short)]

    assert reach[0] - reach[1] == pytest.approx(offset, abs=0.05)
    assert tip(carina, patient) == pytest.approx(CARINA, abs=1e-6)


def test_an_endotracheal_tube_too_deep_ends_in_the_right_main_bronchus():
    for patient, end in zip(PATIENTS, tips("endotracheal_tube", "right_main_bronchus"), strict=True):
        assert end[0] < CARINA[0]
        assert end[1] > CARINA[1]
        assert np.linalg.norm((end - CARINA) * patient.scale) == pytest.approx(11, abs=0.5)


def test_an_endotracheal_tube_lies_inside_the_trachea():
    for patient, end in zip(PATIENTS, tips("endotracheal_tube"), strict=True):
        trachea = build_thorax(patient).trachea
        assert np.linalg.norm(trachea - end, axis=1).min() < 3


def test_a_nasogastric_tube_ends_under_the_left_dome_unless_it_is_misplaced():
    stomach, short, coiled, lung = (tips("nasogastric_tube", e) for e in (None, "in_esophagus", "coiled", "in_bronchus"))

    assert (stomach[:, 0] > 15).all()
    assert ((stomach[:, 1] > 150) & (stomach[:, 1] < 216)).all()
    assert (short[:, 1] < 100).all()
    assert (np.abs(coiled[:, 1]) < 70).all()
    assert (lung[:, 0] < -30).all()
    assert (lung[:, 1] < 110).all()


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_central_line_ends_in_the_lower_superior_vena_cava_from_either_side(side):
    right, deep = tips("central_venous_line", side=side), tips("central_venous_line", "right_atrium", side=side)

    for ends, low, high in ((right, -40, 5), (deep, 30, 80)):
        assert ((ends[:, 0] > -24) & (ends[:, 0] < -4)).all()
        assert ((ends[:, 1] > low) & (ends[:, 1] < high)).all()


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_a_stray_central_line_crosses_over_or_climbs_the_neck(side, sign):
    access = seed_where(lambda seed: venous_access(seed) != "jugular")

    across = tips("central_venous_line", "contralateral", side=side)
    up = tip(placed("central_venous_line", "internal_jugular", side=side, seed=access), PATIENTS[0])

    assert (sign * across[:, 0] < -50).all()
    assert sign * up[0] > 20
    assert up[1] < -140


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_a_chest_tube_runs_to_the_apex_or_the_base_of_its_side(side, sign):
    seeds = [seed_where(towards_apex), seed_where(lambda seed: not towards_apex(seed))]

    apex, base = (tip(placed("chest_tube", side=side, seed=seed), PATIENTS[0]) for seed in seeds)

    assert sign * apex[0] > 40
    assert apex[1] < -60
    assert sign * base[0] > 30
    assert base[1] > 50


@pytest.mark.parametrize("seed", range(6))
def test_a_chest_tubes_side_hole_is_outside_the_cage_only_when_it_is_said_to_be(seed):
    for patient in PATIENTS:
        well, ill = (np.abs(side_hole(placed("chest_tube", error, seed=seed), patient)[0]) for error in (None, "side_hole_outside"))
        cage = build_thorax(patient).cage.half_width.max()
        assert well < cage < ill


def test_only_a_chest_tube_has_a_side_hole():
    assert side_hole(placed("endotracheal_tube"), PATIENTS[0]) is None


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_a_pacemaker_is_a_can_in_front_of_its_shoulder_with_a_lead_in_the_right_ventricle(side, sign):
    device = placed("pacemaker", side=side)

    can, *leads = device_parts(device, PATIENTS[0])
    ends, displaced = tips("pacemaker", side=side), tips("pacemaker", "lead_displaced", side=side)

    assert isinstance(can, Plate)
    assert 70 < sign * can.outline[:, 0].mean() < 115
    assert can.outline[:, 2].min() > 55
    assert len(leads) in (2, 4)
    assert (np.abs(ends - (50, 98, 46)) < 12).all()
    assert (displaced[:, 0] < 30).all()


@pytest.mark.parametrize(("name", "error"), KINDS)
def test_every_device_is_smooth_finite_and_ends_at_its_tip(name, error):
    seed = seed_where(lambda seed: venous_access(seed) != "jugular")
    device = placed(name, error, side="left" if name in RIGHT_SHARE else None, seed=seed)

    tubes = [part for part in device_parts(device, PATIENTS[1]) if isinstance(part, Tube)]

    assert tubes[0].points[-1] == pytest.approx(tip(device, PATIENTS[1]))
    for tube in tubes:
        steps = np.diff(tube.points, axis=0)
        unit = steps / np.linalg.norm(steps, axis=1, keepdims=True)
        assert np.isfinite(tube.points).all()
        assert (unit[1:-1] * unit[:-2]).sum(axis=1).min(initial=1) > 0.75


def test_the_same_seed_draws_the_same_device_and_another_seed_another_course():
    device = placed("nasogastric_tube", seed=1)

    again, other = replace(device), replace(device, seed=2)

    assert np.array_equal(tip(device, PATIENTS[0]), tip(again, PATIENTS[0]))
    assert not np.array_equal(tip(device, PATIENTS[0]), tip(other, PATIENTS[0]))
