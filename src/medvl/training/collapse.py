"""Collapse of self-distillation, seen early: the teacher says the same of every image.

Two figures in units of ln K show it (Caron et al. 2021, section 5.3): the entropy of the teacher's targets, and that of their mean. A
uniform collapse has both at 1, and the loss stands still at ln K; a collapse to one prototype has both at 0. Smoothed over some steps, so
that one odd batch does not warn.
"""

from __future__ import annotations

import sys
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console

Collapse = Literal["uniform", "point"]
ADVICE = {
    "uniform": "its outputs are uniform and the loss stands at ln K. Lower the teacher's temperature, use Sinkhorn centring, fewer"
    " prototypes, batch normalisation in the head, larger crops or a larger batch",
    "point": "all images fall on a few prototypes. Use Sinkhorn centring or a smaller centre momentum, a higher teacher temperature, a"
    " lower learning rate, or freeze the last layer for longer",
}


class CollapseAlarm(Callback):
    """Watches the teacher's entropies and says once, on the error stream, what is wrong and what to do.

    Args:
        after: optimiser steps before the first warning; at the start all outputs are alike.
        uniform: warn when the smoothed entropy of the targets is above this, in units of ln K.
        point: warn when the smoothed entropy of the mean target is below this.
        smoothing: weight of the past in the moving averages.

    Attributes:
        warned: kind of collapse → step of the first warning.
    """

    def __init__(self, *, after: int, uniform: float = 0.99, point: float = 0.1, smoothing: float = 0.8) -> None:
        self.after, self.uniform, self.point, self.smoothing = after, uniform, point, smoothing
        self.warned: dict[str, int] = {}
        self._entropy: float | None = None
        self._mean_entropy: float | None = None

    def observe(self, step: int, entropy: float, mean_entropy: float) -> Collapse | None:
        """Note a step's figures, both in units of ln K; returns the collapse that shows for the first time, if one does."""
        self._entropy, self._mean_entropy = self._average(self._entropy, entropy), self._average(self._mean_entropy, mean_entropy)
        found: Collapse | None = None
        if self._entropy > self.uniform:
            found = "uniform"
        elif self._mean_entropy < self.point:
            found = "point"
        if step < self.after or found is None or found in self.warned:
            return None
        self.warned[found] = step
        return found

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Observe the step."""
        metrics = trainer.callback_metrics
        found = self.observe(trainer.global_step, float(metrics["train/teacher_entropy"]), float(metrics["train/mean_entropy"]))
        if found is not None and trainer.is_global_zero:
            text = f"step {trainer.global_step}: the teacher is collapsing ({found}): {ADVICE[found]}."
            Console(file=sys.stderr, soft_wrap=True).print(text, style="bold red", highlight=False)

    def state_dict(self) -> dict[str, Any]:
        """The averages and what was said."""
        return {"warned": dict(self.warned), "entropy": self._entropy, "mean_entropy": self._mean_entropy}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue a resumed run's watch."""
        self.warned, self._entropy, self._mean_entropy = dict(state["warned"]), state["entropy"], state["mean_entropy"]

    def _average(self, past: float | None, value: float) -> float:
        return value if past is None else self.smoothing * past + (1 - self.smoothing) * value
