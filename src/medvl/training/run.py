"""One training run, from a configuration to a folder: resumes where it was, keeps the best model, stops in good order.

The folder (see the plan of the house): ``config.yaml``, ``provenance.json``, ``log.csv``, ``checkpoints/last.ckpt``, ``untrained/`` and
``model/`` (as the family writes them), what else the family keeps, and ``training.json`` once the run is complete.
"""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from omegaconf import DictConfig, OmegaConf

from medvl.data.module import RadiographDataModule
from medvl.runtime.config import instantiate
from medvl.runtime.files import write_json, write_text
from medvl.runtime.provenance import provenance
from medvl.runtime.signals import StopRequest
from medvl.training.checkpoints import AtomicCheckpointIO, BestModel, ResumePoint
from medvl.training.family import ModelTraining
from medvl.training.log import CsvLog
from medvl.training.progress import StepProgress


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A run's outcome; ``complete`` is false if it was asked to stop before its last step."""

    folder: Path
    complete: bool
    step: int
    best_step: int
    best_value: float | None


def train(config: DictConfig, folder: Path) -> TrainedRun:
    """Train, or go on training, the run that a configuration describes.

    Args:
        config: complete and resolved, with ``batches``, ``model``, ``training``, ``trainer``, ``validation``, ``checkpoint``, ``seed``.
        folder: the run's own; ``restart: true`` empties it first.
    """
    if config.restart and folder.exists():
        shutil.rmtree(folder)
    if (done := _finished(folder)) is not None:
        return done
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    torch.manual_seed(config.seed)
    batches: RadiographDataModule = instantiate(config.batches)
    model = instantiate(config.model)
    module: ModelTraining = instantiate(config.training, model=model)
    facts = {"parameters": sum(p.numel() for p in model.parameters()), **module.prepare(folder, batches)}
    _describe(config, folder, batches, module, facts)
    with StopRequest() as stop:
        best = BestModel(folder / "model", metric=config.validation.watch, higher_is_better=config.validation.higher_is_better)
        resume = ResumePoint(folder / "checkpoints" / "last.ckpt", every_steps=config.checkpoint.every_steps, stop=stop)
        trainer = _trainer(config, folder, [CsvLog(folder / "log.csv"), StepProgress(), best, resume])
        _fit(trainer, module, batches, resume.path)
    run = TrainedRun(folder, not resume.stopped, trainer.global_step, best.step, best.value)
    if run.complete and trainer.is_global_zero:
        outcome = {"schema_version": 1, "step": run.step, "best_step": run.best_step, "best_value": run.best_value}
        write_json(folder / "training.json", {**outcome, **module.summary()})
    return run


def _fit(trainer: Trainer, module: ModelTraining, batches: RadiographDataModule, checkpoint: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")  # a teacher is, by design
        trainer.fit(module, datamodule=batches, ckpt_path=str(checkpoint) if checkpoint.exists() else None, weights_only=True)


def _trainer(config: DictConfig, folder: Path, callbacks: list[Any]) -> Trainer:
    logger = instantiate(config.logger, save_dir=str(folder), id=folder.name) if config.logger else False
    validated = min(config.validation.every_steps, config.training.steps)  # a run shorter than that is validated at its end
    return instantiate(config.trainer)(
        max_steps=config.training.steps,
        max_epochs=-1,
        val_check_interval=validated * config.trainer.get("accumulate_grad_batches", 1),  # counted in batches
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        logger=logger,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
        default_root_dir=str(folder),
    )


def _describe(config: DictConfig, folder: Path, batches: RadiographDataModule, module: ModelTraining, facts: dict[str, Any]) -> None:
    """Say what this run is, and keep the model as it was before training, to compare with."""
    write_text(folder / "config.yaml", OmegaConf.to_yaml(config))
    others = [samples.prepared for samples in batches.parts(batches.train_split)[1:]]
    data = {config.data.name: batches.prepared.fingerprint} | {str(other.folder): other.fingerprint for other in others}
    write_json(folder / "provenance.json", provenance(seed=config.seed, data=data, **facts))
    if not (folder / "untrained" / "model.safetensors").exists():
        module.export(folder / "untrained")


def _finished(folder: Path) -> TrainedRun | None:
    path = folder / "training.json"
    if not path.exists():
        return None
    facts = json.loads(path.read_text())
    return TrainedRun(folder, True, facts["step"], facts["best_step"], facts["best_value"])
