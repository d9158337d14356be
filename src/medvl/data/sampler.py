"""The order of training: a pure function of (seed, epoch), cut into global batches, shared by ranks, resumable at any batch.

State is (seed, epoch, position), position counting samples consumed by all ranks in this epoch. The same state gives the same
remaining order with any number of ranks or workers: a rank takes its contiguous share of each global batch, so that the batches of all
ranks, concatenated in rank order, are those of a single process. Indices carry their epoch, so that augmentation in a worker process
needs no shared state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from medvl.runtime.errors import UserError

LastBatch = Literal["keep", "even", "drop"]


class DifferentOrder(UserError):
    """A state belongs to another order of samples."""


class SampleIndex(NamedTuple):
    """Which sample, in which epoch."""

    epoch: int
    number: int


class ResumableSampler(Sampler[list[SampleIndex]]):
    """Yields this rank's share of each global batch from (epoch, position) to the end of the epoch; then the next epoch begins.

    Args:
        length: number of samples.
        seed: of the order.
        batch_size: of the global batch, all ranks together.
        rank, world_size: this process and how many there are.
        shuffle: a new permutation each epoch; otherwise 0 … length - 1.
        last_batch: an incomplete last batch is kept (shares may differ by one), cut to ``even`` shares, or dropped.
        trained_batches: how many global batches have been trained since (epoch, position) was set. A loader fetches ahead of the
            training, so only the training can say; without it the order goes on where the last iteration ended.

    Raises:
        UserError: if the batch does not share evenly, or no batch can be made.
    """

    def __init__(
        self,
        length: int,
        *,
        seed: int,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
        last_batch: LastBatch = "keep",
        trained_batches: Callable[[], int] | None = None,
    ) -> None:
        if batch_size < 1 or batch_size % world_size:
            raise UserError(f"a global batch of {batch_size} cannot be shared by {world_size} processes: take a multiple of {world_size}")
        self.length, self.seed, self.batch_size = length, seed, batch_size
        self.rank, self.world_size = rank, world_size
        self.shuffle, self.last_batch = shuffle, last_batch
        self.epoch = self.position = 0
        self._trained_batches = trained_batches
        last = length % batch_size
        if last_batch == "keep" and 0 < last < world_size:
            raise UserError(f"a last batch of {last} cannot be shared by {world_size} processes: take another batch_size")
        if length and not len(self):
            raise UserError(f"{length} samples do not make one batch of {batch_size}: choose a smaller batch_size")

    def __len__(self) -> int:
        """Global batches of a whole epoch."""
        return self._batches_from(0)

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        epoch, position = self.where()
        order = self.order(epoch)
        for start in range(position, position + self._batches_from(position) * self.batch_size, self.batch_size):
            batch = order[start : start + self.batch_size]
            if self.last_batch == "even":
                batch = batch[: len(batch) - len(batch) % self.world_size]
            share = np.array_split(batch, self.world_size)[self.rank]
            yield [SampleIndex(epoch, int(index)) for index in share]
        if self._trained_batches is None:
            self.epoch, self.position = epoch + 1, 0

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The order of all samples in an epoch."""
        if not self.shuffle:
            return np.arange(self.length)
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, epoch]))).permutation(self.length)

    def where(self) -> tuple[int, int]:
        """The epoch and position of the next batch to train."""
        epoch, position = self.epoch, self.position
        batches = self._trained_batches() if self._trained_batches else 0
        while batches >= (left := self._batches_from(position)):
            epoch, position, batches = epoch + 1, 0, batches - left
            if not len(self):
                break
        return epoch, position + batches * self.batch_size

    def state_dict(self) -> dict[str, Any]:
        """The seed, the epoch, the position of the next batch to train, and the number of samples."""
        epoch, position = self.where()
        return {"seed": self.seed, "epoch": epoch, "position": position, "length": self.length}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state.

        Raises:
            DifferentOrder: if it comes from another seed or another number of samples.
        """
        for name, own in (("seed", self.seed), ("length", self.length)):
            if state[name] != own:
                raise DifferentOrder(f"the checkpoint's order of samples has {name} {state[name]}, this run's has {own}")
        self.epoch, self.position = state["epoch"], state["position"]

    def _batches_from(self, position: int) -> int:
        left = self.length - position
        whole, rest = divmod(left, self.batch_size)
        keep = {"keep": rest > 0, "even": rest >= self.world_size, "drop": False}[self.last_batch]
        return whole + keep
