"""medvl evaluate benchmark=NAME data=NAME trained=FOLDER|encoder=PATH [untrained=PATH] [split=[test]]

Runs a benchmark: encodes the images of a prepared dataset with a trained model, and leaves `results.json` with confidence intervals,
one row per sample as Parquet, and the predictions as JSON lines in <outputs>/evaluate/. Probes (knn, linear_probe, logistic_regression,
attributes, …) take an image encoder; with `untrained=` another one is measured beside it, and the difference has a paired interval.
Benchmarks of sentence pairs (sentence_similarity, radnli_two_class, radnli_entailment) take a text model, as `trained=`, and no images.

  medvl evaluate benchmark=phrase_grounding data=phantom_quickstart trained=outputs/train/quickstart/model benchmark.crop=160
  medvl evaluate benchmark=sentence_similarity data=ms_cxr_t trained=BiomedVLP-BioViL-T
  medvl evaluate benchmark=linear_probe data=mimic_cxr encoder=dinov2_vitb14_pretrain.pth
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from medvl.cli import app
from medvl.runtime.config import check_targets, instantiate, run_folder
from medvl.runtime.errors import InvalidValue


def main(overrides: list[str]) -> None:
    """Run the verb."""
    app.run("evaluate", task, overrides)


def task(config: DictConfig) -> dict[str, Any] | None:
    """Measure a model, or plan it."""
    from medvl.cli import measure, sources, stages

    check_targets(config)
    model = config.encoder or config.trained
    if model is None or (config.encoder and config.trained):
        raise InvalidValue("medvl evaluate", "trained, encoder", "give one of the two: a trained image-text model or an image encoder")
    if config.dry_run:
        absent = (path for path in (model, config.untrained) if path and not Path(path).exists())
        missing = [*stages.missing_roots(config), *sources.missing_sources(config, [instantiate(config.benchmark)]), *absent]
        return app.show_plan(config, {"folder": str(run_folder(config, "evaluate")), "missing": list(dict.fromkeys(missing))})
    untrained = Path(config.untrained) if config.untrained else None
    measurement = measure.Measurement(config, None, splits=config.split, model=Path(model), untrained=untrained)
    return measure.leave_results([measurement.run(config.benchmark)], config, run_folder(config, "evaluate"))
