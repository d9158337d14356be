"""Task views of a prepared dataset: map-style, one plain dictionary a sample.

    ImageSamples        an image
    ImageTextSamples    + its report's text and sentences
    ImagePairSamples    + the prior frontal and its text, where there is a prior
    ReportingSamples    everything a radiologist reports with: frontal, lateral, prior, indication, technique, comparison → findings

Every sample has ``sample_id`` (the view's), ``study_id``, ``patient_id``, ``epoch``, ``image`` (1, S, S) float32 in [0, 1] and ``frame``,
the map from the original to that image; a turned or slanted image has none. Missing is ``None``. An index may be a ``SampleIndex``: it
carries the epoch of the draws.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor
from torch.utils.data import Dataset

from medvl.data.prepared import PreparedDataset
from medvl.data.registration import RegisteredPriors, RegistrationModel
from medvl.data.report_text import join_sections, one_line, shuffled_sentences, split_sentences
from medvl.data.sampler import SampleIndex
from medvl.data.transforms import Augmentation, Fit, Image, Window, cut_window, draw_window, fit_square, generator, jitter, to_tensor
from medvl.geometry import Frame
from medvl.runtime.errors import UserError

Sample = dict[str, Any]
Views = Literal["frontal", "all"]
MATCHED_SECTIONS = ("findings", "impression")  # what section matching matches


class NoSamples(UserError):
    """No study of a prepared dataset has what a task needs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Crop:
    """How a cached image becomes the square that a model sees.

    Attributes:
        size: side of the square, in pixels.
        short_side: short side before the centre crop, in pixels; ``size`` if not given.
        fit: ``crop`` the centre, ``pad`` the whole image, or ``stretch`` it.
    """

    size: int
    short_side: int | None = None
    fit: Fit = "crop"


class ImageSamples(Dataset[Sample]):
    """Images of a prepared dataset.

    Args:
        prepared: where they come from.
        split: only studies of this split; all if not given.
        crop: the square that a model sees.
        views: each study's frontal in use, or ``all`` views.
        seed: of every draw.
        augmentation: what to draw; nothing if not given.

    Raises:
        NoSamples: naming the folder and the split.
    """

    def __init__(
        self,
        prepared: PreparedDataset,
        *,
        crop: Crop,
        split: str | None = None,
        views: Views = "frontal",
        seed: int = 0,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.prepared, self.crop, self.seed, self.augmentation = prepared, crop, seed, augmentation
        self._study_ids, self._patient_ids = prepared.column("study_id"), prepared.column("patient_id")
        rows = [row for row, name in enumerate(prepared.column("split")) if split is None or name == split]
        # (row of the manifest, view id) of each sample
        self.items: list[tuple[int, str]] = [(row, view) for row in self._select(rows) for view in self._views(row, views)]
        if not self.items:
            raise NoSamples(f"{prepared.folder} has no sample for {type(self).__name__} in split {split!r}")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int | SampleIndex) -> Sample:
        epoch, position = index if isinstance(index, SampleIndex) else (0, index)
        row, view_id = self.items[position]
        return self._sample(row, view_id, epoch)

    def _select(self, rows: list[int]) -> list[int]:
        """The rows that have what the task needs, beside an image."""
        return rows

    def _views(self, row: int, views: Views) -> Sequence[str]:
        frontal = self.prepared.frontals[row]
        return self.prepared.view_ids(row) if views == "all" else [frontal] if frontal else []

    def _sample(self, row: int, view_id: str, epoch: int) -> Sample:
        image, frame = self._image(view_id, epoch)
        ids = {"sample_id": view_id, "study_id": self._study_ids[row], "patient_id": self._patient_ids[row]}
        return {**ids, "epoch": epoch, "image": image, "frame": frame}

    def _image(self, view_id: str, epoch: int) -> tuple[Tensor, Frame | None]:
        cached, draw = self.prepared.image(view_id, writeable=True), generator(self.seed, epoch, view_id)
        window = draw_window(cached.shape, self.augmentation, draw) if self.augmentation is not None else None
        return self._square(cached, self.prepared.frame(view_id), window, draw)

    def _previous_image(
        self, previous_view_id: str, view_id: str, epoch: int, registered: RegisteredPriors | None
    ) -> tuple[Tensor, Frame | None]:
        """The prior of ``view_id``: the same window, turn and slant, brightness and contrast of its own; no frame if registered."""
        prepared, window = self.prepared, None
        if self.augmentation is not None:
            window = draw_window(prepared.image(view_id).shape, self.augmentation, generator(self.seed, epoch, view_id))
        draw = generator(self.seed, epoch, f"{view_id}/previous")
        if registered is None:
            cached = prepared.image(previous_view_id, writeable=True)
            return self._square(cached, prepared.frame(previous_view_id), window, draw)
        laid = registered.image(previous_view_id, view_id)
        return self._square(laid, prepared.frame(view_id), window, draw)[0], None

    def _square(self, image: Image, frame: Frame, window: Window | None, draw: np.random.Generator) -> tuple[Tensor, Frame | None]:
        """What the model sees of a cached image: a drawn window with drawn brightness and contrast, or the fixed crop."""
        if window is None or self.augmentation is None:
            square, shown = fit_square(image, frame, self.crop.size, fit=self.crop.fit, short_side=self.crop.short_side)
            return to_tensor(square), shown
        cut, turned = cut_window(image, frame, self.crop.size, window)
        return to_tensor(jitter(cut, self.augmentation, draw)), turned


