"""Lines, tubes and pacemakers as tubes and plates, their tips exact to the millimetre.

A course (``device_courses.py``) becomes a smooth spline in the *patient's* millimetres and is cut so that the tip lies ``tip_offset`` from
its landmark along the course: above the carina for an endotracheal tube, beyond the proper end for all others. A misplaced device is
thus only another number, or another course. Results are in reference coordinates, for ``primitives.to_patient`` to scale.

Weights per millimetre (design values of the phantom): tube wall 0.018, radio-opaque stripe 0.2, catheter 0.15, lead 0.22; a can 1.25.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from medvl.phantom.anatomy import SIGN, Thorax, build_thorax
from medvl.phantom.device_courses import GENERATOR, airway, great_veins, gullet, pacing_leads, pleural_space
from medvl.phantom.draws import generator
from medvl.phantom.facts import Device, Patient
from medvl.phantom.lines_and_tubes import towards_apex, venous_access
from medvl.phantom.primitives import Plate, Points, Tube, to_patient, turn

WALL, STRIPE, CATHETER, LEAD, CAN = 0.018, 0.2, 0.15, 0.22, 1.25
STEP = 1.5  # of a course's polyline, millimetres
SWAY = 1.6  # sd of a device's own deviation at each control point, millimetres
TUBE_RADII = {"endotracheal_tube": (5.2, 3.8), "nasogastric_tube": (2.4, 1.6), "chest_tube": (4.2, 3.0)}  # outer, inner
STRIPE_RADIUS = {"endotracheal_tube": 0.9, "nasogastric_tube": 0.8, "chest_tube": 1.0}
HOLE_INSIDE = 34.0  # how far inside the chest wall a well placed chest tube has its last side hole
HOLE_LENGTH = 9.0  # the gap it leaves in the stripe
WALL_POINT = 2  # index of the chest wall among a chest tube's control points
DUAL_CHAMBER = 0.7


@dataclass(frozen=True, eq=False)
class Course:
    """A device from entry to tip: ``points`` (N, 3) in the patient's millimetres; ``hole``: arc length of a chest tube's side hole."""

    points: Points
    hole: float | None = None


def device_parts(device: Device, patient: Patient) -> tuple[Tube | Plate, ...]:
    """What the device is made of, in reference coordinates; radii in millimetres."""
    course = _course(device, patient)
    if device.name == "pacemaker":
        parts = _pacemaker(device, patient, course)
    elif device.name == "central_venous_line":
        parts = (Tube(course.points, 1.3, CATHETER),)
    else:
        parts = _tube(device, course)
    return tuple(_in_reference(part, patient) for part in parts)


def tip(device: Device, patient: Patient) -> Points:
    """The device's tip (3,), reference millimetres; a pacemaker's is that of its ventricular lead."""
    return _course(device, patient).points[-1] / np.asarray(patient.scale)


def side_hole(device: Device, patient: Patient) -> Points | None:
    """A chest tube's last side hole (3,), reference millimetres; ``None`` for other devices."""
    course = _course(device, patient)
    if course.hole is None:
        return None
    along = _arc_length(course.points)
    return np.array([np.interp(course.hole, along, course.points[:, k]) for k in range(3)]) / np.asarray(patient.scale)


def _course(device: Device, patient: Patient) -> Course:
    control, landmark = _control(device, build_thorax(patient))
    if device.name == "endotracheal_tube":  # held by the airway; its offset counts upwards
        points, marks = _spline(to_patient(control, patient))
        return Course(_cut(points, marks[landmark] - device.tip_offset))
    points, marks = _spline(_swayed(control, device, patient))
    hole = marks[WALL_POINT] + HOLE_INSIDE + device.tip_offset if device.name == "chest_tube" else None
    return Course(_cut(points, marks[landmark] + device.tip_offset), hole)


def _control(device: Device, thorax: Thorax) -> tuple[Points, int]:
    """Control points (K, 3) in reference millimetres and the index of the one from which the tip is measured."""
    side = device.side or "right"
    if device.name == "endotracheal_tube":
        return airway(thorax)
    if device.name == "nasogastric_tube":
        return gullet(thorax, device.error), -1
    if device.name == "central_venous_line":
        return great_veins(side, venous_access(device.seed), device.error)
    if device.name == "chest_tube":
        return pleural_space(side, apex=towards_apex(device.seed), error=device.error), -1
    return pacing_leads(side)[0], -1


