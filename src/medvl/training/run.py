"""One training run, from a configuration to a folder: resumes where it was, keeps the best model, stops in good order.

The folder (see the plan of the house): ``config.yaml``, ``provenance.json``, ``tokenizer.json``, ``log.csv``, ``checkpoints/last.ckpt``,
``untrained/`` and ``model/`` (safetensors + config + tokenizer), and ``training.json`` once the run is complete.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from omegaconf import DictConfig, OmegaConf
from tokenizers import Tokenizer

from medvl.data.module import RadiographDataModule
from medvl.data.samples import ImageTextSamples
from medvl.models.checkpoints import save_image_text
from medvl.models.image_text import ImageTextModel
from medvl.models.tokenizer import train_wordpiece
from medvl.runtime.config import instantiate
from medvl.runtime.files import write_json, write_text
from medvl.runtime.provenance import provenance
from medvl.runtime.signals import StopRequest
from medvl.training.checkpoints import AtomicCheckpointIO, BestModel, ResumePoint
from medvl.training.image_text import ImageTextTraining
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
    model.set_tokenizer(_tokenizer(folder, batches, config.model.vocabulary_size))
    _describe(config, folder, batches, model)
    module = instantiate(config.training, model=model)
    with StopRequest() as stop:
        best = BestModel(_export_to(folder / "model"), metric=config.validation.watch, higher_is_better=config.validation.higher_is_better)
        resume = ResumePoint(folder / "checkpoints" / "last.ckpt", every_steps=config.checkpoint.every_steps, stop=stop)
        trainer = _trainer(config, folder, [CsvLog(folder / "log.csv"), StepProgress(), best, resume])
        _fit(trainer, module, batches, resume.path)
    run = TrainedRun(folder, not resume.stopped, trainer.global_step, best.step, best.value)
    if run.complete and trainer.is_global_zero:
        write_json(
            folder / "training.json", {"schema_version": 1, "step": run.step, "best_step": run.best_step, "best_value": run.best_value}
        )
    return run


def _fit(trainer: Trainer, module: LightningModule, batches: RadiographDataModule, checkpoint: Path) -> None:
    trainer.fit(module, datamodule=batches, ckpt_path=str(checkpoint) if checkpoint.exists() else None, weights_only=True)


def _trainer(config: DictConfig, folder: Path, callbacks: list[Any]) -> Trainer:
    logger = instantiate(config.logger, save_dir=str(folder), id=folder.name) if config.logger else False
    return instantiate(config.trainer)(
        max_steps=config.training.steps,
        max_epochs=-1,
        val_check_interval=config.validation.every_steps,
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


def _tokenizer(folder: Path, batches: RadiographDataModule, size: int) -> Tokenizer:
    """The run's vocabulary: made of the training texts once, then read back, so that a resumed run has the same."""
    path = folder / "tokenizer.json"
    if not path.exists():
        write_text(path, train_wordpiece(_training_texts(batches), size).to_str())
    return Tokenizer.from_file(str(path))


def _training_texts(batches: RadiographDataModule) -> Iterator[str]:
    samples = batches.samples(batches.train_split)
    assert isinstance(samples, ImageTextSamples)
    return samples.texts()


def _describe(config: DictConfig, folder: Path, batches: RadiographDataModule, model: ImageTextModel) -> None:
    """Say what this run is, and keep the model as it was before training, to compare with."""
    write_text(folder / "config.yaml", OmegaConf.to_yaml(config))
    parameters = sum(p.numel() for p in model.parameters())
    facts = provenance(seed=config.seed, data={config.data.name: batches.prepared.fingerprint}, parameters=parameters)
    write_json(folder / "provenance.json", facts)
    if not (folder / "untrained" / "model.safetensors").exists():
        save_image_text(model, folder / "untrained")


def _export_to(folder: Path) -> Any:
    def export(module: LightningModule) -> None:
        assert isinstance(module, ImageTextTraining)
        save_image_text(module.model, folder)

    return export


def _finished(folder: Path) -> TrainedRun | None:
    path = folder / "training.json"
    if not path.exists():
        return None
    facts = json.loads(path.read_text())
    return TrainedRun(folder, True, facts["step"], facts["best_step"], facts["best_value"])
