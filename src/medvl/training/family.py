"""What a run asks of a Lightning module, whatever it trains: to get ready before the first step, to draw alike wherever a run is stopped
and resumed, and to write the model that is used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule

from medvl.data.module import RadiographDataModule
from medvl.runtime.distributed import rank


class ModelTraining(LightningModule, ABC):
    """One family of models: its loss, its optimiser and its files.

    Attributes:
        seed: of every draw.
    """

    seed: int

    @abstractmethod
    def prepare(self, folder: Path, batches: RadiographDataModule) -> dict[str, Any]:
        """Get ready before the first step: whatever the model takes from the training data, or from another checkpoint.

        Called at the start of every run, resumed ones as well; what is costly or drawn is written to ``folder`` once and read back.

        Returns:
            Plain values for the run's provenance.
        """

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the model that is used after training, each file atomically, ``model.safetensors`` last.

        Called by all processes, because parameters may be sharded over them; the first one writes.
        """

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed torch for this batch: dropout and stochastic depth are functions of (seed, step) and differ between processes."""
        draw = np.random.SeedSequence([self.seed, self.global_step, batch_idx % self.trainer.accumulate_grad_batches, rank()])
        torch.manual_seed(int(draw.generate_state(1)[0]))

    def summary(self) -> dict[str, Any]:
        """Plain values for ``training.json``, once the run is complete."""
        return {}
