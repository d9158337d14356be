"""What benchmarks read beside the prepared dataset: boxes of MS-CXR, pairs of MS-CXR-T, sentences of RadNLI, a model to compare with.

``data`` names the datasets' folders. ``medvl train`` looks for everything before it starts, for its benchmarks run at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def chosen_benchmarks(config: DictConfig) -> list[Any]:
    """The benchmarks that a training runs at its end, built."""
    return [instantiate(node) for node in (config.benchmarks or {}).values() if node is not None]


def require_sources(config: DictConfig, benchmarks: Sequence[Any]) -> None:
    """Check that what benchmarks read beside the prepared dataset is there, before hours of training.

    Raises:
        InvalidValue, MissingFile: as ``source_folder``; naming the model of single films that progression is compared with.
    """
    for source in benchmark_sources(config, benchmarks):
        source_folder(config, source)
    for folder in _missing_models(benchmarks):
        raise MissingFile(Path(folder), "Set benchmarks.progression.static to the folder of a trained model, or to null")


def require_training_pairs(benchmarks: Sequence[Any], prepared: Path) -> None:
    """Check that the films with a known change that a progression protocol learns from were prepared, before hours of training.

    Raises:
        NoProgressionPairs: if there is none.
    """
    wanting = [b for b in benchmarks if isinstance(b, ProgressionClassification) and b.protocol.needs_training_pairs]
    if wanting and not prepared_pairs(PreparedDataset(prepared), split=TRAIN_SPLIT):
        raise NoProgressionPairs(
            f"{prepared} has no training study with a known change, which protocol {wanting[0].protocol.name} learns from: add "
            f"Chest ImaGenome (data.annotations.chest_imagenome.root=…) and prepare again, or leave it out: benchmarks.progression=null"
        )


def missing_sources(config: DictConfig, benchmarks: Sequence[Any]) -> list[str]:
    """What ``require_sources`` would miss: folders, or keys that name none; no dataset of the phantom, which is made when missing."""
    folders = {source: config.data.get(source) for source in benchmark_sources(config, benchmarks)}
    absent = [
        folder or f"data.{source}" for source, folder in folders.items() if not (folder and (config.data.cohort or Path(folder).exists()))
    ]
    return [*absent, *_missing_models(benchmarks)]


def benchmark_sources(config: DictConfig, benchmarks: Sequence[Any]) -> list[str]:
    """The keys of ``data`` that name the other datasets of these benchmarks."""
    return list(dict.fromkeys(source for benchmark in benchmarks for source in _sources(benchmark, config)))


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


def _missing_models(benchmarks: Sequence[Any]) -> list[str]:
    """Folders of models of single films that are not there."""
    given = [benchmark.static for benchmark in benchmarks if isinstance(benchmark, ProgressionClassification) and benchmark.static]
    return [folder for folder in given if not Path(folder).exists()]


def _sources(benchmark: Any, config: DictConfig) -> tuple[str, ...]:
    match benchmark:
        case SentenceSimilarity() | EntailmentFineTuning():
            return (benchmark.source,)
        case ProgressionClassification():
            return ("ms_cxr_t",)
        case PhraseGrounding() if config.data.ms_cxr is not None:
            return ("ms_cxr",)
    return ()
