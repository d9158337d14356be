"""A deflated file cannot take more memory than a film may."""

import struct
import tracemalloc
import zlib

import pytest
from films import film
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medvl.data import dicom as module
from medvl.data.dicom import UnreadableRadiograph, read_radiograph


def bomb(path, group_length):
    """A deflated file of four mebibytes of zeros, its group length true, false or left out."""
    ds = film()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    length = {"true": content[132:144], "false": content[132:140] + (1 << 30).to_bytes(4, "little"), "absent": b""}[group_length]
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    path.write_bytes(content[:132] + length + content[144:start] + deflater.compress(b"\0" * 2**22) + deflater.flush())


@pytest.mark.parametrize("group_length", ["true", "false", "absent"])
def test_a_deflated_file_that_grows_beyond_all_measure_is_refused_whatever_its_header_says_of_its_length(
    tmp_path, monkeypatch, group_length
):
    bomb(tmp_path / "x.dcm", group_length)
    monkeypatch.setattr(module, "MAX_BYTES", 2**20)

    with pytest.raises(UnreadableRadiograph, match="inflates to more than 1 MiB"):
        read_radiograph(tmp_path / "x.dcm")


def test_a_deflated_file_that_is_cut_short_is_refused(tmp_path):
    ds = film()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    (tmp_path / "x.dcm").write_bytes((tmp_path / "x.dcm").read_bytes()[:-20])

    with pytest.raises(UnreadableRadiograph, match="cut short"):
        read_radiograph(tmp_path / "x.dcm")


def test_a_group_of_commands_hides_no_deflated_data(tmp_path):
    bomb(tmp_path / "x.dcm", "true")
    content = (tmp_path / "x.dcm").read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    command = b"\x00\x00\x00\x01" + struct.pack("<I", 2) + b"\x00\x00"
    (tmp_path / "x.dcm").write_bytes(content[:start] + command + content[start:])

    with pytest.raises(UnreadableRadiograph):
        read_radiograph(tmp_path / "x.dcm")


@pytest.mark.parametrize("first", [b"", b"\x02\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00", b"\x02\x00\x01\x00ZZ\x02\x00\x00\x01"])
def test_a_file_meta_group_in_implicit_vr_hides_no_deflated_data(tmp_path, monkeypatch, first):
    name = DeflatedExplicitVRLittleEndian.encode()
    meta = first + b"\x02\x00\x10\x00" + struct.pack("<I", len(name)) + name
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    (tmp_path / "x.dcm").write_bytes(bytes(128) + b"DICM" + meta + deflater.compress(bytes(2**26)) + deflater.flush())
    monkeypatch.setattr(module, "MAX_BYTES", 2**20)

    tracemalloc.start()
    with pytest.raises(UnreadableRadiograph):
        read_radiograph(tmp_path / "x.dcm")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 2**23
