"""A prepared dataset: studies and memory-mapped images, opened in a moment however large it is.

Opening reads the small columns only: identifiers, splits and where each image lies. Studies are read by row group when asked for, and
images are views of mapped files. ``text_columns`` hands out whole columns as Arrow, for what training needs of every study.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medvl.data import fingerprint
from medvl.data.image_cache import ShardReader
from medvl.geometry import Frame, Size
from medvl.records import FRONTAL, LATERAL, PrivacyPolicy, Study, arrow_schema, from_arrow
from medvl.runtime.errors import InvalidValue, MissingFile

INDEX_COLUMNS = (
    "study_id",
    "patient_id",
    "split",
    "prior_study_id",
    "views.list.element.view_id",
    "views.list.element.projection",
    "cache",
)
NUMBERS = ("shard", "offset", "height", "width", "original_height", "original_width")


class PreparedStudy(NamedTuple):
    """A study and its images by view id, uint8 (h, w), read-only."""

    study: Study
    images: Mapping[str, NDArray[np.uint8]]


class PreparedDataset:
    """The folder that ``prepare`` made.

    Attributes:
        folder: where it lies.
        fingerprint: the hash of inputs, options, code and content.
        privacy: what may leave the machine.

    Raises:
        MissingFile: if the folder is not prepared, or not to the end.
        InvalidValue: if its manifest cannot be read.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if not (self.folder / fingerprint.FILE).exists():
            raise MissingFile(self.folder / fingerprint.FILE, "Not a prepared dataset, or not finished: run `medvl prepare`, it continues.")
        facts = fingerprint.read(self.folder / fingerprint.FILE)
        self.fingerprint: str = facts["fingerprint"]
        self.privacy: PrivacyPolicy = facts["privacy"]
        self._index = self.columns(*INDEX_COLUMNS)
        entries = self._index["cache"].combine_chunks()
        self._first_image: NDArray[np.int64] = np.from_dlpack(entries.offsets).astype(np.int64)
        self._views: pa.Array = entries.values.field("view_id")
        numbers = [np.from_dlpack(entries.values.field(name)) for name in NUMBERS]  # to_numpy imports pandas
        self._places = np.stack(numbers, axis=1, dtype=np.int64)
        self._shards = ShardReader(self.folder)

    def __reduce__(self) -> tuple[type[PreparedDataset], tuple[Any, ...]]:
        return PreparedDataset, (self.folder,)

    def __len__(self) -> int:
        return self._index.num_rows

    def __getitem__(self, index: int) -> PreparedStudy:
        study = self.studies[index]
        return PreparedStudy(study, {view_id: self.image(view_id) for view_id in self.view_ids(index)})

    @cached_property
    def studies(self) -> Sequence[Study]:
        """The studies in manifest order, read when asked for."""
        return _Studies(self.folder / "manifest.parquet")

    def index(self, study_id: str) -> int:
        """The position of a study.

        Raises:
            KeyError: if there is none of this id.
        """
        return self._row_of[study_id]

    def __contains__(self, study_id: str) -> bool:
        return study_id in self._row_of

    def column(self, name: str) -> list[Any]:
        """One of ``study_id``, ``patient_id``, ``split`` or ``prior_study_id``, for all studies in order."""
        return self._index[name].to_pylist()

    def columns(self, *names: str) -> pa.Table:
        """Whole columns of the manifest, or leaves of them such as ``report.sections``, read from the file as Arrow.

        Raises:
            InvalidValue: naming the manifest, if it cannot be read.
        """
        path = self.folder / "manifest.parquet"
        try:
            with pq.ParquetFile(path) as file:
                return file.read(columns=list(names))
        except (pa.ArrowException, OSError) as error:
            raise InvalidValue(path, "as a whole", str(error).splitlines()[0]) from error

    def view_ids(self, index: int) -> list[str]:
        """The views of a study that have an image."""
        return self._views[self._first_image[index] : self._first_image[index + 1]].to_pylist()

    def image(self, view_id: str, *, writeable: bool = False) -> NDArray[np.uint8]:
        """An image (h, w), not copied, read-only.

        Args:
            view_id: of one of the studies' views.
            writeable: do not mark it read-only, because torch takes only such an array without copying it. Do not write to it.

        Raises:
            KeyError: if there is no image of this view.
        """
        shard, offset, height, width, _, _ = self._places[self._image_of[view_id]].tolist()
        image = self._shards.read(shard, offset, height, width)
        image.flags.writeable = writeable
        return image

    def frame(self, view_id: str) -> Frame:
        """Where the cached image lies in the original.

        Raises:
            KeyError: if there is no image of this view.
        """
        _, _, height, width, original_height, original_width = self._places[self._image_of[view_id]].tolist()
        return _resized((original_height, original_width), (height, width))

    @cached_property
    def frontals(self) -> tuple[str | None, ...]:
        """Each study's frontal view that has an image: PA before AP, then by view id."""
        return self._first_view(FRONTAL)

    @cached_property
    def laterals(self) -> tuple[str | None, ...]:
        """Each study's lateral view that has an image, the first by view id."""
        return self._first_view(dict.fromkeys(LATERAL, 0))

    def prior_view(self, study_id: str) -> str | None:
        """The frontal view of a study's prior; ``None`` where the study, its prior or that prior's frontal image is not there."""
        prior = self._index["prior_study_id"][self.index(study_id)].as_py() if study_id in self else None
        return self.frontals[self.index(prior)] if prior is not None and prior in self else None

    def _first_view(self, order: Sequence[str] | Mapping[str, int]) -> tuple[str | None, ...]:
        rank = dict(order) if isinstance(order, Mapping) else {name: i for i, name in enumerate(order)}
        views = self._index["views"].combine_chunks()
        ids, projections = views.values.field("view_id").to_pylist(), views.values.field("projection").to_pylist()
        offsets = views.offsets.to_pylist()
        found: list[str | None] = []
        for start, stop in pairwise(offsets):
            candidates = [(rank[projections[i]], ids[i]) for i in range(start, stop) if projections[i] in rank and ids[i] in self._image_of]
            found.append(min(candidates)[1] if candidates else None)
        return tuple(found)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {study_id: row for row, study_id in enumerate(self.column("study_id"))}

    @cached_property
    def _image_of(self) -> dict[str, int]:
        return {view_id: position for position, view_id in enumerate(self._views.to_pylist())}


@lru_cache(maxsize=4096)  # films come in few sizes
def _resized(original: Size, cached: Size) -> Frame:
    return Frame.identity(original).resized(cached)


class _Studies(Sequence[Study]):
    """The manifest's studies; the last few row groups that were read stay in memory."""

    def __init__(self, manifest: Path) -> None:
        self._file = pq.ParquetFile(manifest)
        metadata = self._file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._first = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self._columns = arrow_schema(Study).names
        self._group = lru_cache(maxsize=4)(self._read_group)

    def __len__(self) -> int:
        return int(self._first[-1])

    def __iter__(self) -> Iterator[Study]:
        for group in range(len(self._first) - 1):
            yield from from_arrow(self._read_group(group), Study)

    @overload
    def __getitem__(self, index: int) -> Study: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Study]: ...
    def __getitem__(self, index: int | slice) -> Study | Sequence[Study]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        group = int(np.searchsorted(self._first, row, side="right")) - 1
        return next(from_arrow(self._group(group).slice(row - int(self._first[group]), 1), Study))

    def _read_group(self, group: int) -> pa.Table:
        return self._file.read_row_group(group, columns=self._columns)
