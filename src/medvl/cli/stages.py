"""The stages that verbs share: the phantom's cohort, the prepared dataset, and what is missing before they can run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medvl.records import Study
from medvl.runtime.config import instantiate
from medvl.runtime.errors import MissingFile

BYTES_PER_FILM_PIXEL = 2.2  # a 12- to 15-bit DICOM, mostly uncompressed, with its tables
VIEWS_PER_PATIENT = 3.1
LONG_TO_SHORT = 1.2  # long side ÷ short side of a film, about


def make_cohort(config: DictConfig, out: Path) -> dict[str, Any]:
    """Write the phantom's cohort to ``out``, or find it there.

    Args:
        config: the arguments of ``medvl.phantom.cohort.make_cohort`` by name.
    """
    from medvl.phantom.cohort import make_cohort as write_cohort
    from medvl.phantom.facts import Difficulty

    difficulty = OmegaConf.to_container(config.difficulty)
    assert isinstance(difficulty, dict)
    summary = write_cohort(
        out,
        patients=config.patients,
        size=config.size,
        seed=config.seed,
        difficulty=Difficulty(**{**difficulty, "change": tuple(difficulty["change"])}),
        layouts=list(config.layouts),
        image_format=config.image_format,
        workers=config.workers,
        laterals=config.laterals,
        least_visits=config.least_visits,
    )
    return _plain(summary)


def cohort_bytes(config: DictConfig) -> int:
    """About what a cohort takes on disk."""
    return int(config.patients * VIEWS_PER_PATIENT * config.size**2 * BYTES_PER_FILM_PIXEL)


def cache_bytes(config: DictConfig) -> int:
    """About what a dataset's image cache takes on disk: from the cohort's size, or the number of images published."""
    cohort = config.data.cohort
    images = cohort.patients * VIEWS_PER_PATIENT if cohort else config.data.images
    return int(images * config.image_size**2 * LONG_TO_SHORT)


def missing_roots(config: DictConfig) -> list[str]:
    """Folders of the dataset that are not there; none for the phantom, which is made when missing."""
    return list(dict.fromkeys(_missing_roots(config).values()))


def require_roots(config: DictConfig) -> None:
    """Check that the dataset's folders are there.

    Raises:
        MissingFile: naming the first that is not.
    """
    for key, root in _missing_roots(config).items():
        value = "…" if key == "root" else "… (null: do without)"
        raise MissingFile(Path(root), f"Set data.{key}={value} or MEDVL_DATA; see data_cards/{config.data.name}.md")


def _missing_roots(config: DictConfig) -> dict[str, str]:
    """Key → folder of those keys ``root`` and ``…_root`` of the dataset whose folder is not there; ``null`` stands for none."""
    if config.data.cohort:
        return {}
    roots = {str(key): config.data[key] for key in config.data if str(key).endswith("root")}
    return {key: str(root) for key, root in roots.items() if root and not Path(root).exists()}


def prepared(config: DictConfig) -> Path:
    """The prepared dataset's folder; the phantom's is made when missing.

    Raises:
        MissingFile: for real data that has not been prepared, naming the command.
    """
    folder = Path(config.data.prepared)
    if config.data.cohort:
        make_cohort(config.data.cohort, Path(config.data.root))
        prepare(config)
    elif not (folder / "fingerprint.json").exists():
        raise MissingFile(folder, f"Run `medvl prepare data={config.data.name} image_size={config.image_size}` first")
    return folder


def prepare(config: DictConfig) -> dict[str, Any]:
    """Prepare the dataset that a configuration names, or find it prepared."""
    from medvl.data.fingerprint import digest
    from medvl.data.prepare import prepare as prepare_studies

    held = _held_out(config)
    summary = prepare_studies(
        lambda: studies(config, held),
        Path(config.data.prepared),
        image_size=config.image_size,
        intensity=config.intensity,
        workers=config.prepare.workers,
        engine=config.prepare.engine,
        max_rejected_share=config.prepare.max_rejected_share,
        inputs={**_inputs(config), "held_out": digest(sorted(held))},
    )
    return _plain(summary)


def _inputs(config: DictConfig) -> dict[str, Any]:
    """What names a dataset's studies: its reader and its annotations with their options, and the phantom's cohort if it is one."""
    data = OmegaConf.to_container(config.data, resolve=True)
    assert isinstance(data, dict)
    cohort = {name: value for name, value in (data["cohort"] or {}).items() if name != "workers"}
    annotations = {name: data["annotations"][name] for name, node in (config.data.annotations or {}).items() if _annotates(node)}
    return {"name": data["name"], "reader": data["reader"], "cohort": cohort, "annotations": annotations}


def studies(config: DictConfig, held: set[str]) -> Iterator[Study]:
    """The dataset's studies with their annotations, those of the given patients taken out of training; the count is printed at the end."""
    from medvl.data.evaluation_patients import hold_out

    found = instantiate(config.data.reader)()
    for name, node in (config.data.annotations or {}).items():
        if _annotates(node):
            found = instantiate(node)(found)
        else:
            print(f"{node.root} is not there: studies stay without what {name} says of them", file=sys.stderr)
    for root in _evaluation_roots(config, present=False).values():
        print(f"{root} is not there: its patients stay in training", file=sys.stderr)
    yield from hold_out(found, held)


def _annotates(node: DictConfig) -> bool:
    """Whether the folder of an annotating dataset is there."""
    return Path(node.root).exists()


def _held_out(config: DictConfig) -> set[str]:
    """The patients of the evaluation sets that are there."""
    from medvl.data.evaluation_patients import evaluation_patients

    return evaluation_patients(**_evaluation_roots(config, present=True))


def _evaluation_roots(config: DictConfig, *, present: bool) -> dict[str, Path]:
    """The evaluation sets whose folders are there, or those whose folders are not; ``null`` stands for none."""
    roots = {str(name): Path(root) for name, root in (config.data.evaluation_roots or {}).items() if root}
    return {name: root for name, root in roots.items() if root.exists() is present}


def _plain(summary: Any) -> dict[str, Any]:
    """A summary as JSON values."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(summary).items()}
