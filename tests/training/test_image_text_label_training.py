"""UniCL training: it learns, leaves both towers, and goes on from what it left."""

import pytest
import torch
from cohort import write_cohort
from lightning.pytorch import Callback, Trainer

from medvl.data.label_samples import ImageTextLabelSamples
from medvl.data.module import RadiographDataModule
from medvl.data.prepare import prepare
from medvl.models.davit_tower import DavitTower
from medvl.models.encoders import load_encoder
from medvl.models.two_towers import TwoTowers
from medvl.models.vit import VisionTransformer
from medvl.runtime.errors import InvalidValue
from medvl.training.image_text_label import ImageTextLabelTraining

STEPS = 12
TEXT = {"projection_size": 16, "vocabulary_size": 256, "text_width": 16, "text_layers": 1, "text_heads": 2, "max_length": 32}

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*logging interval.*", "ignore:.*litlogger.*")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    prepare(write_cohort(root / "images", patients=10), root / "out", inputs={}, image_size=32, progress=False)
    return root / "out"


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def davit(width=16):
    return DavitTower(widths=(8, 8, 8, width), depths=(1, 1, 1, 1), heads=(1, 1, 1, 2), window=4, in_channels=1)


def vit():
    return VisionTransformer(width=16, depth=1, heads=2, patch_size=8, image_size=32, in_channels=1, layer_scale=1.0)


def small_training(tower, *, seed=0, **options):
    torch.manual_seed(seed)
    schedule = {"steps": STEPS, "learning_rate": 1e-2, "weight_decay": 0.02, "warmup_steps": 2}
    return ImageTextLabelTraining(TwoTowers(tower, **TEXT), **schedule, seed=seed, **options)


def batches_of(folder):
    return RadiographDataModule(folder=folder, samples=ImageTextLabelSamples, batch_size=8, crop=32, seed=5)


class Losses(Callback):
    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.values.append(float(trainer.callback_metrics["train/loss"]))


def fit(training, folder, out):
    batches, losses = batches_of(folder), Losses()
    training.prepare(out, batches)
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(accelerator="cpu", max_steps=STEPS, max_epochs=-1, limit_val_batches=1, callbacks=[losses], **options)
    trainer.fit(training, datamodule=batches)
    return losses.values, trainer


@pytest.mark.slow
@pytest.mark.parametrize("tower", [davit, vit])
def test_the_loss_falls_with_either_tower(folder, tmp_path, tower):
    losses, trainer = fit(small_training(tower()), folder, tmp_path)

    assert sum(losses[-4:]) < sum(losses[:4])
    assert "val/loss" in trainer.callback_metrics


@pytest.mark.parametrize("tower", [davit, vit])
def test_every_trained_parameter_has_a_gradient(folder, tmp_path, tower):
    training = small_training(tower())
    batches = batches_of(folder)
    training.prepare(tmp_path, batches)

    training._loss(next(iter(batches.train_dataloader()))).backward()

    assert [name for name, p in training.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("tower", [davit, vit])
def test_a_run_goes_on_from_what_another_left(folder, tmp_path, tower):
    first, second = small_training(tower(), seed=1), small_training(tower(), seed=2, init_from=str(tmp_path / "model"))
    first.prepare(tmp_path / "first", batches_of(folder))
    first.export(tmp_path / "model")

    second.prepare(tmp_path / "second", batches_of(folder))

    given, taken = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(taken[name], tensor) for name, tensor in given.items())
    assert (tmp_path / "second" / "tokenizer.json").read_text() == (tmp_path / "model" / "tokenizer.json").read_text()


def test_what_is_left_is_an_image_encoder_with_the_grey_levels_of_training(folder, tmp_path):
    training = small_training(davit())
    facts = training.prepare(tmp_path, batches_of(folder))

    training.export(tmp_path / "model")

    encoder, images = load_encoder(tmp_path / "model"), torch.rand(2, 1, 32, 32)
    tower = training.model.image.eval()
    assert encoder.config["mean"] == pytest.approx(facts["grey_levels"]["mean"])
    assert torch.equal(encoder.encode(encoder.standardize(images)).cls, tower.encode(tower.standardize(images)).cls)


def test_a_tower_of_another_width_is_refused(folder, tmp_path):
    first = small_training(davit(width=32))
    first.prepare(tmp_path / "first", batches_of(folder))
    first.export(tmp_path / "model")

    with pytest.raises(InvalidValue, match="size mismatch"):
        small_training(davit(), init_from=str(tmp_path / "model")).prepare(tmp_path / "second", batches_of(folder))


def test_biases_norms_and_the_temperature_are_not_decayed():
    training = small_training(vit())

    decayed, plain = training.configure_optimizers()["optimizer"].param_groups

    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.02, 0.0)
    assert any(p is training.model.log_temperature for p in plain["params"])
    assert all(p.ndim > 1 for p in decayed["params"])