def _swayed(control: Points, device: Device, patient: Patient) -> Points:
    """Control points in the patient's millimetres with the device's own small deviations."""
    return to_patient(control, patient) + generator(device.seed, "sway").normal(0, SWAY, (len(control), 3))


def _spline(control: Points) -> tuple[Points, Points]:
    """A smooth curve through control points (K, 3): points (N, 3), and the arc length (K,) at each control point."""
    knots = _arc_length(control)
    per_span = np.maximum(2, np.ceil(np.diff(knots) / STEP).astype(int))
    at = np.concatenate([np.linspace(a, b, n, endpoint=False) for a, b, n in zip(knots, knots[1:], per_span, strict=False)] + [knots[-1:]])
    points = CubicSpline(knots, control)(at)
    return points, _arc_length(points)[np.concatenate([[0], np.cumsum(per_span)])]


def _arc_length(points: Points) -> Points:
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


def _cut(points: Points, length: float) -> Points:
    """The curve up to an arc length; beyond its end it goes straight on."""
    along = _arc_length(points)
    if length > along[-1]:
        ahead = (points[-1] - points[-2]) / (along[-1] - along[-2])
        return np.concatenate([points, [points[-1] + ahead * (length - along[-1])]])
    end = [np.interp(length, along, points[:, k]) for k in range(3)]
    return np.concatenate([points[along < length], [end]])


def _tube(device: Device, course: Course) -> tuple[Tube, ...]:
    """A hollow tube with a radio-opaque stripe in its wall, interrupted at the side hole."""
    outer, inner = TUBE_RADII[device.name]
    angle = generator(device.seed, "stripe").uniform(0, 2 * np.pi)
    stripe = course.points + (outer - 0.7) * np.array([np.cos(angle), 0, np.sin(angle)])
    along = _arc_length(course.points)
    runs = [stripe]
    if course.hole is not None:
        runs = [stripe[along < course.hole - HOLE_LENGTH / 2], stripe[along > course.hole + HOLE_LENGTH / 2]]
    radius = STRIPE_RADIUS[device.name]
    walls = (Tube(course.points, outer, WALL), Tube(course.points, inner, -WALL))
    return walls + tuple(Tube(run, radius, STRIPE) for run in runs if len(run) > 1)


def _pacemaker(device: Device, patient: Patient, course: Course) -> tuple[Tube | Plate, ...]:
    """The can, its connector block, one or two leads, and the electrodes at their ends."""
    draw = generator(device.seed, "can")
    side = device.side or "left"
    leads = [course.points]
    if draw.random() < DUAL_CHAMBER:
        leads.append(_spline(_swayed(pacing_leads(side)[1], device, patient))[0])
    center = (SIGN[side] * (GENERATOR[0] + draw.normal(0, 4)), GENERATOR[1] + draw.normal(0, 5), GENERATOR[2])
    half = (draw.uniform(19, 24), draw.uniform(21, 25))
    outline = to_patient(center, patient) + _rounded_box(half, draw.normal(0, 14), facing=-0.25 * SIGN[side])
    electrodes = (Tube(lead[_arc_length(lead) > _arc_length(lead)[-1] - 5], 1.5, LEAD) for lead in leads)
    return (Plate(outline, CAN), *(Tube(lead, 1.0, LEAD) for lead in leads), *electrodes)


def _rounded_box(half: tuple[float, float], lean: float, *, facing: float) -> Points:
    """A superellipse (48, 3) about the origin, leaning by degrees in the frontal plane; depth changes by ``facing`` along x."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    box = turn(2, lean) @ (np.sign(circle) * np.abs(circle) ** 0.65 * (*half, 0)).T
    box[2] = facing * box[0]
    return box.T


def _in_reference(part: Tube | Plate, patient: Patient) -> Tube | Plate:
    scale = np.asarray(patient.scale)
    if isinstance(part, Plate):
        return Plate(part.outline / scale, part.optical_depth)
    return Tube(part.points / scale, part.radius, part.attenuation)
