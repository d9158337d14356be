"""Measuring a trained model: benchmarks over a prepared dataset, their files, and a table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medvl.benchmarks import results
from medvl.benchmarks.entailment import EntailmentFineTuning
from medvl.benchmarks.features import ImageEncoder
from medvl.benchmarks.findings_task import Splits
from medvl.benchmarks.phrase_grounding import PhraseGrounding
from medvl.benchmarks.progression import ProgressionClassification
from medvl.benchmarks.progression_pairs import PairSplits
from medvl.benchmarks.report_retrieval import ReportRetrieval
from medvl.benchmarks.results import Evaluation
from medvl.benchmarks.retrieval import Retrieval
from medvl.benchmarks.sentence_similarity import SentenceSimilarity
from medvl.benchmarks.zero_shot import ZeroShotClassification
from medvl.cli import stages
from medvl.cli.sources import TRAIN_SPLIT, source_folder
from medvl.data import ms_cxr, ms_cxr_t, radnli
from medvl.data.prepared import PreparedDataset
from medvl.data.progression_samples import named_pairs, prepared_pairs
from medvl.models.checkpoints import load_cxr_bert, load_image_text
from medvl.models.cxr_bert import CxrBert
from medvl.models.encoders import load_encoder
from medvl.models.image_text import ImageTextModel
from medvl.records import SentencePair, Study
from medvl.runtime.config import instantiate
from medvl.runtime.files import write_json, write_text
from medvl.runtime.provenance import provenance

VALIDATION_SPLITS = ("validate", "validation", "val")  # MIMIC-CXR's name, PadChest-GR's, MS-CXR's
SENTENCE_PAIRS = {"ms_cxr_t": ms_cxr_t.read_pairs, "radnli": radnli.read_pairs}


class Measurement:
    """A trained model, and the same before training, on some splits of a dataset.

    Args:
        config: with ``data``.
        prepared: the prepared dataset; ``None``: that of ``data``, made or looked for when a benchmark asks for images.
        splits: names of the splits to measure on.
        model, untrained: the trained model and the one to compare with, on disk.
    """

    def __init__(self, config: DictConfig, prepared: Path | None, *, splits: Sequence[str], model: Path, untrained: Path | None) -> None:
        self.config, self.model, self.untrained = config, model, untrained
        self._prepared, self._split_names = prepared, tuple(splits)

    def run(self, node: DictConfig) -> Evaluation:
        """Run one benchmark: what it is says which models and which data it gets."""
        benchmark = instantiate(node)
        match benchmark:
            case SentenceSimilarity() | EntailmentFineTuning():
                text, before = self.text_models
                return benchmark.evaluate(text, self.sentence_pairs(benchmark.source), untrained=before)
            case PhraseGrounding():
                model, untrained = self.image_text_models
                validation = self.grounded(self.splits.validation) or None
                return benchmark.evaluate(model, self.images, self.grounded(self.splits.test), untrained=untrained, validation=validation)
            case ZeroShotClassification() | Retrieval():
                model, untrained = self.image_text_models
                return benchmark.evaluate(model, self.images, self.splits.test, untrained=untrained)
            case ProgressionClassification():
                model, untrained = self.image_text_models
                static = load_image_text(Path(benchmark.static)) if benchmark.static else None
                return benchmark.evaluate(model, self.images, self.progression_pairs, untrained=untrained, static=static)
            case ReportRetrieval():
                model, untrained = self.image_text_models
                return benchmark.evaluate(model, self.images, self.splits, untrained=untrained)
        encoder, untrained_encoder = self.encoders
        return benchmark.evaluate(encoder, self.images, self.splits, untrained=untrained_encoder)

    @cached_property
    def images(self) -> PreparedDataset:
        """The prepared dataset."""
        return PreparedDataset(self._prepared or stages.prepared(self.config))

    @cached_property
    def splits(self) -> Splits:
        """Its studies by what they are for."""
        studies = list(self.images.studies)
        return Splits(
            train=[study for study in studies if study.split == TRAIN_SPLIT],
            validation=[study for study in studies if study.split in VALIDATION_SPLITS],
            test=[study for study in studies if study.split in self._split_names],
        )

    @cached_property
    def image_text_models(self) -> tuple[ImageTextModel, ImageTextModel | None]:
        """The model and the one to compare with, as image-text models."""
        return load_image_text(self.model), load_image_text(self.untrained) if self.untrained else None

    @cached_property
    def text_models(self) -> tuple[CxrBert, CxrBert | None]:
        """The model and the one to compare with, as text models; of image-text models the text half."""
        return load_cxr_bert(self.model), load_cxr_bert(self.untrained) if self.untrained else None

    @cached_property
    def encoders(self) -> tuple[ImageEncoder, ImageEncoder | None]:
        """The model and the one to compare with, as image encoders."""
        return load_encoder(self.model), load_encoder(self.untrained) if self.untrained else None

    def grounded(self, studies: Sequence[Study]) -> list[Study]:
        """The MS-CXR annotations of the given studies' patients; the studies themselves where the dataset brings its own phrases."""
        if self.config.data.ms_cxr is None:
            return list(studies)
        patients = {study.patient_id for study in studies}
        annotated = ms_cxr.read_studies(source_folder(self.config, "ms_cxr"), privacy=self.config.data.privacy)
        return [study for study in annotated if study.patient_id in patients]

    @cached_property
    def progression_pairs(self) -> PairSplits:
        """Training and validation pairs of the prepared dataset, and all of MS-CXR-T's, whatever the splits to measure on; errors as
        ``source_folder``."""
        train = prepared_pairs(self.images, split=TRAIN_SPLIT)
        validation = [pair for split in VALIDATION_SPLITS for pair in prepared_pairs(self.images, split=split)]
        test = ms_cxr_t.read_image_pairs(source_folder(self.config, "ms_cxr_t"), privacy=self.config.data.privacy)
        return PairSplits(train, validation, list(named_pairs(test)))

    def sentence_pairs(self, source: str) -> list[SentencePair]:
        """The sentence pairs of a source, ``ms_cxr_t`` or ``radnli``; no images are needed; errors as ``source_folder``."""
        return list(SENTENCE_PAIRS[source](source_folder(self.config, source), privacy=self.config.data.privacy))


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
    from rich.table import Column, Table

    table = Table(Column("metric", overflow="fold"), "value", "95 % interval", "untrained", "n", box=None)
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
