"""Every experiment takes a step at the phantom's scale, leaves its files, and is not run again."""

import json

import pytest
import torch
from cohort import write_cohort

from medvl.data.prepare import prepare
from medvl.models.encoders import load_encoder
from medvl.runtime.config import compose
from medvl.training.run import train

SMALL = {
    "biovil": ["batches.crop=32"],
    "biovil_t": ["batches.crop=32", "training.losses.parts=words", "training.losses.masked_weight=1.0"],
    "quickstart": ["batches.crop=32"],
    "rad_dino": ["training.probe=null", "validation.watch=val/loss", "validation.higher_is_better=false"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    prepare(write_cohort(root / "images", patients=10), root / "out", inputs={}, image_size=40, progress=False)
    return root / "out"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*many workers.*", "ignore:.*logging interval.*", "ignore:.*litlogger.*")
@pytest.mark.parametrize("experiment", SMALL)
def test_every_experiment_takes_a_step_at_the_phantoms_scale(experiment, folder, tmp_path):
    torch.set_num_threads(1)
    words = ["scale=phantom", f"data.prepared={folder}", "batches.batch_size=4", "training.steps=1"]  # validated although every 100 or 500
    config = compose("train", [f"experiment={experiment}", *words, *SMALL[experiment], "trainer.accelerator=cpu"])

    run = train(config, tmp_path)

    assert (run.complete, run.step, run.best_step) == (True, 1, 1)
    assert json.loads((tmp_path / "training.json").read_text())["step"] == 1
    assert json.loads((tmp_path / "provenance.json").read_text())["parameters"] > 0
    trained, untrained = (load_encoder(tmp_path / name).state_dict() for name in ("model", "untrained"))
    assert trained.keys() == untrained.keys()
    assert train(config, tmp_path) == run


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*many workers.*", "ignore:.*logging interval.*", "ignore:.*litlogger.*")
def test_validation_comes_every_so_many_steps_whatever_is_accumulated(folder, tmp_path):
    torch.set_num_threads(1)
    words = [*SMALL["rad_dino"], "scale=phantom", f"data.prepared={folder}", "batches.batch_size=4", "trainer.accelerator=cpu"]
    words += ["training.steps=4", "validation.every_steps=2", "+trainer.accumulate_grad_batches=3"]

    train(compose("train", ["experiment=rad_dino", *words]), tmp_path)

    rows = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()]
    assert sorted({int(row[0]) for row in rows if row[1] == "val/loss"}) == [2, 4]
