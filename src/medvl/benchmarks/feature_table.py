"""Features of a prepared dataset as one Parquet table, for whoever analyses embeddings without this package."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import track

from medvl.benchmarks.features import Encoding, ImageEncoder, Pooling
from medvl.data.prepared import PreparedDataset
from medvl.records import Study, View
from medvl.runtime.errors import UserError
from medvl.runtime.files import atomic_path
from medvl.runtime.privacy import strictest

SCHEMA_VERSION = 1
ROWS_AT_ONCE = 1024
IDENTIFIERS = ("dataset", "patient_id", "study_id", "view_id", "projection", "split")


class NoImages(UserError):
    """No image of a prepared dataset is in the splits asked for."""


def write_features(
    path: Path,
    encoder: ImageEncoder,
    images: PreparedDataset,
    encoding: Encoding,
    *,
    layers: Sequence[int] = (-1,),
    poolings: Sequence[Pooling] = ("cls", "mean"),
    splits: Sequence[str] | None = None,
    views: Literal["frontal", "all"] = "frontal",
    encoder_name: str = "",
) -> int:
    """Encode the images and write the table atomically.

    Args:
        path: of the Parquet file: the identifiers, and ``<pooling>_<layer>`` (fixed-size lists of float32) for each pooling and layer.
        encoder: in evaluation mode.
        images: the prepared dataset.
        encoding: the crop and the batch.
        layers: blocks, negative from the last.
        poolings: any of ``cls``, ``mean``, ``max``.
        splits: studies of these only; all if not given.
        views: each study's frontal in use, or all views.
        encoder_name: written into the table's metadata, with the encoding and the strictest privacy policy of the studies.

    Returns:
        The number of images.

    Raises:
        NoImages: naming the folder and the splits.
    """
    wanted = (row for row, split in enumerate(images.column("split")) if splits is None or split in splits)
    chosen = [(images.studies[row], view) for row in wanted for view in _views(images, row, views)]
    if not chosen:
        raise NoImages(f"{images.folder} has no image in splits {list(splits) if splits else 'at all'}")
    facts = {"schema_version": str(SCHEMA_VERSION), "encoder": encoder_name, "encoding": json.dumps(encoding.described())}
    facts["privacy"] = strictest(study.privacy for study, _ in chosen)
    parts = _tables(encoder, images, encoding, chosen, layers, poolings)
    with atomic_path(path) as temporary:
        first = next(parts)
        with pq.ParquetWriter(temporary, first.schema.with_metadata(facts)) as writer:
            writer.write_table(first.replace_schema_metadata(facts))
            for part in parts:
                writer.write_table(part.replace_schema_metadata(facts))
    return len(chosen)


def _views(images: PreparedDataset, row: int, views: str) -> list[View]:
    """The views of a study that have an image."""
    frontal = images.frontals[row]
    ids = images.view_ids(row) if views == "all" else [frontal] if frontal else []
    return [view for view in images.studies[row].views if view.view_id in ids]


def _tables(
    encoder: ImageEncoder,
    images: PreparedDataset,
    encoding: Encoding,
    chosen: Sequence[tuple[Study, View]],
    layers: Sequence[int],
    poolings: Sequence[Pooling],
) -> Iterator[pa.Table]:
    for start in track(range(0, len(chosen), ROWS_AT_ONCE), description="encoding", transient=True):
        batch = chosen[start : start + ROWS_AT_ONCE]
        features = encoding.extract(encoder, images, [view.view_id for _, view in batch], layers=layers)
        rows = [(s.dataset, s.patient_id, s.study_id, v.view_id, v.projection, s.split) for s, v in batch]
        columns = {name: pa.array(values, pa.string()) for name, values in zip(IDENTIFIERS, zip(*rows, strict=True), strict=True)}
        for pooling in poolings:
            for position, layer in enumerate(layers):
                vectors = np.ascontiguousarray(features.pooled[pooling][:, position])
                columns[f"{pooling}_{layer}"] = pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), vectors.shape[1])
        yield pa.table(columns)
