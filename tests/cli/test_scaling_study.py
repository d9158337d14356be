"""The scaling study's points: which runs it makes, what each is told, and what is trained again."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from cohort import write_cohort

from medvl.cli import scaling, stages
from medvl.cli.scaling import planned, point_config, run_study
from medvl.data.prepare import prepare
from medvl.data.prepared import PreparedDataset
from medvl.data.subsets import PatientSubset
from medvl.runtime.config import check_targets, compose, instantiate, on_meta, require_complete

SMALL_DINO = {"image_size": 32, "patch_size": 8, "width": 24, "depth": 1, "heads": 3}
FINDINGS = ("Cardiomegaly", "Support Devices")
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*logging interval.*", "ignore:.*litlogger.*", "ignore:.*in eval mode at the start.*"
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    studies = [_labelled(study, number) for number, study in enumerate(write_cohort(root / "images", patients=20))]
    prepare(studies, root / "out", inputs={}, image_size=32, progress=False)
    return root / "out"


def _labelled(study, number):
    labels = {finding: "positive" if (number // 2 + i) % 2 else "negative" for i, finding in enumerate(FINDINGS)}
    return dataclasses.replace(study, labels={"chexpert": labels, "test_set": labels})


def study_config(prepared, outputs, *words):
    config = compose("train", ["experiment=scaling_laws", "scale=phantom", f"data.prepared={prepared}", f"outputs={outputs}", *words])
    require_complete(config)
    return config


def tiny(prepared, outputs, *words):
    """Both paradigms on 32 pixels for two steps."""
    unicl = "study.paradigms.unicl"
    sizes = [f"model.{name}={value}" for name, value in SMALL_DINO.items()]
    davit = [f"{unicl}.model.image.widths=[8,8,8,8]", f"{unicl}.model.image.heads=[1,1,1,1]", f"{unicl}.model.text_width=16"]
    batches = [f"{part}batches.{key}" for part in ("", f"{unicl}.") for key in ("crop=32", "batch_size=4")]
    head = ["training.head.prototypes=8", "training.head.hidden_dim=8", "training.head.bottleneck_dim=8"]
    probes = [f"study.tasks.{task}.steps=20" for task in ("findings", "devices")]
    more = ["batches.samples.crops.local_size=16", "study.sizes=[0.5,1.0]", "study.seeds=[0,1]", "training.steps=2", "study.replicates=20"]
    return study_config(prepared, outputs, *sizes, *davit, *batches, *head, *probes, *more, *words)


def test_both_paradigms_are_built_at_full_size_from_the_recipe():
    config = compose("train", ["experiment=scaling_laws"])
    require_complete(config)
    check_targets(config)

    sizes = {}
    for paradigm in config.study.paradigms:
        with on_meta():
            point = point_config(config, paradigm, PatientSubset(30_000), seed=0)
            sizes[paradigm] = sum(p.numel() for p in instantiate(point.model).parameters())

    assert sizes == {"dino": 86_580_480, "unicl": 602_235_905}


def test_a_point_says_its_subset_and_seed_everywhere(prepared, tmp_path):
    config = study_config(prepared, tmp_path)

    for paradigm in ("dino", "unicl"):
        point = point_config(config, paradigm, PatientSubset(0.25, 7), seed=3)

        assert (point.seed, point.batches.seed, point.training.seed) == (3, 3, 3)
        assert instantiate(point.batches).patients == PatientSubset(0.25, 7)
        assert point.training._target_.endswith("DinoTraining" if paradigm == "dino" else "ImageTextLabelTraining")
        assert point.training.steps == config.training.steps
        assert point.validation.every_steps == point.training.steps


def test_sizes_that_mean_the_same_patients_are_one_point(prepared, tmp_path):
    config = study_config(prepared, tmp_path, "study.sizes=[0.5,1.0,1000,3500000]", "study.seeds=[0,1]")

    runs = list(planned(config, PreparedDataset(prepared)))

    assert [(r.paradigm, r.seed, r.patients) for r in runs if r.seed == 0] == [(p, 0, n) for p in config.study.paradigms for n in (6, 12)]
    assert len({r.folder for r in runs}) == len(runs) == 8


def test_the_runs_of_a_seed_have_subsets_of_their_own(prepared, tmp_path):
    config = study_config(prepared, tmp_path, "study.sizes=[0.5]", "study.seeds=[0,1]", "study.subset_seed=4")

    subsets = {r.seed: instantiate(r.config.batches).patients for r in planned(config, PreparedDataset(prepared))}

    assert subsets == {0: PatientSubset(0.5, 4), 1: PatientSubset(0.5, 5)}


def test_a_point_keeps_its_folder_when_the_study_grows(prepared, tmp_path):
    small, large = (study_config(prepared, tmp_path, f"study.sizes={sizes}") for sizes in ("[0.5]", "[0.25,0.5,1.0]"))

    before = {r.folder for r in planned(small, PreparedDataset(prepared))}

    assert before < {r.folder for r in planned(large, PreparedDataset(prepared))}


@pytest.mark.slow
def test_a_study_trains_probes_and_draws_and_a_second_call_trains_nothing(prepared, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stages, "prepared", lambda config: prepared)
    config = tiny(prepared, tmp_path)

    found = run_study(config)

    folder = next(tmp_path.glob("train/scaling_laws-????????"))  # not those of its points
    assert {"results.json", "scaling.csv", "scaling.png", "scaling.svg", "config.yaml", "provenance.json"} <= {
        p.name for p in folder.iterdir()
    }
    for paradigms in found["curves"].values():
        assert {name: [p["patients"] for p in curve["points"]] for name, curve in paradigms.items()} == {"unicl": [6, 12], "dino": [6, 12]}
        assert all(np.isfinite(curve["start"]["value"]) for curve in paradigms.values())
    assert set(pd.read_csv(folder / "scaling.csv")["studies"]) == {0, 12, 24}
    assert "too few sizes for a power law" in capsys.readouterr().out
    monkeypatch.setattr(scaling.Measurement, "run", lambda *_: pytest.fail("probed again"))
    assert run_study(config)["curves"] == found["curves"]
