import gc
import logging
import pickle
import tracemalloc
import zipfile

import numpy as np
import pydicom
import pytest
from films import RAMP, film, write_film
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from medvl.data import dicom as module
from medvl.data import dicom_pixels
from medvl.data.dicom import UnreadableRadiograph, read_radiograph
from medvl.runtime.errors import UserError

UNIT_RAMP = (RAMP - 100) / np.float32(3838)


def real(name):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip("pydicom-data is not installed")
    return path


def scaled(values):
    values = values.astype(np.float64)
    return (values - values.min()) / (values.max() - values.min())


def band(pixels, left, right):
    height, width = pixels.shape
    return float(pixels[round(0.3 * height) : round(0.6 * height), round(left * width) : round(right * width)].mean())


def test_the_real_radiograph_has_dark_lungs_and_a_bright_spine():
    radiograph = read_radiograph(real("RG1_UNCR.dcm"))

    assert radiograph.pixels.shape == (1955, 1841)
    assert (radiograph.projection, radiograph.bits, radiograph.photometric) == ("PA", 15, "MONOCHROME1")
    assert band(radiograph.pixels, 0.45, 0.55) == pytest.approx(0.887, abs=0.002)
    assert band(radiograph.pixels, 0.15, 0.35) == pytest.approx(0.618, abs=0.002)
    assert band(radiograph.pixels, 0.65, 0.85) == pytest.approx(0.566, abs=0.002)


def test_the_jpeg_2000_twin_of_the_real_radiograph_is_equal():
    assert np.array_equal(read_radiograph(real("RG1_J2KR.dcm")).pixels, read_radiograph(real("RG1_UNCR.dcm")).pixels)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("bits", [8, 12])
def test_every_uncompressed_transfer_syntax_gives_the_same_pixels(tmp_path, syntax, bits):
    values = (RAMP >> 4).astype(np.uint8) if bits == 8 else RAMP
    expected = read_radiograph(write_film(tmp_path / "reference.dcm", values, bits=bits)).pixels
    ds = film(values, bits=bits)
    if syntax.is_little_endian is False:
        ds.PixelData = values.astype(values.dtype.newbyteorder(">")).tobytes()
        ds["PixelData"].VR = "OW" if bits > 8 else "OB"
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(tmp_path / "x.dcm", enforce_file_format=True)

    assert np.array_equal(read_radiograph(tmp_path / "x.dcm").pixels, expected)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("signed", [False, True])
def test_every_compressed_transfer_syntax_gives_the_same_pixels(tmp_path, syntax, signed):
    values = RAMP.astype(np.int16) - 2048 if signed else RAMP
    ds = film(values)
    ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(tmp_path / "x.dcm", enforce_file_format=True)

    radiograph = read_radiograph(tmp_path / "x.dcm")

    assert np.allclose(radiograph.pixels, UNIT_RAMP, atol=1e-7)
    assert radiograph.provenance["transfer_syntax"] == syntax.name


@pytest.mark.parametrize("name", ["JPEG-LL.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm", "JPEG2000.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_files_of_further_syntaxes_agree_with_pydicom(tmp_path, name):
    ds = pydicom.dcmread(real(name))
    expected = scaled(ds.pixel_array)
    ds.Modality = "CR"
    ds.save_as(tmp_path / "x.dcm")

    assert np.allclose(read_radiograph(tmp_path / "x.dcm").pixels, expected, atol=1e-6)


def test_twelve_bit_lossy_jpeg_is_refused_with_the_name_of_what_reads_it(tmp_path):
    ds = pydicom.dcmread(real("JPEG-lossy.dcm"))
    ds.Modality = "CR"
    ds.save_as(tmp_path / "x.dcm")

    with pytest.raises(UnreadableRadiograph, match="pylibjpeg-libjpeg"):
        read_radiograph(tmp_path / "x.dcm")


def test_a_missing_high_bit_changes_nothing(tmp_path):
    assert np.array_equal(read_radiograph(write_film(tmp_path / "x.dcm", HighBit=None)).pixels, UNIT_RAMP)


def test_bits_above_those_stored_mean_nothing(tmp_path):
    overlaid = RAMP | np.where(RAMP % 40 == 0, 0x8000, 0).astype(np.uint16)
    ds = film()
    ds.PixelData = overlaid.tobytes()
    ds.save_as(tmp_path / "x.dcm", enforce_file_format=True)

    assert np.array_equal(read_radiograph(tmp_path / "x.dcm").pixels, UNIT_RAMP)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize(("shift", "signed"), [(4, False), (2, False), (4, True)])
def test_pixels_at_the_upper_end_of_their_container_are_those_at_its_lower_end(tmp_path, syntax, shift, signed):
    values = RAMP.astype(np.int16) - 2048 if signed else RAMP
    ds = film(values, HighBit=11 + shift)
    ds.PixelData = (values << shift).tobytes()
    ds.file_meta.TransferSyntaxUID = syntax
    if syntax == RLELossless:
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(tmp_path / "x.dcm", enforce_file_format=True)

    assert np.array_equal(read_radiograph(tmp_path / "x.dcm").pixels, UNIT_RAMP)


@pytest.mark.parametrize("high_bit", [0, 7, 16, 40])
def test_a_high_bit_that_leaves_the_container_changes_nothing(tmp_path, high_bit):
    assert np.array_equal(read_radiograph(write_film(tmp_path / "x.dcm", HighBit=high_bit)).pixels, UNIT_RAMP)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15, 16])
