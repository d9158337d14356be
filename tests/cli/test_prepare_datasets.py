"""Every dataset of the dataset layer goes through the command line: missing folders are listed, what is there is prepared."""

import json

import pytest

from medvl.cli import main
from medvl.data.prepared import PreparedDataset
from medvl.phantom.cohort import make_cohort
from medvl.runtime.config import compose, config_folder

RELEASES = sorted(path.stem for path in (config_folder() / "data").glob("*.yaml") if not path.stem.startswith("phantom"))
LAYOUTS = (
    *("mimic_cxr", "ms_cxr", "ms_cxr_t", "padchest_gr", "open_i"),
    *("chexpert", "nih_cxr14", "rsna_pneumonia", "siim_acr", "vindr_cxr", "candid_ptx"),
)
FOLDER = {name: name.replace("_", "-") for name in RELEASES}


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    root = tmp_path_factory.mktemp("releases")
    make_cohort(root, patients=24, size=48, layouts=LAYOUTS, image_format="both", laterals=False, workers=1, progress=False)
    return root


def prepared(folder, name, *words):
    main.main(["prepare", f"data={name}", f"data.prepared={folder}", "image_size=32", "prepare.workers=1", *words])
    return PreparedDataset(folder)


@pytest.mark.parametrize("name", RELEASES)
def test_a_dry_run_lists_the_folders_that_are_missing_and_sizes_the_cache(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEDVL_DATA", str(tmp_path))

    main.main(["prepare", f"data={name}", "--dry-run", "--json"])

    plan = json.loads(capsys.readouterr().out)
    assert str(tmp_path / FOLDER[name]) in plan["missing"]
    assert plan["disk_bytes"] > 1e8


def test_a_root_that_is_null_is_not_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEDVL_DATA", str(tmp_path))

    main.main(["prepare", "data=ms_cxr", "data.mimic_root=null", "--dry-run", "--json"])

    assert json.loads(capsys.readouterr().out)["missing"] == [str(tmp_path / "ms-cxr"), str(tmp_path / "mimic-cxr-jpg")]


@pytest.mark.slow
@pytest.mark.parametrize("name", RELEASES)
def test_every_release_is_prepared_with_its_privacy_policy(name, releases, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDVL_DATA", str(releases))

    dataset = prepared(tmp_path, name)

    assert len(dataset) > 0
    assert dataset.privacy == compose("prepare", [f"data={name}"]).data.privacy
    assert all(dataset.view_ids(row) for row in range(len(dataset)))


@pytest.mark.slow
def test_the_jpg_release_alone_is_enough(releases, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDVL_DATA", str(releases))

    dataset = prepared(tmp_path, "mimic_cxr_jpg", "data.reports_root=null")

    assert {view.path.rpartition(".")[2] for study in dataset.studies for view in study.views} == {"jpg"}
    assert not any(study.report for study in dataset.studies)


@pytest.mark.slow
def test_an_evaluation_set_that_arrives_later_is_noticed(releases, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEDVL_DATA", str(releases))
    later = tmp_path / "ms-cxr"
    roots = [f"data.evaluation_roots.ms_cxr={later}", "data.evaluation_roots.ms_cxr_t=null", "data.evaluation_roots.chest_imagenome=null"]
    prepared(tmp_path / "prepared", "mimic_cxr", *roots)
    assert f"{later} is not there: its patients stay in training" in capsys.readouterr().err
    later.symlink_to(releases / "ms-cxr")

    with pytest.raises(SystemExit, match=r"prepared differently: inputs\.held_out"):
        prepared(tmp_path / "prepared", "mimic_cxr", *roots)
