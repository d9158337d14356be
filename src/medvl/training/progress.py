"""How far training is: one bar over the run's steps with the losses, on the standard error stream."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class StepProgress(Callback):
    """A bar over ``max_steps``; starts where a resumed run is."""

    def __init__(self) -> None:
        columns = (TextColumn("train"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task("")

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Show the bar."""
        if trainer.is_global_zero:
            self._bar.update(self._task, total=trainer.max_steps, completed=trainer.global_step)
            self._bar.start()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Advance, with the losses logged so far."""
        losses = [f"{name} {float(v):.3f}" for name, v in trainer.callback_metrics.items() if name in ("train/loss", "val/loss")]
        self._bar.update(self._task, completed=trainer.global_step, description="  ".join(losses))

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Leave the bar as it is."""
        self._bar.stop()

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Leave the bar as it is."""
        self._bar.stop()