def test_the_whole_range_of_8_to_16_bits_maps_to_0_and_1(tmp_path, bits):
    values = np.linspace(0, 2**bits - 1, 64).round().astype(np.uint8 if bits == 8 else np.uint16).reshape(8, 8)

    pixels = read_radiograph(write_film(tmp_path / "x.dcm", values, bits=bits)).pixels

    assert pixels.dtype == np.float32
    assert np.allclose(pixels, values / np.float32(2**bits - 1), atol=1e-6)


def test_pixels_that_are_not_square_are_resampled_to_the_finer_spacing(tmp_path):
    radiograph = read_radiograph(write_film(tmp_path / "x.dcm", PixelSpacing=["0.4", "0.2"]))

    assert radiograph.pixels.shape == (80, 48)
    assert radiograph.pixel_spacing == (0.2, 0.2)
    assert (radiograph.frame.source, radiograph.frame.target) == ((40, 48), (80, 48))
    assert radiograph.provenance["resampled"]


def test_an_aspect_ratio_alone_is_enough_to_resample(tmp_path):
    radiograph = read_radiograph(write_film(tmp_path / "x.dcm", PixelAspectRatio=["1", "2"]))

    assert radiograph.pixels.shape == (40, 96)
    assert radiograph.pixel_spacing is None


def test_spacing_is_the_detectors_where_there_is_no_other_and_none_where_it_is_zero(tmp_path):
    at_detector = read_radiograph(write_film(tmp_path / "a.dcm", ImagerPixelSpacing=["0.139", "0.139"]))
    zero = read_radiograph(write_film(tmp_path / "b.dcm", PixelSpacing=["0", "0"]))

    assert at_detector.pixel_spacing == (0.139, 0.139)
    assert zero.pixel_spacing is None


def test_no_more_than_three_float32_copies_are_alive_at_once(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (1500, 1500)).astype(np.uint16)
    path = write_film(tmp_path / "x.dcm", values, WindowCenter="2000", WindowWidth="3000", RescaleSlope="2", RescaleIntercept="-5")
    for intensity in ("minmax", "percentile", "window", "mimic_jpg"):
        gc.collect()
        tracemalloc.start()
        read_radiograph(path, intensity)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert peak <= 3 * values.size * 4 + 2**20 * 3, intensity


def test_a_file_without_modality_is_taken_for_a_radiograph(tmp_path):
    assert np.array_equal(read_radiograph(write_film(tmp_path / "x.dcm", Modality=None)).pixels, UNIT_RAMP)


@pytest.mark.parametrize(
    ("tags", "cause"),
    [
        ({"Modality": "CT"}, "modality"),
        ({"NumberOfFrames": 2}, "several frames"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),
        ({"PixelData": None}, "no pixel data"),
        ({"Rows": 0}, "no rows"),
        ({"Rows": 41}, "less than expected"),
        ({"Rows": 60000, "Columns": 60000}, "more than"),
        ({"BitsAllocated": 32}, "bits"),
        ({"BitsStored": None}, "bits"),
        ({"PixelRepresentation": None}, "PixelRepresentation"),
        ({"PixelSpacing": ["0.00001", "10"]}, "made square"),
    ],
)
def test_what_is_not_a_radiograph_is_refused_with_its_cause(tmp_path, tags, cause):
    path = write_film(tmp_path / "x.dcm", **tags)

    with pytest.raises(UnreadableRadiograph, match=cause) as caught:
        read_radiograph(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"x", b"PK\x03\x04" * 100, b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"\xff" * 500])
