"""``log.csv``: one row per logged value (step, name, value), kept whole through stops and resumes."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from medvl.runtime.files import write_text

HEADER = ("step", "name", "value")


class CsvLog(Callback):
    """Collects training metrics every few steps and validation metrics always; rewrites the file at each validation and at the end."""

    def __init__(self, path: Path, *, every_steps: int = 10) -> None:
        self.path, self.every_steps = path, every_steps
        self.rows: list[tuple[int, str, float]] = []

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Note the training metrics."""
        if trainer.global_step % self.every_steps == 0:
            self._note(trainer, "train/")

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Note the validation metrics and write."""
        self._note(trainer, "val/")
        self._write(trainer)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write what is left."""
        self._write(trainer)

    def state_dict(self) -> dict[str, Any]:
        """All rows up to the checkpoint's step."""
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to the rows of the checkpoint, so that no step stands twice."""
        self.rows = [tuple(row) for row in state["rows"]]

    def _note(self, trainer: Trainer, prefix: str) -> None:
        values = {name: float(v) for name, v in trainer.callback_metrics.items() if name.startswith(prefix)}
        self.rows += [(trainer.global_step, name, value) for name, value in sorted(values.items())]

    def _write(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            write_text(self.path, _as_csv(self.rows))


def read_log(path: Path) -> dict[str, list[tuple[int, float]]]:
    """The curves of a ``log.csv``: name → (step, value) in order."""
    curves: dict[str, list[tuple[int, float]]] = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            curves.setdefault(row["name"], []).append((int(row["step"]), float(row["value"])))
    return curves


def _as_csv(rows: list[tuple[int, str, float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows((step, name, f"{value:.6g}") for step, name, value in rows)
    return text.getvalue()
