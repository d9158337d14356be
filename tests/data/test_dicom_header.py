import logging

import numpy as np
import pydicom
import pytest
from films import RAMP, table, write_film
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from medvl.data.dicom import read_radiograph

UNIT_RAMP = (RAMP - 100) / np.float32(3838)


def scaled(values):
    values = values.astype(np.float64)
    return (values - values.min()) / (values.max() - values.min())


def test_monochrome1_is_turned_to_bone_bright(tmp_path):
    radiograph = read_radiograph(write_film(tmp_path / "x.dcm", photometric="MONOCHROME1"))

    assert np.allclose(radiograph.pixels, 1 - UNIT_RAMP, atol=1e-7)
    assert radiograph.provenance["inverted"]


@pytest.mark.parametrize(
    ("modality", "photometric", "shape", "inverted"),
    [
        ("CR", "MONOCHROME2", "INVERSE", True),
        ("CR", "MONOCHROME1", "IDENTITY", True),
        ("CR", "MONOCHROME1", "INVERSE", False),
        ("DX", "MONOCHROME2", "INVERSE", False),
        ("DX", "MONOCHROME1", "INVERSE", True),
        ("DX", "MONOCHROME1", "IDENTITY", True),
    ],
)
def test_the_presentation_shape_inverts_other_images_and_is_no_news_in_digital_x_ray(tmp_path, modality, photometric, shape, inverted):
    path = write_film(tmp_path / "x.dcm", photometric=photometric, Modality=modality, PresentationLUTShape=shape)

    assert read_radiograph(path).provenance["inverted"] is inverted


def test_a_shape_that_disagrees_in_digital_x_ray_is_warned_of(tmp_path, caplog):
    path = write_film(tmp_path / "x.dcm", Modality="DX", PresentationLUTShape="INVERSE")

    with caplog.at_level(logging.WARNING):
        read_radiograph(path)

    assert "disagrees" in caplog.text


@pytest.mark.parametrize(("slope", "expected"), [("2.5", UNIT_RAMP), ("-1", 1 - UNIT_RAMP)])
def test_a_rescale_counts_by_its_direction_alone(tmp_path, slope, expected):
    radiograph = read_radiograph(write_film(tmp_path / "x.dcm", RescaleSlope=slope, RescaleIntercept="-1024"))

    assert np.allclose(radiograph.pixels, expected, atol=1e-6)
    assert radiograph.provenance["modality"] == "rescale"


def test_the_modality_table_pattern_agrees_with_pydicom(tmp_path):
    ds = pydicom.dcmread(get_testdata_file("mlut_18.dcm", download=False))
    expected = scaled(apply_modality_lut(ds.pixel_array, ds))
    ds.Modality = "RG"
    ds.save_as(tmp_path / "x.dcm")

    radiograph = read_radiograph(tmp_path / "x.dcm")

    assert np.allclose(radiograph.pixels, expected, atol=1e-6)
    assert radiograph.provenance["modality"] == "table"


def test_the_voi_table_pattern_agrees_with_pydicom(tmp_path):
    ds = pydicom.dcmread(get_testdata_file("vlut_04.dcm", download=False))
    expected = apply_voi_lut(ds.pixel_array, ds) / (2.0 ** ds.VOILUTSequence[0].LUTDescriptor[2] - 1)
    ds.Modality = "RG"
    ds.save_as(tmp_path / "x.dcm")

    radiograph = read_radiograph(tmp_path / "x.dcm", "window")

    assert np.allclose(radiograph.pixels, expected, atol=1e-6)
    assert radiograph.provenance["voi"] == "table"


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("rescaled", [False, True])
def test_every_window_function_agrees_with_pydicom(tmp_path, function, signed, rescaled):
    values = RAMP.astype(np.int16) - 2048 if signed else RAMP
    tags = {"WindowCenter": "300.5", "WindowWidth": "1200"} | ({"VOILUTFunction": function} if function else {})
    if rescaled:
        tags |= {"RescaleSlope": "0.5", "RescaleIntercept": "-100"}
    path = write_film(tmp_path / "x.dcm", values, **tags)
    ds = pydicom.dcmread(path)
    shown = apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds)
    ends = np.array([-2048.0, 2047.0] if signed else [0.0, 4095.0])
    low, high = ends * 0.5 - 100 if rescaled else ends

    radiograph = read_radiograph(path, "window")

    assert np.allclose(radiograph.pixels, (shown - low) / (high - low), atol=1e-6)


def test_the_first_of_several_windows_is_used(tmp_path):
    several = write_film(tmp_path / "a.dcm", WindowCenter=["2000", "1"], WindowWidth=["1000", "2"])
    one = write_film(tmp_path / "b.dcm", WindowCenter="2000", WindowWidth="1000")

    assert np.array_equal(read_radiograph(several, "window").pixels, read_radiograph(one, "window").pixels)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"WindowCenter": "2000", "WindowWidth": "0"},
        {"WindowCenter": "2000", "WindowWidth": "-5", "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": "2000", "WindowWidth": "100", "VOILUTFunction": "CUBIC"},
    ],
)
def test_without_a_valid_window_the_range_of_the_image_is_shown_and_recorded(tmp_path, tags):
    radiograph = read_radiograph(write_film(tmp_path / "x.dcm", **tags), "window")

    assert np.allclose(radiograph.pixels, UNIT_RAMP, atol=1e-7)
    assert radiograph.provenance["intensity"] == "minmax"


def test_a_voi_table_goes_before_a_window_and_its_ends_hold_beyond_it(tmp_path):
    entries = np.linspace(0, 255, 1000).round()
    path = write_film(tmp_path / "x.dcm", WindowCenter="1", WindowWidth="2", VOILUTSequence=table(entries, first=1000, bits=8))

    pixels = read_radiograph(path, "window").pixels

    assert np.allclose(pixels, entries[np.clip(RAMP.astype(int) - 1000, 0, 999)] / 255, atol=1e-6)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_leaves_the_range_alone(tmp_path, photometric):
    values = RAMP.copy()
    values[:, :3] = 4000
    path = write_film(tmp_path / "x.dcm", values, photometric=photometric, PixelPaddingValue=4000)

    pixels = read_radiograph(path).pixels

    image = scaled(values[:, 3:])
    assert not pixels[:, :3].any()
    assert np.allclose(pixels[:, 3:], image if photometric == "MONOCHROME2" else 1 - image, atol=1e-6)


def test_a_padding_range_counts_both_of_its_ends_in_either_order(tmp_path):
    values = RAMP.copy()
    values[0] = np.arange(48) % 16
    path = write_film(tmp_path / "x.dcm", values, PixelPaddingValue=15, PixelPaddingRangeLimit=0)

    pixels = read_radiograph(path).pixels

    assert not pixels[0].any()
    assert np.allclose(pixels[1:], scaled(values[1:]), atol=1e-6)
