import zipfile

import numpy as np
import pytest
from films import RAMP
from PIL import Image

from medvl.data import dicom
from medvl.data.dicom import UnreadableRadiograph, read_radiograph

EIGHT = (RAMP >> 4).astype(np.uint8)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_a_16_bit_png_keeps_its_16_bits(tmp_path):
    values = RAMP * np.uint16(16)

    radiograph = read_radiograph(save(tmp_path / "x.png", values))

    assert np.allclose(radiograph.pixels, (RAMP - 100) / 3838, atol=1e-6)
    assert (radiograph.bits, radiograph.provenance["format"]) == (16, "png")


def test_an_8_bit_png_and_a_jpg_go_through_the_same_door(tmp_path):
    png = read_radiograph(save(tmp_path / "x.png", EIGHT))
    jpg = read_radiograph(save(tmp_path / "x.jpg", EIGHT, quality=100))

    assert np.allclose(png.pixels, (EIGHT - 6.0) / (246 - 6), atol=1e-6)
    assert np.abs(png.pixels - jpg.pixels).max() < 0.03
    assert (jpg.bits, jpg.photometric, jpg.pixel_spacing) == (8, "MONOCHROME2", None)


def test_the_content_says_what_a_file_is_and_not_its_name(tmp_path):
    assert read_radiograph(save(tmp_path / "x.dcm", EIGHT, format="PNG")).provenance["format"] == "png"


def test_a_member_of_an_archive_is_read_by_its_key_and_refused_by_it(tmp_path):
    picture = save(tmp_path / "x.png", EIGHT)
    with zipfile.ZipFile(tmp_path / "all.zip.001", "w") as archive:
        archive.write(picture, "x.png")

    radiograph = read_radiograph(f"{tmp_path}/all.zip.001#x.png")
    with pytest.raises(UnreadableRadiograph, match=r"all.zip.001#y.png"):
        read_radiograph(f"{tmp_path}/all.zip.001#y.png")

    assert np.array_equal(radiograph.pixels, read_radiograph(picture).pixels)


def test_a_grey_picture_of_three_equal_channels_is_grey(tmp_path):
    expected = read_radiograph(save(tmp_path / "x.png", EIGHT)).pixels
    opaque = np.full_like(EIGHT, 255)

    assert np.array_equal(read_radiograph(save(tmp_path / "rgb.png", np.dstack([EIGHT] * 3))).pixels, expected)
    assert np.array_equal(read_radiograph(save(tmp_path / "rgba.png", np.dstack([*[EIGHT] * 3, opaque]))).pixels, expected)


def test_a_colour_picture_is_refused(tmp_path):
    with pytest.raises(UnreadableRadiograph, match="colour"):
        read_radiograph(save(tmp_path / "x.png", np.dstack([EIGHT, EIGHT, EIGHT + 1])))


def test_a_moving_picture_is_refused(tmp_path):
    frames = [Image.fromarray(EIGHT), Image.fromarray(EIGHT[::-1].copy())]
    frames[0].save(tmp_path / "x.png", save_all=True, append_images=frames[1:])

    with pytest.raises(UnreadableRadiograph, match="several frames"):
        read_radiograph(tmp_path / "x.png")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(dicom, "MAX_PIXELS", 100)

    with pytest.raises(UnreadableRadiograph, match="48×40 pixels are more than the 100"):
        read_radiograph(save(tmp_path / "x.png", EIGHT))


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_a_picture_cut_short_is_refused_in_the_same_words_each_time(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    content = save(tmp_path / name, noise).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])

    messages = set()
    for _ in range(2):
        with pytest.raises(UnreadableRadiograph) as caught:
            read_radiograph(tmp_path / name)
        messages.add(str(caught.value))

    assert len(messages) == 1
