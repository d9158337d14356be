"""The page of a training run: what was learned, figures, curves, the median example of each finding, and the real film if it is there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from medvl.benchmarks.phrase_grounding import GroundedPhrase, GroundingMap, PhraseGrounding, grounded_phrases
from medvl.benchmarks.results import Evaluation, results
from medvl.cli.measure import Measurement
from medvl.data.dicom import read_radiograph
from medvl.data.prepared import PreparedDataset
from medvl.geometry import Frame
from medvl.models.image_text import ImageTextModel
from medvl.runtime.config import instantiate
from medvl.runtime.privacy import strictest
from medvl.training.log import read_log
from medvl.viewer.curves import Curve, Series
from medvl.viewer.measures import measures, report_figures, what_was_learned
from medvl.viewer.page import Example, write_page

REAL_FILM = "RG1_UNCR.dcm"  # an adult PA chest with several lung masses, of the NEMA sample set, in the package pydicom-data
REAL_FILM_PHRASES = ("There is a pulmonary nodule.", "The heart is enlarged.", "There is a focal consolidation.")
FILM_SIDE = 512  # pixels of the short side at which films are drawn


def write_run_page(path: Path, config: DictConfig, folder: Path, evaluations: Sequence[Evaluation], measured: Measurement) -> Path:
    """Write the page of the training run in ``folder``, which holds ``log.csv`` and ``provenance.json``."""
    found = results(evaluations)
    grounding: PhraseGrounding = instantiate(config.benchmarks.phrase_grounding)
    maps = grounding.maps(measured.image_text_models[0], measured.images, grounded_phrases(measured.grounded(measured.splits.test)))
    return write_page(
        path,
        title=config.name,
        summary=what_was_learned(found),
        measures=measures(found),
        reports=report_figures(found),
        curves=_curves(folder / "log.csv"),
        examples=list(_median_examples(evaluations, maps, measured.images)),
        out_of_distribution=_real_film(measured.image_text_models[0], grounding),
        provenance=json.loads((folder / "provenance.json").read_text()),
        privacy=strictest(e.privacy for e in evaluations),
    )


def _curves(log: Path) -> list[Curve]:
    logged = read_log(log)
    names = sorted({name.split("/")[1] for name in logged})
    titles = {
        "loss": "Loss",
        "report_loss": "InfoNCE, whole reports",
        "phrase_loss": "InfoNCE, single phrases",
        "recall_at_5": "Recall at 5 within the batch",
    }
    lines = {"train": "training", "val": "held-out patients"}
    return [
        Curve(
            titles.get(name, name),
            "step",
            tuple(
                Series(label, *map(list, zip(*logged[f"{split}/{name}"], strict=True)))
                for split, label in lines.items()
                if f"{split}/{name}" in logged
            ),
        )
        for name in names
    ]


def _median_examples(evaluations: Sequence[Evaluation], maps: Sequence[GroundingMap], images: PreparedDataset) -> Iterator[Example]:
    """For each finding the phrase whose contrast-to-noise ratio is the median: neither the best nor the worst."""
    table = next(e.tables["per_sample"] for e in evaluations if e.benchmark == "phrase_grounding")
    rows = table[table["model"] == "trained"].reset_index(drop=True)
    for finding, group in rows.groupby("finding"):
        ranked = group["cnr"].dropna().sort_values()
        if not len(ranked):
            continue
        row = ranked.index[len(ranked) // 2]
        each = maps[int(row)]
        cnr, iou = rows.loc[row, "cnr"], rows.loc[row, "miou_best_threshold"]
        yield Example(
            phrase=each.phrase.text,
            finding=str(finding),
            image=images.image(each.phrase.view_id),
            boxes=each.phrase.boxes,
            similarity=each.in_original(FILM_SIDE),
            prior=_prior_film(each.phrase.study_id, images),
            note=f"the median of {len(ranked)} phrases: CNR {cnr:.2f}, IoU at the best threshold {iou:.2f}",
        )


def _prior_film(study_id: str, images: PreparedDataset) -> NDArray[np.uint8] | None:
    prior = images.studies[images.index(study_id)].prior_study_id if study_id in images else None
    if prior is None or prior not in images:
        return None
    view = images.frontals[images.index(prior)]
    return images.image(view) if view else None


class _OneFilm:
    """A single film as a source of images."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels

    def image(self, view_id: str) -> NDArray[np.uint8]:
        return self.pixels

    def frame(self, view_id: str) -> Frame:
        return Frame.identity((self.pixels.shape[0], self.pixels.shape[1]))


def _real_film(model: ImageTextModel, grounding: PhraseGrounding) -> list[Example]:
    """Heat maps on a real radiograph, if the package that ships one is installed."""
    from pydicom.data import get_testdata_file

    path = get_testdata_file(REAL_FILM, download=False)
    if path is None:
        return []
    pixels = (read_radiograph(Path(str(path))).pixels * 255).round().astype(np.uint8)
    phrases = [GroundedPhrase("real film", "", "", REAL_FILM, "", text, (), "public") for text in REAL_FILM_PHRASES]
    return [
        Example(phrase=each.phrase.text, image=pixels, similarity=each.in_original(FILM_SIDE))
        for each in grounding.maps(model, _OneFilm(pixels), phrases)
    ]
