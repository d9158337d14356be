"""medvl prepare data=NAME [image_size=518] [intensity=minmax] [prepare.engine=process|ray] [prepare.workers=2]

Decodes a dataset once into `manifest.parquet` (one row per study) and an image cache, in parallel. A stopped or killed run goes on
where it was; unreadable files are listed in `rejected.parquet` with their reasons.

  medvl prepare data=phantom
  medvl prepare data=mimic_cxr image_size=518 prepare.workers=16
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from medvl.cli import app


def main(overrides: list[str]) -> None:
    """Run the verb."""
    app.run("prepare", task, overrides)


def task(config: DictConfig) -> dict[str, Any] | None:
    """Prepare the dataset that the configuration names."""
    from medvl.cli import stages

    missing = stages.missing_roots(config)
    if config.dry_run:
        return app.show_plan(config, {"missing": missing, "disk_bytes": stages.cache_bytes(config)})
    stages.require_roots(config)
    if config.data.cohort:
        stages.make_cohort(config.data.cohort, Path(config.data.root))
    summary = stages.prepare(config)
    if not config.json:
        print(f"{summary['studies']} studies, {summary['images']} images in {config.data.prepared}; {summary['rejected']} rejected")
    return summary
