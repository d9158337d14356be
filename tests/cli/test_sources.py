"""The folders that benchmarks read beside the prepared dataset are looked for before a training, not at its end."""

import dataclasses

import pytest
from cohort import write_cohort

from medvl.benchmarks.progression_pairs import NoProgressionPairs
from medvl.cli.main import main
from medvl.cli.sources import chosen_benchmarks, missing_sources, require_sources, require_training_pairs
from medvl.data.prepare import prepare
from medvl.records import Progression
from medvl.runtime.config import compose, instantiate
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
        require_sources(config, chosen_benchmarks(config))

    assert missing_sources(config, chosen_benchmarks(config)) == [str(root / name)]


def test_a_key_that_names_no_folder_is_named(root):
    config = biovil_t("data.radnli=null")

    with pytest.raises(InvalidValue, match=r"data=mimic_cxr, radnli: names no folder .* set data\.radnli=…"):
        require_sources(config, chosen_benchmarks(config))

    assert missing_sources(config, chosen_benchmarks(config)) == ["data.radnli"]


def test_nothing_is_asked_for_a_benchmark_that_is_left_out(root):
    (root / "radnli").rmdir()
    config = biovil_t("benchmarks.radnli_two_class=null")

    require_sources(config, chosen_benchmarks(config))


def test_a_missing_model_of_single_films_is_named_before_the_training(root):
    config = biovil_t("benchmarks.progression.static=outputs/nowhere")

    with pytest.raises(MissingFile, match=r"outputs/nowhere does not exist.*benchmarks\.progression\.static"):
        require_sources(config, chosen_benchmarks(config))

    assert missing_sources(config, chosen_benchmarks(config)) == ["outputs/nowhere"]


def test_phrases_of_the_dataset_itself_need_no_other(root):
    config = compose("evaluate", ["benchmark=phrase_grounding", "data=padchest_gr", "trained=model"])

    assert missing_sources(config, [instantiate(config.benchmark)]) == []


def test_the_phantom_misses_nothing_that_it_makes(root):
    config = biovil_t("scale=phantom")

    assert missing_sources(config, chosen_benchmarks(config)) == []


def test_a_training_whose_benchmarks_cannot_run_does_not_start(root):
    (root / "radnli").rmdir()

    with pytest.raises(SystemExit, match=r"medvl train: .*radnli does not exist"):
        main(["train", "experiment=biovil_t", f"outputs={root / 'out'}"])

    assert sorted(path.name for path in root.iterdir()) == ["ms-cxr", "ms-cxr-t"]


@pytest.mark.parametrize("told", [{}, {"pneumonia": Progression("worsened", "silver")}])
def test_films_without_a_known_change_are_told_before_the_training_that_p0_ends(root, told):
    studies = [dataclasses.replace(study, progression=told) for study in write_cohort(root / "images", patients=3)]
    prepare(studies, root / "out", inputs={}, image_size=16, progress=False)
    config = biovil_t()

    if told:
        require_training_pairs(chosen_benchmarks(config), root / "out")
    else:
        with pytest.raises(
            NoProgressionPairs, match=r"no training study with a known change, which protocol P0 .*benchmarks\.progression=null"
        ):
            require_training_pairs(chosen_benchmarks(config), root / "out")
    require_training_pairs(chosen_benchmarks(biovil_t("benchmarks.progression=null")), root / "out")
