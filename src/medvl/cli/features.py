"""medvl features data=NAME encoder=PATH [encoding.crop=518] [layers=[-1]] [poolings=[cls,mean]] [split=null] [views=frontal]

Encodes the images of a prepared dataset with a frozen encoder into one Parquet table: a row per image with its identifiers and split, a
column of float32 vectors for each layer and pooling. The table says in its metadata which encoder and crop made it and what may leave
the machine.

  medvl features data=phantom_quickstart encoder=outputs/train/rad_dino/model encoding.crop=112
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medvl.cli import app
from medvl.runtime.config import check_targets, instantiate, run_folder


def main(overrides: list[str]) -> None:
    """Run the verb."""
    app.run("features", task, overrides)


def task(config: DictConfig) -> dict[str, Any] | None:
    """Extract features, or plan it."""
    from medvl.cli import stages

    check_targets(config)
    folder = run_folder(config, "features")
    if config.dry_run:
        missing = [*stages.missing_roots(config), *([] if Path(config.encoder).exists() else [config.encoder])]
        return app.show_plan(config, {"folder": str(folder), "missing": missing})
    return _extract(config, stages.prepared(config), folder)


def _extract(config: DictConfig, prepared: Path, folder: Path) -> dict[str, Any]:
    from medvl.benchmarks.feature_table import write_features
    from medvl.data.prepared import PreparedDataset
    from medvl.models.encoders import load_encoder
    from medvl.runtime.files import write_json, write_text
    from medvl.runtime.provenance import provenance

    images = PreparedDataset(prepared)
    path = folder / "features.parquet"
    rows = write_features(
        path,
        load_encoder(Path(config.encoder)),
        images,
        instantiate(config.encoding),
        layers=config.layers,
        poolings=config.poolings,
        splits=config.split,
        views=config.views,
        encoder_name=str(config.encoder),
    )
    write_text(folder / "config.yaml", OmegaConf.to_yaml(config))
    write_json(folder / "provenance.json", provenance(seed=config.seed, data={config.data.name: images.fingerprint}))
    if not config.json:
        print(f"{rows} images in {path}")
    return {"features": str(path), "images": rows}
