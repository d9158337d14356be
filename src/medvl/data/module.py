"""The Lightning data module: samples of one prepared dataset, or of several, in a seeded order that resumes exactly.

The checkpoint holds (seed, epoch, position) of the batches that were *trained*, not of those fetched ahead. Batches are global:
with several processes each takes its contiguous share (run the Trainer with ``use_distributed_sampler=False``), so that two processes
train on what one would, and a run may resume with another number of processes or workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from medvl.data.joined_samples import JoinedSamples
from medvl.data.prepared import PreparedDataset
from medvl.data.sampler import LastBatch, ResumableSampler
from medvl.data.samples import Crop, ImageSamples, ImageTextSamples, Sample, collate
from medvl.data.subsets import PatientSubset
from medvl.data.transforms import Augmentation
from medvl.runtime.errors import UserError
from medvl.runtime.memory import keep_freed_memory


class ResumableLoader(DataLoader[Any]):
    """A loader whose state is that of its ``ResumableSampler``; Lightning asks for it before it resumes within an epoch."""

    batch_sampler: ResumableSampler

    def state_dict(self) -> dict[str, Any]:
        """The sampler's state."""
        return self.batch_sampler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a sampler's state."""
        self.batch_sampler.load_state_dict(state)


class RadiographDataModule(LightningDataModule):
    """Loaders over the samples of one task.

    Args:
        folder: the prepared dataset.
        samples: makes the samples of one split, e.g. ``partial(ImageTextSamples, sections=["impression"])``.
        batch_size: of the global batch, all processes together.
        crop: side of the square that the model sees, in pixels.
        short_side: short side before the centre crop; ``crop`` if not given.
        seed: of the order and of every draw.
        num_workers: loading processes of each loader; 0 loads in the training process.
        augmentation: of the training split only; nothing if not given.
        last_batch: of the training split: an incomplete last batch is dropped, kept, or cut to even shares. Other splits keep every
            sample, but for at most (processes - 1) when several processes share the last batch.
        train_split, val_split, test_split: the names of the splits, as the dataset spells them.
        patients: which part of the training patients takes part; all if not given.
        also: further prepared datasets, whose samples of the training split join; validation and test stay ``folder``'s.

    Raises:
        UserError: if both ``patients`` and ``also`` are given, for a subset is one of a single dataset's patients.
    """

    def __init__(
        self,
        *,
        folder: Path | str,
        samples: Callable[..., ImageSamples],
        batch_size: int,
        crop: int,
        short_side: int | None = None,
        seed: int = 0,
        num_workers: int = 0,
        augmentation: Augmentation | None = None,
        last_batch: LastBatch = "drop",
        train_split: str = "train",
        val_split: str = "validate",
        test_split: str = "test",
        patients: PatientSubset | None = None,
        also: Sequence[Path | str] = (),
    ) -> None:
        super().__init__()
        if patients is not None and also:
            raise UserError("batches.patients and batches.also cannot be combined: a subset is one of a single dataset's patients")
        keep_freed_memory()  # a batch is as large as the last: without this, faulting in its pages costs more than filling it
        self.folder, self.batch_size, self.seed, self.num_workers = Path(folder), batch_size, seed, num_workers
        self.crop, self.augmentation, self.last_batch = Crop(crop, short_side), augmentation, last_batch
        self.train_split, self.val_split, self.test_split = train_split, val_split, test_split
        self.patients, self._make_samples = patients, samples
        self.also = tuple(Path(other) for other in also)
        self._prepared: PreparedDataset | None = None
        self._made: dict[str, tuple[ImageSamples, ...]] = {}
        self._sampler: ResumableSampler | None = None
        self._state: dict[str, Any] | None = None

    @property
    def prepared(self) -> PreparedDataset:
        """The prepared dataset, opened when first used."""
        if self._prepared is None:
            self._prepared = PreparedDataset(self.folder)
        return self._prepared

    def parts(self, split: str) -> tuple[ImageSamples, ...]:
        """The samples of a split, of one dataset each; those of the training split with augmentation."""
        if split not in self._made:
            training, prepared = split == self.train_split, [self.prepared]
            if training:
                others = [PreparedDataset(other) for other in self.also]
                prepared = [*prepared, *others] if self.patients is None else [self.patients.of(self.prepared, split)]
            augmentation = self.augmentation if training else None
            options = {"split": split, "crop": self.crop, "seed": self.seed, "augmentation": augmentation}
            self._made[split] = tuple(self._make_samples(each, **options) for each in prepared)
        return self._made[split]

    def samples(self, split: str) -> ImageSamples | JoinedSamples:
        """The samples of a split, of all datasets."""
        parts = self.parts(split)
        return parts[0] if len(parts) == 1 else JoinedSamples(parts)

    def training_texts(self) -> Iterator[str]:
        """The text of each training sample, of all datasets, in order."""
        for samples in self.parts(self.train_split):
            assert isinstance(samples, ImageTextSamples)
            yield from samples.texts()

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled batches, from where the checkpoint stands."""
        trained_before = self._trained_batches()
        self._sampler = ResumableSampler(
            len(self.samples(self.train_split)),
            **self._share(),
            last_batch=self.last_batch,
            trained_batches=lambda: self._trained_batches() - trained_before,
        )
        if self._state is not None:
            self._sampler.load_state_dict(self._state)
        return ResumableLoader(**self._options(self.train_split), batch_sampler=self._sampler)

    def val_dataloader(self) -> DataLoader[Any]:
        """The validation split in manifest order."""
        return self._in_order(self.val_split)

    def test_dataloader(self) -> DataLoader[Any]:
        """The test split in manifest order."""
        return self._in_order(self.test_split)

    def transfer_batch_to_device(self, batch: Sample, device: torch.device, dataloader_idx: int) -> Sample:
        """Move the batch's tensors; texts, identifiers and frames stay as they are."""
        return {name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value for name, value in batch.items()}

    def state_dict(self) -> dict[str, Any]:
        """(seed, epoch, position) after the last trained batch."""
        return self._sampler.state_dict() if self._sampler is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the order of a checkpoint; takes effect when the training loader is made."""
        self._state = dict(state_dict)

    def _in_order(self, split: str) -> DataLoader[Any]:
        share = self._share()
        last_batch: LastBatch = "even" if share["world_size"] > 1 else "keep"
        sampler = ResumableSampler(len(self.samples(split)), **share, shuffle=False, last_batch=last_batch)
        return DataLoader(**self._options(split), batch_sampler=sampler)

    def _options(self, split: str) -> dict[str, Any]:
        return {"dataset": self.samples(split), "collate_fn": collate, "num_workers": self.num_workers}

    def _share(self) -> dict[str, Any]:
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)
        return {"seed": self.seed, "batch_size": self.batch_size, "rank": rank, "world_size": world_size}

    def _trained_batches(self) -> int:
        """Batches on which the Trainer has finished a training step, in all of this run and those it continues."""
        if self.trainer is None:
            return 0
        total: Any = self.trainer.fit_loop.epoch_loop.batch_progress.total
        return int(total.processed)
