"""Draw a sheet of 24 frontal radiographs of the phantom: the README's picture.

python scripts/contact_sheet.py data_cards/phantom.png [--seed 0]
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from medvl.phantom.contact_sheet import contact_sheet
from medvl.phantom.radiograph import render
from medvl.phantom.world import sample_cohort
from medvl.runtime.files import write_bytes

COLUMNS, FILMS, SIZE = 6, 24, 512


def films(seed: int) -> list[NDArray[np.float32]]:
    """The latest frontal film of each of the first patients."""
    found = []
    for patient in sample_cohort(2 * FILMS, seed=seed):
        frontals = [(v, a) for v in patient.visits for a in v.acquisitions if a.projection != "LATERAL"]
        if frontals:
            visit, acquisition = frontals[-1]
            found.append(render(patient, visit, acquisition, SIZE).display)
    return list(islice(found, FILMS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sheet = contact_sheet(films(options.seed), COLUMNS)
    write_bytes(options.out, cv2.imencode(options.out.suffix, sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())


if __name__ == "__main__":
    main()
