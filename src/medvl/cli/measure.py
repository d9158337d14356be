"""Measuring a trained model: benchmarks over a prepared dataset, their files, and a table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medvl.benchmarks import results
from medvl.benchmarks.phrase_grounding import PhraseGrounding
from medvl.benchmarks.results import Evaluation
from medvl.data import ms_cxr
from medvl.data.prepared import PreparedDataset
from medvl.models.checkpoints import load_image_text
from medvl.records import Study
from medvl.runtime.config import instantiate
from medvl.runtime.files import write_json, write_text
from medvl.runtime.provenance import provenance

VALIDATION_SPLITS = ("validate", "validation", "val")  # MIMIC-CXR's name, PadChest-GR's, MS-CXR's


class Measurement:
    """A trained model, and the same before training, on some splits of a prepared dataset.

    Args:
        config: with ``data``.
        prepared: the prepared dataset.
        splits: names of splits.
        model, untrained: folders of the trained model and of the one to compare with.
    """

    def __init__(self, config: DictConfig, prepared: Path, *, splits: Sequence[str], model: Path, untrained: Path | None) -> None:
        self.config = config
        self.images = PreparedDataset(prepared)
        self.studies = [study for study in self.images.studies if study.split in splits]
        self.validation = [study for study in self.images.studies if study.split in VALIDATION_SPLITS]
        self.trained = load_image_text(model)
        self.untrained = load_image_text(untrained) if untrained else None

    def run(self, node: DictConfig) -> Evaluation:
        """Run one benchmark."""
        benchmark = instantiate(node)
        if not isinstance(benchmark, PhraseGrounding):
            return benchmark.evaluate(self.trained, self.images, self.studies, untrained=self.untrained)
        validation = self.grounded(self.validation) or None
        return benchmark.evaluate(self.trained, self.images, self.grounded(self.studies), untrained=self.untrained, validation=validation)

    def grounded(self, studies: Sequence[Study]) -> list[Study]:
        """The MS-CXR annotations of the given studies' patients; the studies themselves where the dataset brings its own phrases."""
        if self.config.data.ms_cxr is None:
            return list(studies)
        patients = {study.patient_id for study in studies}
        annotated = ms_cxr.read_studies(Path(self.config.data.ms_cxr), privacy=self.config.data.privacy)
        return [study for study in annotated if study.patient_id in patients]


def leave_results(evaluations: Sequence[Evaluation], config: DictConfig, folder: Path) -> dict[str, Any]:
    """Write results, tables, predictions, configuration and provenance to a folder; print the headline figures."""
    results.write(folder, evaluations)
    write_text(folder / "config.yaml", OmegaConf.to_yaml(config))
    if not (folder / "provenance.json").exists():
        write_json(folder / "provenance.json", provenance(seed=config.seed))
    found = results.results(evaluations)
    if not config.json:
        print_headlines(found, folder)
    return found


def print_headlines(found: dict[str, Any], folder: Path) -> None:
    """The headline figures as a table, trained beside untrained."""
    from rich.console import Console
    from rich.table import Table

    table = Table("metric", "value", "95 % interval", "untrained", "n", box=None)
    for name, entry in found["metrics"].items():
        before = entry.get("untrained")
        beside = f"{_number(before['value'])} {_interval(before)}" if before else ""
        table.add_row(name, _number(entry["value"]), _interval(entry), beside, str(entry["n"]))
    console = Console()
    console.print(table)
    console.print(f"Everything is in {folder}", highlight=False)


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _interval(entry: dict[str, Any]) -> str:
    return "" if entry["ci_low"] is None else f"[{entry['ci_low']:.3f}, {entry['ci_high']:.3f}]"
