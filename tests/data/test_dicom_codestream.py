"""A compressed frame's size is known before it is decoded, and nothing in the frame can feign it."""

import struct

import numpy as np
import pytest
from films import RAMP, film
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from medvl.data.dicom import UnreadableRadiograph, read_radiograph
from medvl.data.dicom_codestream import JP2_SIGNATURE, check_rle, stated_shape
from medvl.data.intensity import NotARadiograph

FAKE = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + struct.pack(">4I", 48, 40, 0, 0) + b"\0" * 16 + b"\0\x01"
ENORMOUS = b"\xff\xc0\x00\x0b\x08\xff\xdc\xff\xdc\x01\x01\x11\x00"  # a frame of 65500×65500


def j2k(right=40, bottom=30, left=8, top=6, components=1):
    return b"\xff\x4f\xff\x51\x00\x29\x00\x00" + struct.pack(">8IH", right, bottom, left, top, 0, 0, 0, 0, components)


def segment(marker, content):
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def write_frame(path, frame, syntax, **tags):
    ds = film(**tags)
    ds.PixelData = encapsulate([frame])
    ds.file_meta.TransferSyntaxUID = syntax
    ds["PixelData"].VR = "OB"
    ds.save_as(path, enforce_file_format=True)
    return path


def rle(*segments):
    starts = np.cumsum([64, *map(len, segments)])[:-1]
    return struct.pack("<16I", len(segments), *starts, *[0] * (15 - len(segments))) + b"".join(segments)


def test_a_jpeg_states_its_shape_behind_other_segments_and_fill_bytes():
    assert stated_shape(b"\xff\xd8" + segment(0xE0, b"ab") + b"\xff\xff\xc3\x00\x0b\x0c\x00\x10\x00\x20\x01\0\0\0") == (16, 32, 1)


def test_a_jpeg_2000_codestream_states_its_shape_bare_and_in_boxes():
    bare = j2k()
    long_box = struct.pack(">I4sQ", 1, b"uuid", 16 + len(FAKE)) + FAKE
    boxed = JP2_SIGNATURE + struct.pack(">I4s", 8 + len(FAKE), b"uuid") + FAKE + long_box + struct.pack(">I4s", 0, b"jp2c") + bare

    assert stated_shape(bare) == (24, 32, 1)
    assert stated_shape(boxed) == (24, 32, 1)


@pytest.mark.parametrize("frame", [b"", b"\xff\xd8", b"\x01\0\0\0" * 16, b"junk" + j2k(), j2k()[:-1], JP2_SIGNATURE + b"\0" * 40 + j2k()])
def test_what_begins_as_no_codestream_or_is_cut_short_states_nothing(frame):
    assert stated_shape(frame) is None


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff", JP2_SIGNATURE, b"\xff\x4f\xff\x51"]))
def test_any_bytes_are_read_to_an_end(content, start):
    shape = stated_shape(start + content)

    assert shape is None or len(shape) == 3


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEG2000Lossless, JPEGLSLossless])
def test_a_marker_feigned_in_a_segment_hides_no_enormous_frame(tmp_path, syntax):
    frame = b"\xff\xd8" + segment(0xE5, FAKE) + ENORMOUS + b"\0" * 64 + b"\xff\xd9"

    with pytest.raises(UnreadableRadiograph, match="65500×65500, its header says 48×40"):
        read_radiograph(write_frame(tmp_path / "x.dcm", frame, syntax))


def test_a_frame_that_states_no_size_is_not_given_to_a_decoder(tmp_path):
    with pytest.raises(UnreadableRadiograph, match="do not state their size"):
        read_radiograph(write_frame(tmp_path / "x.dcm", b"junk" + FAKE, JPEG2000Lossless))


def test_a_codestream_of_thousands_of_components_is_not_given_to_a_decoder(tmp_path):
    with pytest.raises(UnreadableRadiograph, match="coloured"):
        read_radiograph(write_frame(tmp_path / "x.dcm", j2k(48, 40, 0, 0, components=16384), JPEG2000Lossless))


def test_a_codestream_whose_size_is_not_the_headers_is_refused_before_decoding(tmp_path):
    ds = film()
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    ds.Rows = 80
    ds.save_as(tmp_path / "x.dcm", enforce_file_format=True)

    with pytest.raises(UnreadableRadiograph, match="48×40, its header says 48×80"):
        read_radiograph(tmp_path / "x.dcm")


def test_rle_segments_padded_at_their_end_are_read_without_a_word(tmp_path, capfd):
    high, low = (RAMP >> 8).astype(np.uint8).tobytes(), (RAMP & 255).astype(np.uint8).tobytes()
    literal = [b"".join(b"\x7f" + part[i : i + 128] for i in range(0, 1920, 128)) for part in (high, low)]
    frame = rle(*(part + b"\x81\x00" for part in literal))  # 2,048 bytes for an image of 1,920 pixels

    radiograph = read_radiograph(write_frame(tmp_path / "x.dcm", frame, RLELossless))

    assert np.array_equal(radiograph.pixels, (RAMP - 100) / np.float32(3838))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("frame", "cause"),
    [
        (b"\x02" + b"\0" * 40, "cut short"),
        (struct.pack("<16I", 16, *[64] * 15), "does not fit"),
        (struct.pack("<16I", 2, 64, 10**6, *[0] * 13) + b"\x81\x00", "does not fit"),
        (struct.pack("<16I", 2, 0, 0, *[0] * 13) + b"\x81\x00", "does not fit"),
        (rle(b"\x81\x00" * 10_000, b"\x81\x00"), "not of the size"),
        (rle(b"\x81\x00", b"\x82\x00"), "not of the size"),
        (rle(b"\x81\x00", b"\x7f" + b"\0" * 127), "not of the size"),
        (rle(b"\x81\x00", b"\x80\x81"), "not of the size"),
    ],
)
def test_rle_data_that_cannot_be_the_image_is_refused_before_it_is_unpacked(frame, cause):
    with pytest.raises(NotARadiograph, match=cause):
        check_rle(frame, pixels=128)


def test_rle_data_of_the_image_passes():
    check_rle(rle(b"\x81\x00", b"\x80\x3f" + b"\0" * 64 + b"\xc1\x00\x00"), pixels=128)
