"""CheXmask: run lengths from 1 along the rows, rows of poor quality left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from layouts import dicom_id, image, write_csv, write_mimic_jpg

from medvl.data import chexmask, mimic_cxr
from medvl.runtime.errors import InvalidValue, MissingColumns, MissingFile


def row(number, *, quality=0.9, left="1 2", **values):
    return {
        "dicom_id": dicom_id(number),
        "Dice RCA (Mean)": quality,
        "Landmarks": "",
        "Left Lung": left,
        "Right Lung": "4 1 6 1",
        "Heart": "",
        "Height": 2,
        "Width": 3,
    } | values


def write(root, rows, folder="OriginalResolution"):
    return write_csv(root / folder / "MIMIC-CXR-JPG.csv", rows)


def runs(mask):
    """Run lengths by their definition, pixel by pixel."""
    flat, found = mask.ravel().tolist(), []
    for i, value in enumerate(flat):
        if value and (i == 0 or not flat[i - 1]):
            found.append([i + 1, 0])
        if value:
            found[-1][1] += 1
    return " ".join(f"{start} {length}" for start, length in found)


@given(arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_run_lengths_give_the_mask_back(mask):
    np.testing.assert_array_equal(chexmask.mask_from_runs(runs(mask), mask.shape), mask)


def test_masks_come_by_structure_in_file_order(tmp_path):
    write(tmp_path, [row(2), row(1)])

    (view_id, masks), (second, _) = chexmask.read_masks(tmp_path)

    assert (view_id, second) == (dicom_id(2), dicom_id(1))
    assert {name: mask.tolist() for name, mask in masks.items()} == {
        "lung_left": [[True, True, False], [False, False, False]],
        "lung_right": [[False, False, False], [True, False, True]],
        "heart": [[False] * 3] * 2,
    }
    assert [v for v, _ in chexmask.read_masks(tmp_path, views={dicom_id(1)})] == [dicom_id(1)]


def test_masks_of_poor_or_unknown_quality_are_left_out(tmp_path):
    write(tmp_path, [row(1, quality=0.7), row(2, quality=0.69), row(3, quality="")], folder=".")

    assert [view for view, _ in chexmask.read_masks(tmp_path)] == [dicom_id(1)]
    assert len(list(chexmask.read_masks(tmp_path, min_quality=0))) == 3


def test_studies_hold_references_to_their_masks(tmp_path):
    path = write(tmp_path, [row(1)])

    (study,) = chexmask.read_studies(tmp_path)

    assert study.masks == {name: f"{path}#{dicom_id(1)}" for name in ("lung_left", "lung_right", "heart")}
    assert (study.study_id, study.views[0].height, study.views[0].width) == (dicom_id(1), 2, 3)


def test_studies_of_mimic_cxr_gain_the_masks_of_their_frontal_view(tmp_path):
    path = write(tmp_path, [row(1)])
    mimic = write_mimic_jpg(tmp_path / "mimic", [image(1), image(2, study="50000002")])

    first, second = chexmask.with_masks(mimic_cxr.read_studies(mimic), tmp_path)

    assert first.masks["heart"] == f"{path}#{dicom_id(1)}"
    assert second.masks == {}


@pytest.mark.parametrize("values", [{"left": "5 3"}, {"left": "0 1"}, {"left": "1"}, {"left": "a b"}, {"Height": ""}, {"Width": 10**9}])
def test_runs_that_leave_the_image_name_their_row(tmp_path, values):
    write(tmp_path, [row(1), row(2, **values)])

    with pytest.raises(InvalidValue, match=r"MIMIC-CXR-JPG\.csv, row 3"):
        list(chexmask.read_masks(tmp_path))


def test_an_absent_table_and_absent_columns_are_named(tmp_path):
    with pytest.raises(MissingFile, match=r"MIMIC-CXR-JPG\.csv"):
        list(chexmask.read_masks(tmp_path))
    write(tmp_path, [{"dicom_id": "a"}])
    with pytest.raises(MissingColumns, match=r"'Dice RCA \(Mean\)', 'Left Lung'"):
        list(chexmask.read_masks(tmp_path))


def test_the_masks_of_studies_are_read_through_their_references(tmp_path):
    write(tmp_path, [row(1), row(2, left="2 2")])
    studies = list(chexmask.read_studies(tmp_path))

    found = dict(chexmask.read_study_masks(studies[1:]))

    assert set(found) == {dicom_id(2)}
    assert found[dicom_id(2)]["lung_left"].tolist() == [[False, True, True], [False, False, False]]
