"""A small cohort of invented studies with PNG images, for the tests of preparing and reading."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

from medvl.records import Phrase, Report, Study, View

SPLITS = ("train", "train", "train", "validate", "test")


def write_image(path: Path, *, height: int, width: int, seed: int) -> Path:
    """A smooth random 8-bit PNG of full range."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 5), np.uint8)
    coarse[0, 0], coarse[-1, -1] = 0, 255
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path)
    return path


def make_study(root: Path, patient: int, visit: int, *, lateral: bool, height: int = 40, width: int = 32) -> Study:
    """One study with a frontal and perhaps a lateral image; the second and later visits have the one before as prior."""
    name = f"{patient:03d}{visit}"
    views = [_view(root, f"frontal-{name}", "PA" if visit % 2 else "AP", height, width, seed=int(name))]
    if lateral:
        views.append(_view(root, f"lateral-{name}", "LATERAL", height, width + 8, seed=int(name) + 5000))
    findings = f"Heart {name} is normal. No effusion.\n The lungs are clear."
    sections = {"indication": f"Cough {name}.", "findings": findings, "impression": f"Normal {name}."}
    return Study(
        dataset="invented",
        patient_id=f"p{patient:03d}",
        study_id=f"s{name}",
        time=datetime(2150, 1, 1) + timedelta(days=patient * 10 + visit),
        views=tuple(views),
        report=Report(f"FINDINGS: {findings}", sections),
        phrases=(Phrase(f"Heart {name} is normal."),) if patient % 2 else (),
        labels={"chexpert": {"No Finding": "positive"}},
        prior_study_id=f"s{patient:03d}{visit - 1}" if visit else None,
        split=SPLITS[patient % len(SPLITS)],
        privacy="public",
    )


def write_cohort(root: Path, *, patients: int = 10, visits: int = 2) -> list[Study]:
    """Patients with some visits each; every third study has a lateral image."""
    return [make_study(root, patient, visit, lateral=(patient + visit) % 3 == 0) for patient in range(patients) for visit in range(visits)]


def _view(root: Path, view_id: str, projection: str, height: int, width: int, seed: int) -> View:
    path = write_image(root / f"{view_id}.png", height=height, width=width, seed=seed)
    return View(view_id=view_id, path=str(path), projection=projection)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
