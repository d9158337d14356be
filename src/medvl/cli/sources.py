"""The datasets that benchmarks read beside the prepared one: boxes of MS-CXR, pairs of MS-CXR-T, sentences of RadNLI.

``data`` names their folders. ``medvl train`` looks for all of them before it starts, for its benchmarks run at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from medvl.benchmarks.entailment import EntailmentFineTuning
from medvl.benchmarks.phrase_grounding import PhraseGrounding
from medvl.benchmarks.progression import ProgressionClassification
from medvl.benchmarks.progression_pairs import NoProgressionPairs
from medvl.benchmarks.sentence_similarity import SentenceSimilarity
from medvl.cli import stages
from medvl.data.prepared import PreparedDataset
from medvl.data.progression_samples import prepared_pairs
from medvl.runtime.config import instantiate
from medvl.runtime.errors import InvalidValue, MissingFile

TRAIN_SPLIT = "train"


def require_sources(config: DictConfig, benchmarks: Iterable[DictConfig | None]) -> None:
    """Check that the folders of benchmarks are there, before hours of training; errors as ``source_folder``."""
    for source in benchmark_sources(config, benchmarks):
        source_folder(config, source)


def require_training_pairs(config: DictConfig, benchmarks: Iterable[DictConfig | None], prepared: Path) -> None:
    """Check that the films with a known change that a progression protocol learns from were prepared, before hours of training.

    Raises:
        NoProgressionPairs: if there is none.
    """
    chosen = [instantiate(node) for node in benchmarks if node is not None]
    wanting = [b for b in chosen if isinstance(b, ProgressionClassification) and b.protocol.needs_training_pairs]
    if wanting and not prepared_pairs(PreparedDataset(prepared), split=TRAIN_SPLIT):
        raise NoProgressionPairs(
            f"{prepared} has no training study with a known change, which protocol {wanting[0].protocol.name} learns from: add "
            f"Chest ImaGenome (data.annotations.chest_imagenome.root=…) and prepare again, or leave it out: benchmarks.progression=null"
        )


def missing_sources(config: DictConfig, benchmarks: Iterable[DictConfig | None]) -> list[str]:
    """The folders that ``require_sources`` would miss, or the keys that name none; none for the phantom, which is made when missing."""
    folders = {source: config.data.get(source) for source in benchmark_sources(config, benchmarks)}
    return [
        folder or f"data.{source}" for source, folder in folders.items() if not (folder and (config.data.cohort or Path(folder).exists()))
    ]


def benchmark_sources(config: DictConfig, benchmarks: Iterable[DictConfig | None]) -> list[str]:
    """The keys of ``data`` that name the other datasets of these benchmarks."""
    found = [_sources(instantiate(node), config) for node in benchmarks if node is not None]
    return list(dict.fromkeys(source for sources in found for source in sources))


def source_folder(config: DictConfig, source: str) -> Path:
    """The folder that ``data`` names for another dataset; the phantom's is made when missing.

    Raises:
        InvalidValue: if it names none.
        MissingFile: if the folder is not there.
    """
    data = config.data
    without = ", or leave out the benchmark that reads it: benchmarks.NAME=null" if config.get("benchmarks") else ""
    if data.get(source) is None:
        raise InvalidValue(f"data={data.name}", source, f"names no folder of such pairs; set data.{source}=…{without}")
    if data.cohort:
        stages.make_cohort(data.cohort, Path(data.root))
    if not Path(data[source]).exists():
        raise MissingFile(Path(data[source]), f"Set data.{source}=… or MEDVL_DATA; see data_cards/{source}.md{without}")
    return Path(data[source])


def _sources(benchmark: Any, config: DictConfig) -> tuple[str, ...]:
    match benchmark:
        case SentenceSimilarity() | EntailmentFineTuning():
            return (benchmark.source,)
        case ProgressionClassification():
            return ("ms_cxr_t",)
        case PhraseGrounding() if config.data.ms_cxr is not None:
            return ("ms_cxr",)
    return ()
