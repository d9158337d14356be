"""Samples of several prepared datasets as one sequence: what RAD-DINO trains on, MIMIC-CXR's images beside four other releases'."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from torch.utils.data import Dataset

from medvl.data.sampler import SampleIndex
from medvl.data.samples import ImageSamples, Sample


class JoinedSamples(Dataset[Sample]):
    """The parts one after another; a sample's draws stay those of its own part.

    Args:
        parts: samples of one task, of different prepared datasets.
    """

    def __init__(self, parts: Sequence[ImageSamples]) -> None:
        self.parts = tuple(parts)
        self._ends = list(accumulate(map(len, self.parts)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int | SampleIndex) -> Sample:
        epoch, number = index if isinstance(index, SampleIndex) else (0, index)
        part = bisect_right(self._ends, number)
        return self.parts[part][SampleIndex(epoch, number - (self._ends[part - 1] if part else 0))]
