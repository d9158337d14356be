import json
from functools import partial

import pytest
import torch
from cohort import make_study, write_cohort
from lightning.pytorch import Callback, LightningModule, Trainer
from two_ranks import run_two_ranks

from medvl.data.module import RadiographDataModule
from medvl.data.prepare import prepare
from medvl.data.sampler import SampleIndex
from medvl.data.samples import ImageTextSamples
from medvl.data.subsets import PatientSubset
from medvl.data.transforms import Augmentation
from medvl.runtime.errors import UserError

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*logging interval.*", "ignore:.*litlogger.*", "ignore:.*Checkpoint directory.*"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    prepare(write_cohort(root / "images", patients=20), root / "out", inputs={}, image_size=16, progress=False)
    return root / "out"


class Recorder(LightningModule):
    """Notes the samples and the first pixels of each batch, and learns a little from them."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(256, 1)
        self.seen, self.losses = [], []

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch["image"].flatten(1)).square().mean()
        self.seen.append((batch["epoch"], batch["sample_id"], batch["image"].sum().item()))
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("loss", self.layer(batch["image"].flatten(1)).square().mean(), batch_size=len(batch["text"]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveAt(Callback):
    def __init__(self, path, step):
        self.path, self.step = path, step

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def data(folder, **options):
    defaults = {"batch_size": 4, "crop": 16, "seed": 5, "augmentation": Augmentation()}
    return RadiographDataModule(folder=folder, samples=partial(ImageTextSamples, sections=["findings"]), **(defaults | options))


def fit(folder, steps, *, checkpoint=None, callbacks=(), limit=1.0, processes=1, **options):
    torch.manual_seed(0)
    model = Recorder()
    trainer = Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        max_steps=steps,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_train_batches=limit,
        callbacks=list(callbacks),
    )
    trainer.fit(model, datamodule=data(folder, **options), ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return model


@pytest.mark.parametrize("step", [2, 6, 7, 12])
def test_a_run_resumed_at_any_step_sees_the_same_rest_and_ends_with_the_same_weights(folder, tmp_path, step):
    whole = fit(folder, 15, callbacks=[SaveAt(tmp_path / "last.ckpt", step)])

    rest = fit(folder, 15, checkpoint=tmp_path / "last.ckpt")

    assert rest.seen == whole.seen[step:]
    assert torch.equal(rest.layer.weight, whole.layer.weight)


def test_a_run_resumes_twice_within_an_epoch(folder, tmp_path):
    whole = fit(folder, 12, callbacks=[SaveAt(tmp_path / "a.ckpt", 2)])
    fit(folder, 12, checkpoint=tmp_path / "a.ckpt", callbacks=[SaveAt(tmp_path / "b.ckpt", 4)])

    rest = fit(folder, 12, checkpoint=tmp_path / "b.ckpt")

    assert rest.seen == whole.seen[4:]


def test_short_epochs_walk_through_the_whole_order(folder):
    assert fit(folder, 12, limit=2).seen == fit(folder, 12).seen


@pytest.mark.slow
def test_a_run_resumes_with_another_number_of_workers(folder, tmp_path):
    whole = fit(folder, 9, num_workers=2, callbacks=[SaveAt(tmp_path / "last.ckpt", 3)])

    rest = fit(folder, 9, checkpoint=tmp_path / "last.ckpt", num_workers=0)

    assert rest.seen == whole.seen[3:]


def test_each_epoch_augments_anew_and_evaluation_never_does(folder):
    module = data(folder, batch_size=24, last_batch="keep")
    loader = module.train_dataloader()
    first, second = (next(iter(loader)) for _ in range(2))

    assert sorted(first["sample_id"]) == sorted(second["sample_id"])
    assert first["epoch"] == 0
    validation = next(iter(module.val_dataloader()))
    again = next(iter(module.val_dataloader()))
    assert torch.equal(validation["image"], again["image"])


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    root = tmp_path_factory.mktemp("other")
    studies = [make_study(root / "images", patient, visit, lateral=False) for patient in range(100, 110) for visit in range(2)]
    prepare(studies, root / "out", inputs={}, image_size=16, progress=False)
    return root / "out"


def test_the_training_samples_of_another_dataset_join_and_its_others_do_not(folder, other):
    alone, second, joined = data(folder), data(other), data(folder, also=[other])

    training = joined.samples("train")
    ids = [[s["sample_id"] for s in module.samples("train")] for module in (alone, second)]
    assert [training[i]["sample_id"] for i in range(len(training))] == ids[0] + ids[1]
    assert len(joined.samples("validate")) == len(alone.samples("validate"))
    where = SampleIndex(3, len(ids[0]) + 4)
    assert torch.equal(training[where]["image"], second.samples("train")[SampleIndex(3, 4)]["image"])


def test_a_run_over_two_datasets_resumes_within_an_epoch(folder, other, tmp_path):
    whole = fit(folder, 12, also=[other], callbacks=[SaveAt(tmp_path / "last.ckpt", 5)])

    rest = fit(folder, 12, also=[other], checkpoint=tmp_path / "last.ckpt")

    assert rest.seen == whole.seen[5:]
    samples = data(folder, also=[other]).samples("train")
    assert {name for _, names, _ in whole.seen for name in names} == {samples[i]["sample_id"] for i in range(len(samples))}


def test_a_subset_of_patients_is_of_one_dataset(folder, other):
    with pytest.raises(UserError, match=r"batches\.patients and batches\.also cannot be combined"):
        data(folder, also=[other], patients=PatientSubset(0.5, 0))


def test_the_state_holds_plain_numbers(folder):
    module = data(folder)
    module.train_dataloader()

    assert module.state_dict() == {"seed": 5, "epoch": 0, "position": 0, "length": 24}


def run_rank(rank, folder, out):
    """One of two processes: a whole run, and the rest of one that a single process began."""
    whole = fit(folder, 20, processes=2, callbacks=[SaveAt(out / "two.ckpt", 8)])
    rest = fit(folder, 20, processes=2, checkpoint=out / "one.ckpt")
    (out / f"rank-{rank}.json").write_text(json.dumps({"whole": whole.seen, "losses": whole.losses, "rest": rest.seen}))


def run_two_processes(folder, out):
    run_two_ranks(run_rank, folder, out)
    return [json.loads((out / f"rank-{rank}.json").read_text()) for rank in range(2)]


def samples_of(*runs):
    """The sample ids of each batch, ranks joined in order."""
    return [[name for _, names, _ in batches for name in names] for batches in zip(*runs, strict=True)]


@pytest.mark.slow
@pytest.mark.distributed
def test_two_processes_train_as_one_does_and_either_continues_the_other(folder, tmp_path):
    one = fit(folder, 20, callbacks=[SaveAt(tmp_path / "one.ckpt", 8)])

    first, second = run_two_processes(folder, tmp_path)
    continued = fit(folder, 20, checkpoint=tmp_path / "two.ckpt")

    assert samples_of(first["whole"], second["whole"]) == samples_of(one.seen)
    assert samples_of(first["rest"], second["rest"]) == samples_of(continued.seen) == samples_of(one.seen)[8:]
    epoch = [name for batch in samples_of(one.seen)[:6] for name in batch]
    assert len(epoch) == len(set(epoch)) == 24
    losses = [(a + b) / 2 for a, b in zip(first["losses"], second["losses"], strict=True)]
    assert losses == pytest.approx(one.losses, rel=1e-5)