def test_files_that_are_no_images_are_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)

    with pytest.raises(UnreadableRadiograph):
        read_radiograph(tmp_path / "x")


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    for path in (tmp_path / "absent.dcm", tmp_path):
        with pytest.raises(UnreadableRadiograph, match="cannot be opened") as caught:
            read_radiograph(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_a_file_cut_short_is_refused(tmp_path, syntax):
    noise = np.random.default_rng(0).integers(0, 4096, (32, 32)).astype(np.uint16)
    ds = film(noise)
    if syntax:
        ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    content = (tmp_path / "x.dcm").read_bytes()
    for share in (0.3, 0.6, 0.9):
        (tmp_path / "cut.dcm").write_bytes(content[: int(len(content) * share)])

        with pytest.raises(UnreadableRadiograph):
            read_radiograph(tmp_path / "cut.dcm")


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=20))
def test_no_change_of_bytes_brings_another_error(tmp_path_factory, changes):
    folder = tmp_path_factory.getbasetemp()
    content = bytearray(write_film(folder / "original.dcm").read_bytes())
    for place, byte in changes:
        content[place % len(content)] = byte
    (folder / "changed.dcm").write_bytes(content)

    try:
        pixels = read_radiograph(folder / "changed.dcm", "window").pixels
    except UnreadableRadiograph:
        return

    assert np.isfinite(pixels).all()
    assert 0 <= pixels.min() <= pixels.max() <= 1


def test_an_archive_member_larger_than_any_radiograph_is_refused(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip.001", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.png", b"\0" * 2**21)
    monkeypatch.setattr(module, "MAX_BYTES", 2**20)

    with pytest.raises(UnreadableRadiograph, match=r"'x\.png' cannot be read \(it unpacks to 2,097,152 bytes, more than 1,048,576\)"):
        read_radiograph(f"{tmp_path / 'a.zip.001'}#x.png")


def test_a_missing_decoder_is_named_with_the_extra_that_brings_it(tmp_path, monkeypatch):
    class Decoder:
        available_plugins = ()

    ds = film()
    ds.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    ds.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    ds["PixelData"].VR = "OB"
    ds.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    monkeypatch.setattr(dicom_pixels, "get_decoder", lambda syntax: Decoder)

    with pytest.raises(UnreadableRadiograph, match=r"no decoder for JPEG Lossless.* pip install 'medvl\[dicom\]'"):
        read_radiograph(tmp_path / "x.dcm")


def test_a_film_is_not_a_video(tmp_path):
    ds = film()
    ds.PixelData = encapsulate([b"\0\0"])
    ds.file_meta.TransferSyntaxUID = MPEG2MPML
    ds["PixelData"].VR = "OB"
    ds.save_as(tmp_path / "x.dcm", enforce_file_format=True)

    with pytest.raises(UnreadableRadiograph, match="still images"):
        read_radiograph(tmp_path / "x.dcm")


def test_nothing_that_identifies_anyone_leaves_the_door(tmp_path, caplog, recwarn):
    good = write_film(tmp_path / "good.dcm")
    bad = write_film(tmp_path / "bad.dcm", Rows=41)
    caplog.set_level(logging.INFO)

    radiograph = read_radiograph(good)
    with pytest.raises(UnreadableRadiograph) as caught:
        read_radiograph(bad)

    assert "SECRET" not in repr(radiograph) + str(caught.value) + caplog.text
    assert not recwarn.list


def test_an_unknown_intensity_is_an_error_that_names_the_nearest(tmp_path):
    with pytest.raises(UserError, match="did you mean 'minmax'"):
        read_radiograph(write_film(tmp_path / "x.dcm"), "min_max")


def test_the_error_survives_a_journey_between_processes():
    error = pickle.loads(pickle.dumps(UnreadableRadiograph("x.dcm", "it is damaged")))

    assert (str(error), error.cause) == ("x.dcm: it is damaged", "it is damaged")
