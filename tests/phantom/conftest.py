"""One small cohort in all layouts, made once for the tests of this folder that only read it."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cohort_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen patients of seed 3 at 64 pixels, DICOM and JPG."""
    from medvl.phantom.cohort import LAYOUTS, make_cohort

    out = tmp_path_factory.mktemp("cohort")
    make_cohort(out, patients=14, size=64, seed=3, layouts=LAYOUTS, image_format="both", workers=1, progress=False)
    return out
