"""What a training run keeps: ``last.ckpt`` to resume from and the best model to use, both written atomically.

``last.ckpt`` holds plain containers and tensors only and is loaded with ``weights_only=True``. It is written at fixed steps, and once
more when Ctrl-C or SIGTERM asks the run to stop; the flag is read after a whole step on every rank, never inside a signal handler.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer

from medvl.runtime.errors import InvalidValue, UserError, did_you_mean
from medvl.runtime.files import atomic_path
from medvl.runtime.signals import StopRequest
from medvl.training.family import ModelTraining


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are whole or absent, read without unpickling code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint under a temporary name, flush it, rename it."""
        with atomic_path(Path(path)) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read a checkpoint; tensors land on the CPU.

        Raises:
            InvalidValue: naming the file, if it is not a checkpoint of plain values.
        """
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise InvalidValue(path, "as a whole", "not a checkpoint of tensors and plain values; --restart starts anew") from error


class ResumePoint(Callback):
    """Writes ``last.ckpt`` every so many steps and when asked to stop.

    Attributes:
        stopped: whether the run ended because it was asked to.
    """

    def __init__(self, path: Path, *, every_steps: int, stop: StopRequest) -> None:
        self.path, self.every_steps, self.stop, self.stopped = path, every_steps, stop, False

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save after a whole step; the request to stop is shared, so that all ranks stop at the same step."""
        self.stopped = bool(trainer.strategy.broadcast(self.stop.requested))
        if self.stopped:
            trainer.should_stop = True
        if self.stopped or trainer.global_step % self.every_steps == 0:
            trainer.save_checkpoint(self.path)


class BestModel(Callback):
    """Exports the model whenever the watched validation metric improves; its state travels in the checkpoint."""

    def __init__(self, folder: Path, *, metric: str, higher_is_better: bool) -> None:
        self.folder, self.metric, self.higher_is_better = folder, metric, higher_is_better
        self.value: float | None = None
        self.step = 0

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Compare and, if better, export.

        Raises:
            UserError: if the watched metric was not measured.
        """
        if self.metric not in trainer.callback_metrics:
            measured = [name for name in trainer.callback_metrics if name.startswith("val/")]
            raise UserError(f"validation.watch={self.metric} is not measured{did_you_mean(self.metric, measured)}")
        value = float(trainer.callback_metrics[self.metric])
        if self.value is not None and (value <= self.value if self.higher_is_better else value >= self.value):
            return
        self.value, self.step = value, trainer.global_step
        assert isinstance(module, ModelTraining)
        module.export(self.folder)

    def state_dict(self) -> dict[str, Any]:
        """The best value so far and its step."""
        return {"value": self.value, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a resumed run's best value."""
        self.value, self.step = state["value"], state["step"]
