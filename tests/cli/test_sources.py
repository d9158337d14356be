"""The folders that benchmarks read beside the prepared dataset are looked for before a training, not at its end."""

import pytest

from medvl.cli.main import main
from medvl.cli.sources import missing_sources, require_sources
from medvl.runtime.config import compose
from medvl.runtime.errors import InvalidValue, MissingFile

FOLDERS = ("ms-cxr", "ms-cxr-t", "radnli")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Where the datasets are; the three folders are there and empty."""
    monkeypatch.setenv("MEDVL_DATA", str(tmp_path))
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    return tmp_path


def biovil_t(*words):
    return compose("train", ["experiment=biovil_t", *words])


@pytest.mark.parametrize("name", FOLDERS)
def test_a_missing_folder_is_named_with_its_key_and_what_to_do_without(root, name):
    (root / name).rmdir()
    config = biovil_t()

    with pytest.raises(MissingFile, match=rf"{name} does not exist.*data\.{name.replace('-', '_')}=….*benchmarks\.NAME=null"):
        require_sources(config, config.benchmarks.values())

    assert missing_sources(config, config.benchmarks.values()) == [str(root / name)]


def test_a_key_that_names_no_folder_is_named(root):
    config = biovil_t("data.radnli=null")

    with pytest.raises(InvalidValue, match=r"data=mimic_cxr, radnli: names no folder .* set data\.radnli=…"):
        require_sources(config, config.benchmarks.values())

    assert missing_sources(config, config.benchmarks.values()) == ["data.radnli"]


def test_nothing_is_asked_for_a_benchmark_that_is_left_out(root):
    (root / "radnli").rmdir()
    config = biovil_t("benchmarks.radnli_two_class=null")

    require_sources(config, config.benchmarks.values())


def test_phrases_of_the_dataset_itself_need_no_other(root):
    config = compose("evaluate", ["benchmark=phrase_grounding", "data=padchest_gr", "trained=model"])

    assert missing_sources(config, [config.benchmark]) == []


def test_the_phantom_misses_nothing_that_it_makes(root):
    config = biovil_t("scale=phantom")

    assert missing_sources(config, config.benchmarks.values()) == []


def test_a_training_whose_benchmarks_cannot_run_does_not_start(root):
    (root / "radnli").rmdir()

    with pytest.raises(SystemExit, match=r"medvl train: .*radnli does not exist"):
        main(["train", "experiment=biovil_t", f"outputs={root / 'out'}"])

    assert sorted(path.name for path in root.iterdir()) == ["ms-cxr", "ms-cxr-t"]
