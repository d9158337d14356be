"""Files are whole or absent."""

import pytest

from medvl.runtime.files import atomic_path, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    write_text(tmp_path / "a.txt", "old")

    with pytest.raises(RuntimeError):
        _write_half(tmp_path / "a.txt")

    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def _write_half(path):
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError


def test_nan_is_not_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"value": float("nan")})
    assert not (tmp_path / "a.json").exists()
