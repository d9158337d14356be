"""medvl phantom out=FOLDER [patients=450] [size=512] [image_format=jpg|dicom|both] [layouts=[…]] [difficulty.subtlety=0 …]

Writes the simulated patient world: radiographs, reports and annotations in the layouts of MIMIC-CXR, MIMIC-CXR-JPG, MS-CXR, MS-CXR-T,
PadChest-GR, Open-I, RadNLI, Chest ImaGenome, CheXmask, SIIM-ACR and Lunguage. The same seed gives the same world. A stopped run goes on
where it was.

  medvl phantom out=data/phantom patients=450 size=512
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from medvl.cli import app


def main(overrides: list[str]) -> None:
    """Run the verb."""
    app.run("phantom", task, overrides)


def task(config: DictConfig) -> dict[str, Any] | None:
    """Make the cohort that the configuration describes."""
    from medvl.cli.stages import cohort_bytes, make_cohort

    out = Path(config.out)
    if config.dry_run:
        return app.show_plan(config, {"missing": [], "patients": config.patients, "disk_bytes": cohort_bytes(config)})
    summary = make_cohort(config, out)
    if not config.json:
        print(f"{summary['patients']} patients, {summary['studies']} studies, {summary['images']} images in {out}")
    return summary
