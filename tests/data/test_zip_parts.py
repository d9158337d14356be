"""An archive in pieces reads like the whole."""

import io
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvl.data.zip_parts import ConcatenatedParts, member_keys, read_member
from medvl.runtime.errors import InvalidValue


@given(data=st.binary(max_size=60), size=st.integers(1, 20), moves=st.lists(st.tuples(st.integers(0, 70), st.integers(0, 30)), max_size=6))
def test_any_seek_and_read_equals_the_whole(tmp_path_factory, data, size, moves):
    folder = tmp_path_factory.mktemp("parts")
    for number, start in enumerate(range(0, max(len(data), 1), size), start=1):
        (folder / f"a.zip.{number:03d}").write_bytes(data[start : start + size])
    whole = io.BytesIO(data)

    with io.BufferedReader(ConcatenatedParts(folder / "a.zip.001"), 4) as parts:
        for position, count in moves:
            assert parts.seek(position) == whole.seek(position)
            assert parts.read(count) == whole.read(count)
        assert parts.seek(0, io.SEEK_END) == len(data)


def test_a_damaged_archive_and_a_damaged_member_are_named(tmp_path):
    first = tmp_path / "a.zip.001"
    with zipfile.ZipFile(first, "w") as archive:
        archive.writestr("folder/x.png", b"0123456789")
    key = member_keys(first)["x.png"]
    first.write_bytes(first.read_bytes().replace(b"0123456789", b"0123456780"))

    with pytest.raises(InvalidValue, match=r"a\.zip\.001, archive: member 'folder/x\.png'"):
        read_member(key)
    first.write_bytes(b"not an archive")
    with pytest.raises(InvalidValue, match=r"a\.zip\.001, archive: cannot be read"):
        member_keys(first)


def test_a_member_larger_than_allowed_is_refused_before_it_is_unpacked(tmp_path):
    first = tmp_path / "a.zip.001"
    with zipfile.ZipFile(first, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.png", bytes(1000))

    assert read_member(f"{first}#x.png", max_bytes=1000) == bytes(1000)
    with pytest.raises(InvalidValue, match=r"'x\.png' cannot be read \(it unpacks to 1,000 bytes, more than 999\)"):
        read_member(f"{first}#x.png", max_bytes=999)


def test_an_archive_that_lies_about_a_size_takes_no_more_memory_than_it_states(tmp_path):
    first = tmp_path / "a.zip.001"
    with zipfile.ZipFile(first, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.png", bytes(1 << 24))
    first.write_bytes(first.read_bytes().replace((1 << 24).to_bytes(4, "little"), (1000).to_bytes(4, "little")))

    tracemalloc.start()
    with pytest.raises(InvalidValue, match="CRC"):
        read_member(f"{first}#x.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1 << 22


def test_a_compression_that_cannot_be_stopped_in_time_is_refused(tmp_path):
    first = tmp_path / "a.zip.001"
    with zipfile.ZipFile(first, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.png", bytes(1000))

    with pytest.raises(InvalidValue, match="not deflation"):
        read_member(f"{first}#x.png")
