"""medvl evaluate benchmark=NAME data=NAME trained=FOLDER [untrained=FOLDER] [split=[test]]

Runs a benchmark: encodes the images of a prepared dataset with a trained model, and leaves `results.json` with confidence intervals,
one row per sample as Parquet, and the predictions as JSON lines in <outputs>/evaluate/.

  medvl evaluate benchmark=phrase_grounding data=phantom trained=outputs/train/quickstart-0123abcd/model
  medvl evaluate benchmark=zero_shot data=mimic_cxr trained=…
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from medvl.cli import app
from medvl.runtime.config import check_targets, run_folder


def main(overrides: list[str]) -> None:
    """Run the verb."""
    app.run("evaluate", task, overrides)


def task(config: DictConfig) -> dict[str, Any] | None:
    """Measure a model, or plan it."""
    from medvl.cli import measure, stages

    check_targets(config)
    folders = [config.trained, *([config.untrained] if config.untrained else [])]
    if config.dry_run:
        missing = [*stages.missing_roots(config), *(f for f in folders if not Path(f).is_dir())]
        return app.show_plan(config, {"folder": str(run_folder(config, "evaluate")), "missing": missing})
    prepared = stages.prepared(config)
    untrained = Path(config.untrained) if config.untrained else None
    measurement = measure.Measurement(config, prepared, splits=config.split, model=Path(config.trained), untrained=untrained)
    return measure.leave_results([measurement.run(config.benchmark)], config, run_folder(config, "evaluate"))
