from dataclasses import replace
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from film_facts import MIDLINE, PATIENT, acquisition, finding, visit

from medvl.geometry import box_from_mask, mask_iou
from medvl.phantom.facts import Device, DeviceName, FindingName
from medvl.phantom.radiograph import Film, render

SIZE = 128
ORGANS = {
    "aortic_arch", "carina", "clavicle_left", "clavicle_right", "heart", "hemidiaphragm_left", "hemidiaphragm_right", "lung_left",
    "lung_right", "mediastinum", "spine", "trachea",
}  # fmt: skip


def film(*findings, projection="PA", size=SIZE, patient=PATIENT, devices=(), **taken) -> Film:
    return render(patient, visit(*findings, devices=devices), acquisition(projection, **taken), size)


def columns(mask) -> np.ndarray:
    return np.flatnonzero(mask.any(axis=0))


def width(mask) -> int:
    return int(np.ptp(columns(mask)))


def test_the_same_facts_give_the_same_film():
    first, again = film(finding("edema", "bilateral")), film(finding("edema", "bilateral"))

    np.testing.assert_array_equal(first.attenuation, again.attenuation)
    np.testing.assert_array_equal(first.display, again.display)


def test_two_patients_give_different_films():
    assert np.abs(film().display - film(patient=replace(PATIENT, seed=5)).display).mean() > 0.02


@pytest.mark.parametrize("projection", ["PA", "AP", "LATERAL"])
def test_a_film_is_float32_in_range_with_every_organ_inside_it(projection):
    taken = film(projection=projection, rotation=4.0, tilt=2.0)

    assert taken.attenuation.dtype == taken.display.dtype == np.float32
    assert taken.attenuation.shape == taken.display.shape == (SIZE, SIZE)
    assert np.isfinite(taken.attenuation).all()
    assert 0 <= taken.display.min() < taken.display.max() <= 1
    assert set(taken.masks) == ORGANS
    assert all(mask.shape == (SIZE, SIZE) and mask.any() for mask in taken.masks.values())


@pytest.mark.parametrize(("aspect", "shape"), [(1.25, (160, 128)), (0.8, (128, 160)), (1.0, (128, 128))])
def test_the_short_side_is_the_size_asked_for(aspect, shape):
    assert film(aspect=aspect).display.shape == shape


def test_lungs_are_dark_and_the_spine_is_bright():
    taken = film()
    lungs = taken.masks["lung_left"] | taken.masks["lung_right"]

    assert taken.display[lungs].mean() < taken.display[taken.masks["spine"]].mean() - 0.2


def test_the_patients_left_is_on_the_right_of_a_frontal():
    masks = film().masks

    assert columns(masks["lung_right"]).mean() < SIZE / 2 < columns(masks["lung_left"]).mean()
    assert columns(masks["heart"]).mean() > SIZE / 2


def test_the_heart_is_wider_on_an_ap_film():
    def ratio(projection):
        masks = film(projection=projection, size=256).masks
        return width(masks["heart"]) / width(masks["lung_left"] | masks["lung_right"])

    assert ratio("AP") > ratio("PA")


def test_a_deep_breath_lowers_the_diaphragm():
    def top(inspiration):
        return np.flatnonzero(film(inspiration=inspiration).masks["hemidiaphragm_right"].any(axis=1))[0]

    assert top(1.0) > top(-1.0)


@pytest.mark.parametrize("name", get_args(FindingName))
@pytest.mark.parametrize("severity", [0.0, 1.0])
def test_every_finding_has_a_mask_on_a_frontal(name, severity):
    side = "bilateral" if name == "edema" else "right"

    mask = film(finding(name, side, severity)).masks["lesion"]

    assert mask.any()
    if name not in (*MIDLINE, "edema"):
        assert columns(mask).mean() < SIZE / 2


@pytest.mark.parametrize("name", ["pleural_effusion", "pneumothorax", "consolidation", "atelectasis", "nodule", "pleural_thickening"])
def test_a_left_sided_finding_lies_on_the_right_of_the_film(name):
    mask = film(finding(name, "left")).masks["lesion"]

    assert columns(mask).min() >= SIZE / 2 - 4


@pytest.mark.parametrize("name", get_args(FindingName))
def test_more_severe_changes_the_film_more(name):
    side = "bilateral" if name == "edema" else "right"
    healthy = film().attenuation

    changes = [np.abs(film(finding(name, side, severity)).attenuation - healthy).sum() for severity in (0.0, 0.25, 0.5, 0.75, 1.0)]

    assert all(more > less for less, more in pairwise(changes))


@pytest.mark.parametrize("name", ["pleural_effusion", "consolidation", "pneumothorax", "nodule"])
def test_more_severe_is_more_extensive(name):
    areas = [film(finding(name, "right", severity)).masks["lesion"].sum() for severity in (0.1, 0.5, 0.9)]

    assert areas == sorted(set(areas))


