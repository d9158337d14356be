"""The data scaling study behind `medvl train experiment=scaling_laws`: trains its points, probes them, fits and draws the curves.

A point is a paradigm, a nested subset of the training patients and a seed. It is a training run like any other, with a folder of its own
that is kept, and its probes' results stand in that folder; so a stopped study goes on where it was, and a study with one more size or seed
trains what is new. The study's folder has `results.json`, `scaling.csv`, `scaling.png` and `scaling.svg`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from omegaconf import DictConfig, OmegaConf, open_dict

from medvl.benchmarks import results
from medvl.benchmarks.scaling import ScalingPoint, scaling_results
from medvl.cli import stages
from medvl.cli.measure import Measurement
from medvl.cli.sources import TRAIN_SPLIT
from medvl.data.prepared import PreparedDataset
from medvl.data.subsets import PatientSubset
from medvl.runtime.config import identity, run_folder
from medvl.runtime.files import write_json, write_text
from medvl.runtime.provenance import provenance
from medvl.runtime.signals import INTERRUPTED
from medvl.training.run import train
from medvl.viewer.scaling_plot import write_scaling_plot

EVALUATION_SPLITS = ("test", "evaluation")
OF_A_PARADIGM = ("model", "batches", "training", "trainer", "validation")


class Run(NamedTuple):
    """A point to be trained."""

    paradigm: str
    seed: int
    size: float
    studies: int
    patients: int
    config: DictConfig
    folder: Path


def run_study(config: DictConfig) -> dict[str, Any]:
    """Train and probe every point of a study that is not done, and write what they show together."""
    prepared, folder = stages.prepared(config), run_folder(config, "train")
    runs = list(planned(config, PreparedDataset(prepared)))
    points: list[ScalingPoint] = []
    for number, run in enumerate(runs, start=1):
        print(f"point {number} of {len(runs)}: {run.paradigm}, {run.studies} studies, seed {run.seed} ({run.folder})", file=sys.stderr)
        trained = train(run.config, run.folder)
        if not trained.complete:
            print(f"stopped at step {trained.step}; the same command goes on from there", file=sys.stderr)
            sys.exit(INTERRUPTED)
        if not any((point.paradigm, point.seed) == (run.paradigm, run.seed) for point in points):
            points.append(ScalingPoint(run.paradigm, 0, 0, 0, run.seed, _scores(config, run, prepared, "untrained")))
        scores = _scores(config, run, prepared, "model")
        points.append(ScalingPoint(run.paradigm, run.size, run.studies, run.patients, run.seed, scores))
    return _write(config, folder, runs, points, PreparedDataset(prepared).fingerprint)


def planned(config: DictConfig, prepared: PreparedDataset) -> Iterator[Run]:
    """The points of a study, seed by seed, paradigm by paradigm, from the smallest subset; every seed has subsets of its own.

    Sizes that mean the same patients count once.
    """
    training = Counter(p for p, split in zip(prepared.column("patient_id"), prepared.column("split"), strict=True) if split == TRAIN_SPLIT)
    study = config.study
    for seed in study.seeds:
        subsets = [PatientSubset(size, study.subset_seed + seed) for size in study.sizes]
        chosen = {len(patients): (subset, patients) for subset in reversed(subsets) if (patients := subset.patients(training))}
        for paradigm in study.paradigms:
            for count, (subset, patients) in sorted(chosen.items()):
                point = point_config(config, str(paradigm), subset, seed)
                studies = sum(training[p] for p in patients)
                yield Run(str(paradigm), seed, subset.size, studies, count, point, run_folder(point, "train"))


def point_config(config: DictConfig, paradigm: str, subset: PatientSubset, seed: int) -> DictConfig:
    """The configuration of one training run: the study's, with what the paradigm says instead, for one subset and seed."""
    point = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    assert isinstance(point, DictConfig)
    with open_dict(point):
        for part in OF_A_PARADIGM:
            if part in point.study.paradigms[paradigm]:
                point[part] = point.study.paradigms[paradigm][part]
        point.batches.patients = {"_target_": "medvl.data.subsets.PatientSubset", "size": subset.size, "seed": subset.seed}
        point.seed = point.batches.seed = point.training.seed = seed
        point.name, point.study, point.benchmarks = f"{config.name}-{paradigm}", None, {}
    return point


def _scores(config: DictConfig, run: Run, prepared: Path, model: str) -> dict[str, pd.DataFrame]:
    """Task → the probe's scores of one of a run's two models, from the run's folder if they were computed before."""
    measurement = Measurement(run.config, prepared, splits=EVALUATION_SPLITS, model=run.folder / model, untrained=None)
    found = {}
    for task, node in config.study.tasks.items():
        probe = node.copy()
        probe.task.encoding.crop = run.config.batches.crop  # each encoder is probed at the size it was trained at
        folder = run.folder / "probes" / f"{model}-{task}-{identity(probe)}"
        if not (folder / "results.json").exists():
            results.write(folder, [measurement.run(probe)])
        found[str(task)] = pd.read_parquet(folder / "linear_probe_scores.parquet")
    return found


def _write(config: DictConfig, folder: Path, runs: list[Run], points: list[ScalingPoint], fingerprint: str) -> dict[str, Any]:
    macro_over = {str(task): node.task.macro_over for task, node in config.study.tasks.items()}
    found = scaling_results(points, macro_over=macro_over, replicates=config.study.replicates, seed=config.seed)
    found["runs"] = [{name: str(value) for name, value in run._asdict().items() if name != "config"} for run in runs]
    table = scaling_table(found)
    write_text(folder / "config.yaml", OmegaConf.to_yaml(config))
    write_json(folder / "provenance.json", provenance(seed=config.seed, data={config.data.name: fingerprint}))
    write_text(folder / "scaling.csv", table.to_csv(index=False))
    write_scaling_plot(folder / "scaling", found["curves"], metric=found["metric"])
    write_json(folder / "results.json", found)
    if not config.json:
        _print(found, table, folder)
    return found


def scaling_table(found: dict[str, Any]) -> pd.DataFrame:
    """One row per task, paradigm and size, the encoder before training first."""
    columns = ("studies", "patients", "value", "ci_low", "ci_high")
    rows = [
        {"task": task, "paradigm": paradigm, **{name: entry[name] for name in columns}}
        for task, paradigms in found["curves"].items()
        for paradigm, curve in paradigms.items()
        for entry in ([curve["start"]] if curve["start"] else []) + curve["points"]
    ]
    return pd.DataFrame(rows)


def _print(found: dict[str, Any], table: pd.DataFrame, folder: Path) -> None:
    print(table.to_string(index=False, float_format="%.3f"))
    for task, paradigms in found["curves"].items():
        for paradigm, curve in paradigms.items():
            shape = "monotone within its interval" if curve["monotone_within_interval"] else "not monotone"
            law = curve["power_law"]
            fitted = "too few sizes for a power law" if law is None else " ".join(f"{name} {_with_interval(law[name])}" for name in "abc")
            print(f"{task}, {paradigm}: {shape}; {fitted}")
    print(f"Everything is in {folder}")


def _with_interval(entry: dict[str, Any]) -> str:
    bounds = "" if entry["ci_low"] is None else f" [{entry['ci_low']:.3g}, {entry['ci_high']:.3g}]"
    return f"{entry['value']:.3g}{bounds}"