class ImageTextSamples(ImageSamples):
    """Frontal images with their report's text; a study whose sections say nothing is left out.

    Adds ``text`` (the sections joined, one line), ``sections`` (name → one line: findings and impression, and what makes the text, as
    far as they say something) and ``phrases`` (the study's phrases, or the sentences of the text).

    Args:
        sections: which sections make the text, in order.
        shuffle_sentences: within each section, drawn anew each epoch (BioViL).
    """

    def __init__(
        self,
        prepared: PreparedDataset,
        *,
        crop: Crop,
        split: str | None = None,
        views: Views = "frontal",
        seed: int = 0,
        augmentation: Augmentation | None = None,
        sections: Sequence[str] = ("findings", "impression"),
        shuffle_sentences: bool = False,
    ) -> None:
        self.sections, self.shuffle_sentences = tuple(sections), shuffle_sentences
        self._reports = prepared.columns("report.sections")["report"].combine_chunks().field("sections")
        self._phrases = prepared.columns("phrases.list.element.text")["phrases"].combine_chunks()
        super().__init__(prepared, crop=crop, split=split, views=views, seed=seed, augmentation=augmentation)

    def texts(self) -> Iterator[str]:
        """The text of each sample, in order."""
        return (self._text(row) or "" for row, _ in self.items)

    def _select(self, rows: list[int]) -> list[int]:
        spoken = _rows_with(self._reports, self.sections)
        return [row for row in super()._select(rows) if row in spoken]

    def _sample(self, row: int, view_id: str, epoch: int) -> Sample:
        spoken, wanted = self._section_texts(row), dict.fromkeys((*self.sections, *MATCHED_SECTIONS))
        sections = {name: one_line(spoken[name]) for name in wanted if spoken.get(name, "").strip()}
        if self.shuffle_sentences:
            draw = generator(self.seed, epoch, f"{view_id}/sentences")
            sections = {name: shuffled_sentences(text, draw) for name, text in sections.items()}
        text = join_sections(sections, self.sections) or ""
        phrases = [one_line(phrase["text"]) for phrase in self._phrases[row].as_py()] or split_sentences(text)
        return {**super()._sample(row, view_id, epoch), "text": text, "sections": sections, "phrases": phrases}

    def _section_texts(self, row: int) -> dict[str, str]:
        return {item["key"]: item["value"] for item in self._reports[row].as_py() or ()}

    def _text(self, row: int) -> str | None:
        return join_sections(self._section_texts(row), self.sections)


