"""Texts of a prepared dataset, for training a language model; no image is read, and a study needs none.

    ReportTextSamples   a study: its Findings, its Impression and both as one text
    PackedTextSamples   as many sentences as fit a sequence, of reports and of corpora (RoBERTa's FULL-SENTENCES, Liu et al. 2019)

Both take the arguments of ``ImageTextSamples``, so that a data module makes them alike; those about images are without effect. Studies of a
dataset that was released without splits are given one by the hash of their patient, if shares are given.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch.utils.data import Dataset

from medvl.data.hashed_split import hashed_split
from medvl.data.prepared import PreparedDataset
from medvl.data.report_text import join_sections, one_line, shuffled_sentences
from medvl.data.sampler import SampleIndex
from medvl.data.samples import MATCHED_SECTIONS, Crop, NoSamples, Sample, Views
from medvl.data.sentence_packing import pack_sentences
from medvl.data.transforms import Augmentation, generator
from medvl.runtime.errors import UserError
from medvl.runtime.files import atomic_path

Require = Literal["both", "any"]
Shares = Mapping[str, float]


class ReportTextSamples(Dataset[Sample]):
    """Findings and Impression of each study; one that lacks what is required is left out.

    A sample has ``findings``, ``impression`` (``None`` where there is none) and ``text`` (both joined), each one line; ``sample_id`` is the
    study's.

    Args:
        prepared: where they come from.
        crop, views, augmentation: without effect.
        split: only studies of this split; all if not given.
        seed: of every draw.
        require: ``both`` sections, or ``any`` of them.
        shuffle_splits: in samples of these splits the sentences of each section are shuffled, anew each epoch, never across sections.
        shares: split → share of the patients, for studies whose dataset names no split.

    Raises:
        NoSamples: naming the folder and the split.
    """

    def __init__(
        self,
        prepared: PreparedDataset,
        *,
        crop: Crop | None = None,
        split: str | None = None,
        views: Views = "frontal",
        seed: int = 0,
        augmentation: Augmentation | None = None,
        require: Require = "both",
        shuffle_splits: Sequence[str] = (),
        shares: Shares | None = None,
    ) -> None:
        self.seed, self.shuffle = seed, split in shuffle_splits
        self._study_ids, self._patient_ids = prepared.column("study_id"), prepared.column("patient_id")
        self._reports = prepared.columns("report.sections")["report"].combine_chunks().field("sections")
        enough = all if require == "both" else any
        self.rows = [row for row in _rows_of(prepared, split, shares) if enough(self._sections(row))]
        if not self.rows:
            wanted = "both findings and impression" if require == "both" else "findings or impression"
            raise NoSamples(f"{prepared.folder} has no study with {wanted} in split {split!r}{_about_shares(shares)}")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | SampleIndex) -> Sample:
        epoch, position = index if isinstance(index, SampleIndex) else (0, index)
        row = self.rows[position]
        study_id, sections = self._study_ids[row], self._sections(row)
        if self.shuffle:
            draws = (generator(self.seed, epoch, f"{study_id}/{name}/sentences") for name in MATCHED_SECTIONS)
            sections = [text and (shuffled_sentences(text, draw) or text) for text, draw in zip(sections, draws, strict=True)]
        ids = {"sample_id": study_id, "study_id": study_id, "patient_id": self._patient_ids[row]}
        return {**ids, "epoch": epoch, **dict(zip(MATCHED_SECTIONS, sections, strict=True)), "text": " ".join(filter(None, sections))}

    def texts(self) -> Iterator[str]:
        """The text of each sample, in order, unshuffled."""
        return (" ".join(filter(None, self._sections(row))) for row in self.rows)

    def _sections(self, row: int) -> list[str | None]:
        sections = _section_texts(self._reports, row)
        return [join_sections(sections, (name,)) for name in MATCHED_SECTIONS]


class PackedTextSamples(Dataset[Sample]):
    """Sequences of whole sentences, of consecutive documents, up to a number of word pieces; there is no next-sentence task.

    A sequence is [CLS], sentences, [SEP] between documents, and [SEP] at the end. A sentence that is longer than a sequence is cut into
    several. Its length is known only with a vocabulary: call ``pack`` first. A sample has ``token_ids`` (max_length,), padded, and
    ``sample_id``.

    Args:
        prepared: its reports are documents, in the order of the manifest.
        crop, views, seed, augmentation: without effect.
        split: only studies of this split; all if not given.
        sections: which sections of a report make the document; the whole report if not given.
        corpora: further documents, read anew by each call: ``partial(read_documents, path=…)``.
        corpora_splits: the splits that have them.
        max_length: of a sequence, in word pieces.
        shares: split → share of the patients, for studies whose dataset names no split.

    Raises:
        NoSamples: naming the folder and the split, if there is neither a report nor a corpus.
    """

    def __init__(
        self,
        prepared: PreparedDataset,
        *,
        crop: Crop | None = None,
        split: str | None = None,
        views: Views = "frontal",
        seed: int = 0,
        augmentation: Augmentation | None = None,
        sections: Sequence[str] | None = None,
        corpora: Sequence[Callable[[], Iterable[str]]] = (),
        corpora_splits: Sequence[str] = ("train",),
        max_length: int = 512,
        shares: Shares | None = None,
    ) -> None:
        self.split, self.sections, self.max_length = split or "all", sections, max_length
        self.corpora = tuple(corpora) if split in corpora_splits else ()
        report = prepared.columns("report.text", "report.sections")["report"].combine_chunks()
        self._texts, self._reports = report.field("text"), report.field("sections")
        self.rows = [row for row in _rows_of(prepared, split, shares) if self._document(row)]
        if not self.rows and not self.corpora:
            raise NoSamples(f"{prepared.folder} has no report in split {split!r}{_about_shares(shares)}, and no corpus was given")
        self._pieces: NDArray[np.uint32] | None = None
        self._ends: NDArray[np.int64] = np.zeros(0, np.int64)
        self._padding = 0

    def __len__(self) -> int:
        if self._pieces is None:
            raise UserError("sentences are packed into sequences by a vocabulary: call pack first")
        return len(self._ends)

    def __getitem__(self, index: int | SampleIndex) -> Sample:
        epoch, position = index if isinstance(index, SampleIndex) else (0, index)
        assert self._pieces is not None
        start = self._ends[position - 1] if position else 0
        sequence = self._pieces[start : self._ends[position]]
        token_ids = torch.full((self.max_length,), self._padding)
        token_ids[: len(sequence)] = torch.from_numpy(sequence.astype(np.int64))
        return {"sample_id": f"{self.split}/{position}", "epoch": epoch, "token_ids": token_ids}

    def texts(self) -> Iterator[str]:
        """All documents, in order: reports, then corpora."""
        return itertools.chain((self._document(row) or "" for row in self.rows), *(documents() for documents in self.corpora))

    def pack(self, tokenizer: Tokenizer, folder: Path) -> dict[str, Any]:
        """Make the sequences, once: they are kept in ``folder`` and read back from there.

        Takes four bytes of memory for each word piece of the documents while it makes them; reading back maps the files.

        Returns:
            How many ``sequences`` and ``pieces``, and the ``sha256`` of the latter.
        """
        places = [folder / f"{self.split}-{name}.npy" for name in ("pieces", "ends")]
        if not all(path.exists() for path in places):
            packed = pack_sentences(self.texts(), tokenizer, max_length=self.max_length)
            for path, name in zip(places, packed._fields, strict=True):
                with atomic_path(path) as temporary, open(temporary, "wb") as file:
                    np.save(file, getattr(packed, name))
        pieces, self._ends = (np.load(path, mmap_mode="r") for path in places)
        self._pieces, self._padding = pieces, tokenizer.get_vocab()["[PAD]"]
        return {"sequences": len(self._ends), "pieces": len(pieces), "sha256": hashlib.sha256(pieces).hexdigest()}

    def _document(self, row: int) -> str | None:
        if self.sections is not None:
            return join_sections(_section_texts(self._reports, row), self.sections)
        return one_line(self._texts[row].as_py() or "") or None


def _rows_of(prepared: PreparedDataset, split: str | None, shares: Shares | None) -> list[int]:
    """The rows of a split; those without one are split by the hash of their patient."""
    names = prepared.column("split")
    if shares is not None:
        names = [
            name if name is not None else hashed_split(patient, shares)
            for name, patient in zip(names, prepared.column("patient_id"), strict=True)
        ]
    return [row for row, name in enumerate(names) if split is None or name == split]


def _section_texts(reports: Any, row: int) -> dict[str, str]:
    return {item["key"]: item["value"] for item in reports[row].as_py() or ()}


def _about_shares(shares: Shares | None) -> str:
    return "" if shares is not None else " (a dataset without splits needs shares, e.g. {train: 0.9, validate: 0.1})"
