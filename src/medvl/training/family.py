"""What a run asks of a Lightning module, whatever it trains: to get ready before the first step, and to write the model that is used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule

from medvl.data.module import RadiographDataModule


class ModelTraining(LightningModule, ABC):
    """One family of models: its loss, its optimiser and its files."""

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

    def summary(self) -> dict[str, Any]:
        """Plain values for ``training.json``, once the run is complete."""
        return {}
