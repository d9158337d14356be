from dataclasses import replace

import numpy as np
import pytest
from film_facts import PATIENT, acquisition

from medvl.phantom.contact_sheet import contact_sheet
from medvl.phantom.primitives import Plate, Tube, to_patient
from medvl.phantom.projection import beam_for, detector_spacing
from medvl.phantom.splatting import plate_depth, resample, splat, tube_cloud, tubes_depth

CENTRED = beam_for(PATIENT, acquisition(), 256)


def test_a_tubes_middle_is_as_thick_as_the_tube():
    tube = Tube(np.array([[-60.0, 0, 0], [60, 0, 0]]), 6.0, 1.0)

    depth = tubes_depth(CENTRED, [tube])

    row, column, _ = CENTRED.project(np.zeros((1, 3)))
    assert depth[int(row[0]), int(column[0])] == pytest.approx(12, rel=0.08)


def test_a_tube_along_the_beam_thickens():
    def peak(*points):
        return tubes_depth(CENTRED, [Tube(np.array(points, float), 3.0, 1.0)]).max()

    assert peak((0, 0, -40), (0, 0, 40)) > 5 * peak((-40, 0, 0), (40, 0, 0))


@pytest.mark.parametrize("radius", [0.4, 2.0, 9.0, 25.0])
def test_a_tube_keeps_its_volume_at_every_radius(radius):
    line = resample(np.array([[-40.0, 10, 0], [40, 30, 0]]), 0.5)
    length = np.linalg.norm(line[-1] - line[0])

    volume = splat(CENTRED, tube_cloud(line, radius)).sum() * CENTRED.pixel**2

    assert volume == pytest.approx(np.pi * radius**2 * length, rel=0.04)


def test_what_is_nearer_the_source_is_magnified_more():
    points = np.array([[100.0, 0, 80], [100, 0, -80]])

    _, _, from_behind = beam_for(PATIENT, acquisition("PA"), 256).project(points)
    _, _, from_before = beam_for(PATIENT, acquisition("AP"), 256).project(points)

    assert from_behind[0] < 1 < from_behind[1]
    assert from_before[0] > 1 > from_before[1]


@pytest.mark.parametrize("projection", ["PA", "AP", "LATERAL"])
def test_rays_run_through_the_points_that_fall_on_their_pixels(projection):
    patient = replace(PATIENT, scale=(1.1, 0.95, 1.05))
    beam = beam_for(patient, acquisition(projection, rotation=5.0, tilt=3.0, aspect=1.2), 200)
    rays = beam.rays((beam.height, beam.width))
    pixel, depth = 50 * beam.width + 120, 37.0

    points = to_patient((rays.origin[:, pixel] + depth * rays.slope[:, pixel])[None], patient)

    row, column, _ = beam.project(points)
    assert (row[0], column[0]) == (pytest.approx(50.5, abs=1e-2), pytest.approx(120.5, abs=1e-2))


def test_a_plate_adds_its_optical_depth_inside_its_outline():
    square = np.array([[-20.0, 0, 0], [20, 0, 0], [20, 40, 0], [-20, 40, 0]])

    depth = plate_depth(CENTRED, Plate(square, 1.25))

    row, column, _ = CENTRED.project(np.array([[0.0, 20, 0], [0, -10, 0]]))
    assert depth[int(row[0]), int(column[0])] == pytest.approx(1.25, abs=0.01)
    assert depth[int(row[1]), int(column[1])] == 0


def test_spacing_at_the_detector_is_magnified():
    assert detector_spacing(CENTRED, acquisition()) > CENTRED.pixel


def test_a_contact_sheet_holds_every_film():
    sheet = contact_sheet([np.full((40, 30), level, np.float32) for level in (0.2, 0.6, 1.0)], 2, cell=32, gap=2)

    assert sheet.shape == (70, 70)
    assert set(np.unique(sheet)) == {0, 51, 153, 255}


def test_an_empty_contact_sheet_is_refused():
    with pytest.raises(ValueError, match="needs films"):
        contact_sheet([], 4)