class ImagePairSamples(ImageTextSamples):
    """Frontal images with text, beside the prior frontal and its text where there is one.

    Adds ``has_previous``, ``previous_image`` (1, S, S; zeros without), ``previous_frame``, ``previous_text`` and ``previous_study_id``.
    Both images are cut, turned and slanted alike, so that they stay comparable (BioViL-T); brightness and contrast are drawn for each.
    Without augmentation both are the fixed crop of the whole film.

    Args:
        prior_dropout: share of samples shown without their prior, drawn anew each epoch.
        registration: ``rigid`` or ``affine`` lays the prior's film over the current one before both are cut, see
            ``medvl.data.registration``; a registered prior has no frame.

    Raises:
        MissingSimpleITK: naming what to install, if a prior is to be registered.
    """

    def __init__(
        self,
        prepared: PreparedDataset,
        *,
        crop: Crop,
        split: str | None = None,
        views: Views = "frontal",
        seed: int = 0,
        augmentation: Augmentation | None = None,
        sections: Sequence[str] = ("findings", "impression"),
        shuffle_sentences: bool = False,
        prior_dropout: float = 0.0,
        registration: Literal["none", RegistrationModel] = "none",
    ) -> None:
        self.prior_dropout = prior_dropout
        self.registered = None if registration == "none" else RegisteredPriors(prepared, model=registration)
        self._priors = prepared.column("prior_study_id")
        super().__init__(
            prepared,
            crop=crop,
            split=split,
            views=views,
            seed=seed,
            augmentation=augmentation,
            sections=sections,
            shuffle_sentences=shuffle_sentences,
        )

    def _sample(self, row: int, view_id: str, epoch: int) -> Sample:
        sample = super()._sample(row, view_id, epoch)
        prior = self._prior(row, view_id, epoch)
        view = self.prepared.frontals[prior] if prior is not None else None
        blank = torch.zeros_like(sample["image"]), None
        image, frame = self._previous_image(view, view_id, epoch, self.registered) if view else blank
        sample |= {"has_previous": prior is not None, "previous_image": image, "previous_frame": frame}
        study_id, text = (self._study_ids[prior], self._text(prior)) if prior is not None else (None, None)
        return sample | {"previous_study_id": study_id, "previous_text": text}

    def _prior(self, row: int, view_id: str, epoch: int) -> int | None:
        """The row of the prior study, if it is here with a frontal image and not dropped in this epoch."""
        prior = self._priors[row]
        if prior is None or prior not in self.prepared:
            return None
        if self.prior_dropout and generator(self.seed, epoch, f"{view_id}/prior").random() < self.prior_dropout:
            return None
        found = self.prepared.index(prior)
        return found if self.prepared.frontals[found] else None


class ReportingSamples(ImagePairSamples):
    """Everything a radiologist reports with; a study without the target section is left out.

    ``text`` is the target section. Adds ``lateral_image`` (zeros without), ``has_lateral``, ``lateral_frame``, ``indication`` (or else the
    history), ``technique``, ``comparison`` and ``previous_report`` (the prior's findings and impression).
    """

    def __init__(
        self,
        prepared: PreparedDataset,
        *,
        crop: Crop,
        split: str | None = None,
        views: Views = "frontal",
        seed: int = 0,
        augmentation: Augmentation | None = None,
        prior_dropout: float = 0.0,
        target: str = "findings",
    ) -> None:
        super().__init__(
            prepared,
            crop=crop,
            split=split,
            views=views,
            seed=seed,
            augmentation=augmentation,
            sections=(target,),
            prior_dropout=prior_dropout,
        )

    def _sample(self, row: int, view_id: str, epoch: int) -> Sample:
        sample, sections = super()._sample(row, view_id, epoch), self._section_texts(row)
        lateral = self.prepared.laterals[row]
        image, frame = self._image(lateral, epoch) if lateral else (torch.zeros_like(sample["image"]), None)
        sample |= {"has_lateral": lateral is not None, "lateral_image": image, "lateral_frame": frame}
        sample["indication"] = join_sections(sections, ("indication",)) or join_sections(sections, ("history",))
        sample |= {name: join_sections(sections, (name,)) for name in ("technique", "comparison")}
        prior = sample["previous_study_id"]
        before = self._section_texts(self.prepared.index(prior)) if prior is not None else {}
        return sample | {"previous_report": join_sections(before, ("findings", "impression"))}


def collate(samples: Sequence[Sample]) -> Sample:
    """A batch: tensors stacked (B, …), flags as a bool tensor (B,), ``epoch`` as one number, everything else as a list."""
    batch: Sample = {}
    for name, first in samples[0].items():
        values = [sample[name] for sample in samples]
        if isinstance(first, Tensor):
            batch[name] = torch.stack(values)
        else:
            batch[name] = torch.tensor(values) if isinstance(first, bool) else values
    batch["epoch"] = samples[0]["epoch"]
    return batch


def _rows_with(sections: pa.ListArray, names: Sequence[str]) -> set[int]:
    """The rows in which one of the named sections says something."""
    parents, items = pc.list_parent_indices(sections), sections.flatten()
    named = pc.is_in(items.field("key"), pa.array(names, pa.string()))
    spoken = pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(items.field("value"))), 0)
    return set(parents.filter(pc.and_(named, spoken)).to_pylist())
