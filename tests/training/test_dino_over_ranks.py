"""Two processes train as one: replicated or sharded, with either centring, and an export or a resumed run cannot tell.

The learning rate is small because Adam's first steps turn rounding in gradients near zero into whole steps.
"""

import json

import pytest
import torch
from cohort import write_cohort
from dino_runs import fit, small_batches, small_training
from lightning.pytorch.strategies import ModelParallelStrategy
from safetensors.torch import load_file
from two_ranks import run_two_ranks

from medvl.data.prepare import prepare
from medvl.training.sharding import whole

STEPS = 20
RUNS = {"ddp-softmax": ("ddp", "softmax"), "ddp-sinkhorn": ("ddp", "sinkhorn"), "fsdp-softmax": ("fsdp", "softmax")}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.distributed,
    *(pytest.mark.filterwarnings(f"ignore:.*{words}.*") for words in ("many workers", "logging interval", "litlogger", "in eval mode")),
]


def trained(folder, out, *, centering, steps=STEPS, strategy="auto", processes=1, checkpoint=None):
    torch.set_num_threads(1)
    training = small_training(schedule={"learning_rate": 2e-3}, losses={"centering": centering})
    record, trainer = fit(training, small_batches(folder), out, steps=steps, processes=processes, strategy=strategy, checkpoint=checkpoint)
    return training, record, trainer


def run_rank(rank, folder, out, kind, centering):
    strategies = {"ddp": lambda: "ddp", "fsdp": lambda: ModelParallelStrategy(save_distributed_checkpoint=False)}
    options = {"centering": centering, "processes": 2}
    training, record, trainer = trained(folder, out, strategy=strategies[kind](), **options)
    trainer.save_checkpoint(out / "last.ckpt")
    training.export(out / "model")
    (out / f"{rank}.json").write_text(json.dumps({"losses": record.losses, "student": flat(training.student).tolist()}))


def flat(network):
    return torch.cat([whole(parameter.detach()).flatten() for parameter in network.parameters()])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    prepare(write_cohort(root / "images", patients=10), root / "out", inputs={}, image_size=40, progress=False)
    return root / "out"


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_as_one_and_one_goes_on_from_two(name, folder, tmp_path):
    kind, centering = RUNS[name]
    single, record, _ = trained(folder, tmp_path, centering=centering)
    single.export(tmp_path / "single")
    _, longer, _ = trained(folder, tmp_path, centering=centering, steps=STEPS + 5)

    run_two_ranks(run_rank, folder, tmp_path, kind, centering)
    _, tail, _ = trained(folder, tmp_path, centering=centering, steps=STEPS + 5, checkpoint=str(tmp_path / "last.ckpt"))

    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    losses = [(a + b) / 2 for a, b in zip(first["losses"], second["losses"], strict=True)]
    assert losses == pytest.approx(record.losses, rel=1e-5)
    assert first["student"] == second["student"]
    assert torch.tensor(first["student"]) == pytest.approx(flat(single.student), abs=1e-5)
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("model", "single"))
    assert all(ours[name] == pytest.approx(theirs[name], abs=1e-5) for name in theirs)
    assert tail.losses == pytest.approx(longer.losses[STEPS:], rel=1e-5)