@pytest.mark.parametrize(
    ("name", "sign"), [("pleural_effusion", 1), ("consolidation", 1), ("edema", 1), ("nodule", 1), ("pneumothorax", -1), ("atelectasis", 1)]
)
def test_a_finding_brightens_or_darkens_what_its_mask_covers(name, sign):
    sick, healthy = film(finding(name, "bilateral" if name == "edema" else "left", 0.7)), film()
    mask = sick.masks["lesion"]

    assert sign * (sick.attenuation - healthy.attenuation)[mask].mean() > 0


def test_a_zone_is_kept():
    def row(zone):
        return np.flatnonzero(film(finding("consolidation", "right", 0.4, zone)).masks["lesion"].any(axis=1)).mean()

    assert row("upper") < row("mid") < row("lower")


def test_a_lesion_stays_in_its_place_while_it_shrinks():
    before = film(finding("consolidation", "right", 0.8, "upper")).masks["lesion"]
    after = film(finding("consolidation", "right", 0.55, "upper")).masks["lesion"]

    assert (after & before).sum() > 0.85 * after.sum()


def test_another_seed_is_another_place():
    first = film(finding("nodule", "right", 0.8, None, seed=1)).masks["lesion"]
    other = film(finding("nodule", "right", 0.8, None, seed=2)).masks["lesion"]

    assert mask_iou(first, other) < 0.5


def test_cardiomegaly_widens_the_heart_and_is_boxed_by_it():
    sick, healthy = film(finding("cardiomegaly")), film()

    assert width(sick.masks["heart"]) > 1.1 * width(healthy.masks["heart"])
    assert box_from_mask(sick.masks["lesion"]) == box_from_mask(sick.masks["heart"])


def test_a_bilateral_effusion_is_on_both_sides():
    seen = columns(film(finding("pleural_effusion", "bilateral")).masks["lesion"])

    assert seen.min() < 0.3 * SIZE
    assert seen.max() > 0.7 * SIZE


def test_small_and_large_films_agree():
    small, large = film(finding("pleural_effusion"), size=128), film(finding("pleural_effusion"), size=384)
    reduced = large.display.reshape(128, 3, 128, 3).mean((1, 3))

    assert np.corrcoef(small.display.ravel(), reduced.ravel())[0, 1] > 0.99
    assert mask_iou(small.masks["lesion"], large.masks["lesion"][1::3, 1::3]) > 0.9
    assert large.pixel_spacing[0] == pytest.approx(small.pixel_spacing[0] / 3)


def test_collimated_borders_are_black_and_as_directly_exposed():
    taken = film(collimation=(0.1, 0.05, 0.0, 0.15))

    assert taken.display[:10].max() < 0.02
    assert taken.display[:, :15].max() < 0.02
    assert taken.attenuation[2, 60] == taken.attenuation.min()


def test_the_marker_is_lead_on_its_side():
    plain, marked = film(), film(marker="L")
    changed = np.abs(marked.attenuation - plain.attenuation) > 0.3

    assert changed.any()
    assert columns(changed).min() > SIZE / 2


def test_noise_and_exposure_set_the_grain():
    def grain(noise, exposure):
        noisy, clean = (render(PATIENT, visit(), acquisition(exposure=exposure), SIZE, noise=n).attenuation for n in (noise, 0.0))
        return (noisy - clean).std()

    plain = grain(1.0, 1.0)

    assert grain(2.0, 1.0) == pytest.approx(2 * plain, rel=0.1)
    assert grain(1.0, 0.25) == pytest.approx(2 * plain, rel=0.1)


@pytest.mark.parametrize("name", get_args(DeviceName))
@pytest.mark.parametrize("projection", ["AP", "LATERAL"])
def test_a_device_brightens_its_mask(name, projection):
    side = "left" if name in ("central_venous_line", "chest_tube", "pacemaker") else None
    placed = Device("device", name, side, 45.0 if name == "endotracheal_tube" else 0.0, None, 3)

    with_it, without = film(devices=(placed,), projection=projection), film(projection=projection)

    mask = with_it.masks["device"]
    assert mask.any()
    assert (with_it.attenuation - without.attenuation)[mask].mean() > 0.03


def test_the_window_covers_the_lungs_and_the_spine():
    taken = film()
    center, window_width = taken.window
    shown = (taken.attenuation - center) / window_width

    assert -0.55 < np.median(shown[taken.masks["lung_left"]]) < np.median(shown[taken.masks["spine"]]) < 0.55


def test_a_film_too_small_to_draw_is_refused():
    with pytest.raises(ValueError, match="at least 32 pixels"):
        film(size=16)
