"""A folder beside its published release: counts, missing files, damaged files."""

import hashlib
import io
import json

import cv2
import numpy as np
import pytest
from layouts import image, study_folder, write_csv, write_mimic_jpg
from rich.console import Console

from medvl.data import verify as module
from medvl.data.verify import verify
from medvl.runtime.errors import MissingFile, UserError


@pytest.fixture
def release(tmp_path):
    rows = [image(number, study=f"5000000{number}") for number in (1, 2, 3)]
    write_mimic_jpg(tmp_path, rows)
    for row in rows:
        path = tmp_path / study_folder(row) / f"{row['dicom_id']}.jpg"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1)))
    return tmp_path


def images(root):
    return sorted(root.glob("files/**/*.jpg"))


def rows(report):
    return {row.what: row for row in report.rows}


def test_a_whole_folder_of_another_size_is_ok_but_not_as_published(release):
    report = verify("mimic_cxr_jpg", release)

    assert report.ok
    assert not report.as_published
    assert (rows(report)["studies"].expected, rows(report)["studies"].found) == (227_835, 3)
    assert rows(report)["images opened"].found == 3


def test_missing_and_corrupt_images_are_counted_and_named(release):
    images(release)[0].unlink()
    images(release)[1].write_bytes(b"not an image")

    report = verify("mimic_cxr_jpg", release, all_files=True, options={"images": "jpg"})

    assert not report.ok
    assert rows(report)["image files"].missing == 1
    assert rows(report)["images opened"].corrupt == 1
    assert rows(report)["images opened"].first_bad == (str(images(release)[1]),)


def test_the_sample_depends_on_names_alone(release):
    assert rows(verify("mimic_cxr_jpg", release, sample=2))["images opened"].expected == 2
    assert module._sampled(["a/1", "a/2", "a/3"], 2) == [f"a{name[1:]}" for name in module._sampled(["b/3", "b/2", "b/1"], 2)]


def test_checksums_are_compared_where_the_release_lists_them(release):
    first, second, _ = images(release)
    listed = {str(p.relative_to(release)): hashlib.sha256(p.read_bytes()).hexdigest() for p in (first, second)}
    lines = [f"{digest} {name}" for name, digest in listed.items()] + [f"{'0' * 64} absent.csv"]
    (release / "SHA256SUMS.txt").write_text("\n".join(lines) + "\n")
    second.write_bytes(second.read_bytes() + b" ")

    row = rows(verify("mimic_cxr_jpg", release))["checksums"]

    assert (row.expected, row.found, row.missing, row.corrupt) == (3, 1, 1, 1)
    assert row.first_bad == ("absent.csv", str(second.relative_to(release)))


def test_a_table_that_cannot_be_read_is_a_corrupt_record(tmp_path):
    write_csv(tmp_path / "MS_CXR_Local_Alignment_v1.1.0.csv", [{"dicom_id": "x"}])

    report = verify("ms_cxr", tmp_path)

    assert not report.ok
    assert "has no column 'category_name'" in rows(report)["records"].first_bad[0]


def test_published_counts_that_are_met_are_said_to_be(tmp_path):
    line = json.dumps({"sentence1": "a", "sentence2": "b", "gold_label": "neutral"})
    for part in ("dev", "test"):
        (tmp_path / f"radnli_{part}_v1.jsonl").write_text(f"{line}\n" * 480)

    report = verify("radnli", tmp_path)

    assert report.as_published
    assert report.ok
    assert report.to_json()["rows"][0] == {
        "what": "pairs in dev",
        "expected": 480,
        "found": 480,
        "missing": 0,
        "corrupt": 0,
        "first_bad": [],
    }


def test_the_table_shows_expected_found_missing_and_corrupt(release):
    console = Console(width=150, record=True, file=io.StringIO())

    console.print(verify("mimic_cxr_jpg", release).table())

    text = console.export_text()
    assert "differs from the published release" in text
    assert "227,835" in text
    assert "first bad names" in text


def test_an_unknown_dataset_and_an_absent_folder_are_named(tmp_path):
    with pytest.raises(UserError, match="no dataset 'mimic' — did you mean 'mimic_cxr'"):
        verify("mimic", tmp_path)
    with pytest.raises(MissingFile):
        verify("padchest_gr", tmp_path)
