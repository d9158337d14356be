"""The pulmonary vessels: space-filling trees grown in three dimensions, which make a lung look like a lung.

Targets are drawn uniformly in the lung; each branch serves a set of them: the set is halved unevenly across its principal axis, and
the branch walks part of the way from its parent's end to the set's centroid. Radii follow r₀ · share^(1/2.75). All branches of a
generation, of every tree, are grown at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medvl.phantom.anatomy import APEX_CUT, SIDES, SIGN, OneSide, Thorax
from medvl.phantom.draws import generator
from medvl.phantom.facts import Patient
from medvl.phantom.primitives import Points, to_patient
from medvl.phantom.splatting import Cloud

HILUM = {"right": (-34.0, 16.0, -8.0), "left": (36.0, 6.0, -8.0)}
ARTERIES, VEINS = 300, 170  # targets a lung
ARTERY_ROOT, VEIN_ROOT, LEAST = 8.0, 6.2, 0.35  # mm
MURRAY = 2.75


def points_in_lung(thorax: Thorax, side: OneSide, draw: np.random.Generator, tries: int = 5000) -> Points:
    """Points spread evenly in one lung of the reference posture, (N, 3), 3 mm from the chest wall."""
    box = draw.uniform((3, -114, -100), (142, 190, 100), (tries, 3)) * (SIGN[side], 1, 1)
    x, y, z = box.T
    a, b, cx, cz = thorax.cage.at(y)
    inside = (np.abs((x - cx) / np.maximum(a - 3, 1)) ** 3 + np.abs((z - cz) / np.maximum(b - 3, 1)) ** 3 < 1) & (a > 0)
    inside &= np.abs(x) > np.interp(y, *APEX_CUT)
    a, b, cx, cz = thorax.core.at(y)
    inside &= ((x - cx) / a) ** 2 + ((z - cz) / b) ** 2 > 1
    dome = thorax.domes[side]
    q = (box - dome.center) / dome.semi_axes
    inside &= (np.minimum(q, (9, 0, 9)) ** 2).sum(1) > 1
    for organ in (*thorax.heart, *thorax.vessels):
        q = (box - organ.center) @ (organ.rotation / organ.semi_axes)
        inside &= (q**2).sum(1) > 1
    return box[inside & (y < dome.center[1])]


def vessel_cloud(patient: Patient, thorax: Thorax, spacing: float) -> dict[OneSide, Cloud]:
    """Arteries and veins of each lung in the patient's millimetres, sampled every ``spacing`` millimetres or finer."""
    clouds: dict[OneSide, Cloud] = {}
    for side in SIDES:
        draw = generator(patient.seed, "vessels", side)
        targets = points_in_lung(thorax, side, draw)[: ARTERIES + VEINS]
        artery = np.arange(len(targets)) < ARTERIES
        hilum = np.array(HILUM[side]) + draw.normal(0, 3, 3)
        roots = np.stack([hilum, hilum + np.array([SIGN[side] * 2, 12, 4])])
        points, arc, radius = _grow(targets, np.where(artery, 0, 1), roots, draw, spacing)
        clouds[side] = Cloud(to_patient(points, patient), arc, radius)
    return clouds


def _grow(
    targets: Points, tree: NDArray[np.int64], roots: Points, draw: np.random.Generator, spacing: float
) -> tuple[Points, NDArray[np.float64], NDArray[np.float64]]:
    """Grow all trees generation by generation; returns sampled points, arc lengths and radii."""
    node, start = tree.copy(), roots
    heading = np.zeros_like(roots)
    total = np.bincount(tree, minlength=2).astype(float)
    root_radius = np.where(np.arange(2) == 0, ARTERY_ROOT, VEIN_ROOT)
    origin = np.arange(2)  # node → its tree
    pieces = []
    for generation in range(24):
        count = np.bincount(node, minlength=len(start)).astype(float)
        centroid = np.stack([np.bincount(node, targets[:, k], len(start)) for k in range(3)], 1) / count[:, None]
        reach = min(1.0, 0.3 + 0.25 * generation)  # the first branches part near the hilum
        step = np.where(count == 1, 1.0, reach * draw.uniform(0.3, 0.6, len(start)))
        end = start + step[:, None] * (centroid - start)
        radius = np.maximum(root_radius[origin] * (count / total[origin]) ** (1 / MURRAY), LEAST)
        pieces.append(_curves(start, end, heading, radius, draw, spacing))
        alive = count[node] > 1
        if not alive.any():
            break
        targets, node = targets[alive], node[alive]
        child = 2 * node + _halves(targets, node, centroid, draw)
        kept, node = np.unique(child, return_inverse=True)
        heading = (end - start)[kept // 2]
        start, origin = end[kept // 2], origin[kept // 2]
    points, arc, radii = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return points, arc, radii


def _halves(targets: Points, node: NDArray[np.int64], centroid: Points, draw: np.random.Generator) -> NDArray[np.int64]:
    """Each node's targets divided across their principal axis, 32 to 68 % on one side: 0 or 1 per target."""
    offset = targets - centroid[node]
    spread = np.zeros((len(centroid), 3, 3))
    for i in range(3):
        for j in range(3):
            spread[:, i, j] = np.bincount(node, offset[:, i] * offset[:, j], len(centroid))
    axis = np.linalg.eigh(spread)[1][:, :, -1]
    axis *= np.sign(axis.sum(1, keepdims=True) + 1e-12)  # a platform-independent sense
    along = (offset * axis[node]).sum(1)
    order = np.lexsort((along, node))
    count = np.bincount(node, minlength=len(centroid))
    first = np.cumsum(count) - count
    rank = np.empty(len(node), int)
    rank[order] = np.arange(len(node)) - first[node[order]]
    cut = np.clip(np.round(count * draw.uniform(0.32, 0.68, len(count))), 1, np.maximum(count - 1, 1))
    return (rank >= cut[node]).astype(int)


def _curves(
    start: Points, end: Points, heading: Points, radius: NDArray[np.float64], draw: np.random.Generator, spacing: float
) -> tuple[Points, NDArray[np.float64], NDArray[np.float64]]:
    """Quadratic curves that leave in the parent's direction, sampled: points, arc lengths, radii."""
    chord = np.linalg.norm(end - start, axis=1)
    onward = heading / np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-9)
    bend = (start + end) / 2 + chord[:, None] * (0.16 * onward + draw.normal(0, 0.05, start.shape))
    samples = np.maximum(2, np.ceil(1.1 * chord / np.maximum(spacing, 0.25 * radius))).astype(int)
    curve = np.repeat(np.arange(len(start)), samples)
    first = np.cumsum(samples) - samples
    t = ((np.arange(len(curve)) - first[curve] + 0.5) / samples[curve])[:, None]
    points = (1 - t) ** 2 * start[curve] + 2 * t * (1 - t) * bend[curve] + t**2 * end[curve]
    speed = np.linalg.norm(2 * (1 - t) * (bend - start)[curve] + 2 * t * (end - bend)[curve], axis=1)
    return points, speed / samples[curve], radius[curve]
