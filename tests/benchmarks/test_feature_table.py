"""Features as a Parquet table, from invented images on disk."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from cohort import write_cohort

from medvl.benchmarks.feature_table import NoImages, write_features
from medvl.benchmarks.features import Encoding
from medvl.data.prepare import prepare
from medvl.data.prepared import PreparedDataset
from medvl.models.vit import VisionTransformer


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("invented")
    studies = write_cohort(root)
    prepare(lambda: iter(studies), root / "prepared", image_size=28, intensity="minmax", workers=1, inputs={})
    return PreparedDataset(root / "prepared")


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return VisionTransformer(width=16, depth=3, heads=2, image_size=28, in_channels=1).eval()


def test_every_image_of_a_split_has_a_row_with_its_vectors(tmp_path, images, encoder):
    path = tmp_path / "features.parquet"

    count = write_features(path, encoder, images, Encoding(crop=28), layers=(0, -1), poolings=("cls", "max"), splits=["test"], views="all")

    table = pq.read_table(path)
    assert table.num_rows == count == sum(len(images.view_ids(row)) for row, s in enumerate(images.column("split")) if s == "test")
    assert table.column_names[-4:] == ["cls_0", "cls_-1", "max_0", "max_-1"]
    assert table.schema.metadata[b"privacy"] == b"public"
    assert json.loads(table.schema.metadata[b"encoding"])["crop"] == 28


def test_the_vectors_are_those_of_the_encoder(tmp_path, images, encoder):
    path = tmp_path / "features.parquet"
    write_features(path, encoder, images, Encoding(crop=28, batch_size=3), poolings=("mean",))

    row = pq.read_table(path).to_pylist()[4]

    pixels = torch.from_numpy(np.array(images.image(row["view_id"])))[None, None].float() / 255
    pixels = pixels[..., (pixels.shape[2] - 28) // 2 :, (pixels.shape[3] - 28) // 2 :][..., :28, :28]
    with torch.inference_mode():
        expected = encoder.encode(encoder.standardize(pixels)).patches[0].mean(dim=1)[0]
    assert row["mean_-1"] == pytest.approx(expected.tolist(), abs=1e-5)


def test_splits_without_an_image_are_named(tmp_path, images, encoder):
    with pytest.raises(NoImages, match="holdout"):
        write_features(tmp_path / "features.parquet", encoder, images, Encoding(crop=28), splits=["holdout"])
    assert not (tmp_path / "features.parquet").exists()
