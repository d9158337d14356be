"""Where lines and tubes run: control points in reference millimetres, from where a device enters to its proper end.

Coordinates as in ``primitives.py``. Left-sided courses of paired structures mirror the right-sided ones; the great veins do not: from
the left they cross the midline (left brachiocephalic vein) to the superior vena cava at x ≈ −15. A misplacement with a course of its own
(coiled, into a bronchus, up the jugular vein, to the other side, into a fissure) has its own points; the others only end elsewhere.
"""

from __future__ import annotations

import numpy as np

from medvl.phantom.anatomy import SIGN, Thorax
from medvl.phantom.facts import PlacementError
from medvl.phantom.lines_and_tubes import Access
from medvl.phantom.primitives import Points

CARINA = (4.0, -4.0, -16.0)
RIGHT_LOWER_BRONCHUS = ((-16, 13, -18), (-30, 28, -18), (-41, 54, -24), (-50, 84, -32))
OESOPHAGUS = ((2, -210, -18), (3, -150, -27), (6, -80, -34), (8, -20, -36), (8, 40, -38), (13, 100, -34), (24, 134, -26))
CAVA = ((-14, -42, 11), (-15, -5, 11))  # its lower third, where a central line should end
ATRIUM = ((-14, 30, 13), (-10, 62, 16), (-6, 88, 18))
VENTRICLE = ((-14, 24, 13), (-12, 62, 16), (2, 86, 28), (26, 95, 40), (50, 98, 46))
VEINS: dict[tuple[str, Access], tuple[tuple[float, float, float], ...]] = {  # from the skin to the superior vena cava
    ("right", "jugular"): ((-34, -205, 4), (-31, -150, 8), (-27, -108, 12), (-20, -74, 12)),
    ("right", "subclavian"): ((-96, -88, 56), (-74, -99, 36), (-48, -96, 20), (-24, -78, 13)),
    ("right", "arm"): ((-205, -20, 0), (-172, -62, 8), (-132, -96, 15), (-90, -102, 20), (-50, -95, 17), (-24, -77, 13)),
    ("left", "jugular"): ((36, -205, 4), (33, -150, 8), (29, -106, 15), (14, -77, 24), (-4, -62, 22)),
    ("left", "subclavian"): ((96, -88, 56), (74, -99, 36), (46, -94, 21), (22, -77, 25), (-2, -63, 22)),
    ("left", "arm"): ((205, -20, 0), (172, -62, 8), (132, -96, 15), (90, -102, 20), (48, -94, 19), (22, -77, 25), (-2, -63, 22)),
}
ACROSS = {  # beyond the veins' meeting, into the other side
    "right": ((-8, -64, 21), (14, -73, 25), (42, -93, 20), (80, -102, 24)),
    "left": ((-18, -72, 14), (-44, -95, 18), (-82, -102, 26)),
}
UP_THE_NECK = ((36, -100, 15), (30, -116, 10), (30, -146, 8), (33, -176, 6))  # from a subclavian vein into the jugular of its side
PLEURA = {  # of a left chest tube: two points outside, one at the chest wall, three inside
    "apex": ((196, 104, 16), (166, 88, 12), (138, 70, 4), (120, 22, -14), (98, -38, -24), (66, -84, -18)),
    "base": ((198, 118, 14), (168, 108, 8), (140, 98, -2), (120, 92, -30), (92, 88, -54), (50, 70, -62)),
    "fissure": ((196, 104, 16), (166, 88, 12), (138, 70, 4), (112, 46, 2), (80, 28, 8), (42, 18, 8)),
}
GENERATOR = (93.0, -66.0, 80.0)  # the middle of a left pacemaker's can


def airway(thorax: Thorax) -> tuple[Points, int]:
    """Down the trachea to the right lower lobe: control points and the carina's index among them."""
    trachea = np.array([[np.interp(y, thorax.trachea[:, 1], thorax.trachea[:, k]) for k in range(3)] for y in range(-195, -20, 25)])
    return np.concatenate([trachea, [CARINA], RIGHT_LOWER_BRONCHUS]), len(trachea)


def gullet(thorax: Thorax, error: PlacementError | None) -> Points:
    """From the throat to the stomach, past its gas; coiled in the chest; or down the airway."""
    if error == "in_bronchus":
        return airway(thorax)[0]
    if error == "coiled":
        angle = np.linspace(0, 3.2 * np.pi, 13)
        coil = np.stack([-9 + 17 * np.cos(angle), 24 + 25 * np.sin(angle), -36 + 2 * angle / np.pi], axis=1)
        return np.concatenate([OESOPHAGUS[:4], coil])
    fundus = thorax.stomach.center
    stomach = fundus + np.array([[-16, 4, -12], [-2, 28, 2], [-8, 44, 12], [-30, 52, 18]])
    return np.concatenate([OESOPHAGUS, stomach])


def great_veins(side: str, access: Access, error: PlacementError | None) -> tuple[Points, int]:
    """From the skin through the superior vena cava and on into the right atrium, and the index of the proper end.

    A line that went astray has a course of its own and is measured from that course's end.
    """
    entry = VEINS[side, access]
    if error == "internal_jugular":
        outside = [p for p in entry if abs(p[0]) > 42]
        return np.concatenate([outside, np.array(UP_THE_NECK) * (SIGN[side], 1, 1)]), -1
    if error == "contralateral":
        return np.concatenate([entry if side == "right" else (*entry[:-1], (-4, -64, 22)), ACROSS[side]]), -1
    return np.concatenate([entry, CAVA, ATRIUM]), len(entry) + len(CAVA) - 1


def pleural_space(side: str, *, apex: bool, error: PlacementError | None) -> Points:
    """Through the lateral chest wall to the apex, the base or a fissure."""
    target = "fissure" if error == "fissural" else "apex" if apex else "base"
    return np.array(PLEURA[target], float) * (SIGN[side], 1, 1)


def pacing_leads(side: str) -> tuple[Points, Points]:
    """From the can to the right ventricle's apex, and to the right atrium's appendage."""
    pocket = np.array(((84, -84, 79), (72, -103, 66))) * (SIGN[side], 1, 1)
    to_cava = np.concatenate([pocket, VEINS[side, "subclavian"][2:], CAVA])
    appendage = np.array(((-16, 26, 11), (-19, 52, 12), (-19, 70, 22), (-16, 68, 40), (-11, 50, 48)))
    return np.concatenate([to_cava, VENTRICLE]), np.concatenate([to_cava, appendage])
