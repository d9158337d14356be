"""The link to the latest run of a name, and configurations that name the run itself."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from medvl.runtime.latest import follow_links, followed, link_latest


def run(folder, name):
    (folder / name / "model").mkdir(parents=True)
    return folder / name


def test_the_name_leads_to_the_latest_run(tmp_path):
    first, second = run(tmp_path, "quickstart-0123abcd"), run(tmp_path, "quickstart-4567cdef")

    link_latest(first)
    link_latest(second)

    assert (tmp_path / "quickstart" / "model").samefile(second / "model")
    assert {p.name for p in tmp_path.iterdir()} == {"quickstart", first.name, second.name}


def test_what_is_no_link_stays(tmp_path):
    own = run(tmp_path, "quickstart")

    link_latest(run(tmp_path, "quickstart-0123abcd"))

    assert not own.is_symlink()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not the folder of a run"):
        link_latest(tmp_path / "model")


def test_a_configuration_names_the_run_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(Path("train"), "rad_dino-0123abcd")
    link_latest(Path("train/rad_dino-0123abcd"))
    config = OmegaConf.create(
        {"encoder": "train/rad_dino/model", "name": "rad_dino", "more": [{"init_from": "train/rad_dino"}, "a/b"], "n": 3}
    )

    follow_links(config)

    assert config == {
        "encoder": "train/rad_dino-0123abcd/model",
        "name": "rad_dino",
        "more": [{"init_from": "train/rad_dino-0123abcd"}, "a/b"],
        "n": 3,
    }


@pytest.mark.parametrize("target", ["elsewhere", "data-v2", "other-0123abcd"])
def test_other_links_are_not_followed(tmp_path, target):
    (tmp_path / target).mkdir()
    (tmp_path / "data").symlink_to(target)

    assert followed(tmp_path / "data" / "x") == tmp_path / "data" / "x"


def test_a_text_that_is_no_path_stays():
    config = OmegaConf.create({"phrases": ["effusion " * 100 + "and/or edema"]})
    before = config.copy()

    follow_links(config)

    assert config == before
