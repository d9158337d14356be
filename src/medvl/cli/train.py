"""medvl train experiment=NAME [data=NAME] [seed=0] [training.steps=…] [trainer=auto|ddp] [logger=wandb]

Trains a model, keeps the best by validation, and measures it with the experiment's benchmarks. The same command resumes a stopped run;
`--restart` starts anew. `--dry-run` composes, builds the model without memory, counts its parameters and lists what is missing.
`outputs/train/NAME` leads to the latest run of that name.

  medvl train experiment=quickstart
  medvl train experiment=quickstart data=mimic_cxr
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from medvl.cli import app
from medvl.runtime.config import check_targets, instantiate, on_meta, run_folder
from medvl.runtime.files import write_json
from medvl.runtime.latest import link_latest
from medvl.runtime.signals import INTERRUPTED

if TYPE_CHECKING:
    from torch.nn import Module

EVALUATION_SPLITS = ("test", "evaluation")
MOMENTS = 2  # that AdamW, the optimiser of every experiment, keeps of each parameter it moves


def main(overrides: list[str]) -> None:
    """Run the verb."""
    app.run("train", task, overrides)


def task(config: DictConfig) -> dict[str, Any] | None:
    """Train and measure, or plan it."""
    check_targets(config)
    if config.dry_run:
        return plan(config)
    return _study(config) if config.study else _train(config)


def plan(config: DictConfig) -> dict[str, Any]:
    """What the run would be: parameters, steps, missing folders, disk, and memory as far as it is known before a step.

    ``state_bytes`` is what is trained, whole, in one process (FSDP shares it out). Activations come on top: they depend on precision,
    kernels and compilation, and are found by trying the batch.
    """
    from medvl.cli import sources, stages

    with on_meta():
        model = instantiate(config.model)
        module = instantiate(config.training, model=model)
    parameters = sum(p.numel() for p in model.parameters())
    disk = stages.cache_bytes(config) + (stages.cohort_bytes(config.data.cohort) if config.data.cohort else 0)
    others = sources.missing_sources(config, sources.chosen_benchmarks(config))
    joined = [folder for folder in config.batches.get("also") or () if not Path(folder).exists()]
    return app.show_plan(
        config,
        {
            "folder": str(run_folder(config, "train")),
            "parameters": parameters,
            "steps": config.training.steps,
            "missing": list(dict.fromkeys([*stages.missing_roots(config), *joined, *others])),
            "disk_bytes": disk + 6 * 4 * parameters,
            "state_bytes": _state_bytes(module),
        },
    )


def _state_bytes(module: Module) -> int:
    """Weights, gradients and the optimiser's moments; of what is frozen (a teacher, a part that no loss reaches) the weights alone."""
    kept = {True: 2 + MOMENTS, False: 1}
    weights = sum(p.numel() * p.element_size() * kept[p.requires_grad] for p in module.parameters())
    return weights + sum(b.numel() * b.element_size() for b in module.buffers())


def _study(config: DictConfig) -> dict[str, Any]:
    from medvl.cli.scaling import run_study

    return run_study(config)


def _train(config: DictConfig) -> dict[str, Any] | None:
    from medvl.cli import sources, stages
    from medvl.training.run import train

    benchmarks = sources.chosen_benchmarks(config)
    sources.require_sources(config, benchmarks)
    sources.require_training_pairs(benchmarks, stages.prepared(config))
    folder = run_folder(config, "train")
    run = train(config, folder)
    if not run.complete:
        print(f"stopped at step {run.step}; the same command goes on from there ({folder})", file=sys.stderr)
        sys.exit(INTERRUPTED)
    link_latest(folder)
    return _measure(config, folder) if config.benchmarks else {"folder": str(folder), "step": run.step}


def _measure(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Run the experiment's benchmarks on the best model; leave results, and the page if one is asked for."""
    from medvl.cli.measure import Measurement, leave_results
    from medvl.cli.run_page import write_run_page
    from medvl.viewer.measures import what_was_learned

    model, untrained = folder / "model", folder / "untrained"
    measurement = Measurement(config, Path(config.data.prepared), splits=EVALUATION_SPLITS, model=model, untrained=untrained)
    evaluations = [measurement.run(node) for node in config.benchmarks.values() if node is not None]
    found = leave_results(evaluations, config, folder)
    if config.page:
        page = Path(config.page)
        write_run_page(page / "index.html", config, folder, evaluations, measurement)
        write_json(page / "results.json", found)
        if not config.json:
            print("\n".join([*what_was_learned(found), f"The page: {page / 'index.html'}"]))
    return found
