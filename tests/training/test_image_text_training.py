"""Contrastive training: what it draws, what it optimises, and that two processes train as one."""

import json

import pytest
import torch
from cohort import write_cohort
from lightning.pytorch import Callback, Trainer
from two_ranks import run_two_ranks

from medvl.data.module import RadiographDataModule
from medvl.data.prepare import prepare
from medvl.data.samples import ImagePairSamples
from medvl.data.transforms import Augmentation
from medvl.models.biovil_t import BioVilTImageModel
from medvl.models.cxr_bert import CxrBert
from medvl.models.image_guided_mlm import ImageGuidedPredictor
from medvl.models.image_text import ImageTextModel
from medvl.models.resnet import SmallResNet
from medvl.models.tokenizer import train_wordpiece
from medvl.training.image_text import ImageTextTraining
from medvl.training.image_text_embedding import draw_phrases
from medvl.training.image_text_losses import ImageTextLosses

STEPS = 20
ROUNDING = 2e-6  # sums in another order differ in the seventh digit; without dropout, which other chunks and processes draw differently
EVERY_TERM = ImageTextLosses(local_weight=0.5, parts="phrases", section_weight=0.5, order_weight=0.5, masked_weight=0.5)

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*logging interval.*", "ignore:.*litlogger.*")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    prepare(write_cohort(root / "images", patients=20), root / "out", inputs={}, image_size=32, progress=False)
    return root / "out"


def network(norm="group"):
    image = BioVilTImageModel(
        SmallResNet((8, 8, 16, 16), norm=norm), projection_size=16, width=16, heads=2, blocks=1, dropout=0.0, drop_path=0.0
    )
    text = CxrBert(256, width=16, layers=1, heads=2, feed_forward=32, max_length=64, projection_size=16, dropout=0.0)
    return ImageTextModel(image, text, temperature=0.1, learn_temperature=True)


def module(losses=EVERY_TERM, **options):
    torch.manual_seed(0)
    training = ImageTextTraining(
        network(),
        steps=STEPS,
        learning_rate=1e-3,
        weight_decay=0.02,
        warmup_steps=2,
        losses=losses,
        parts_per_report=8,
        mask_share=0.3,
        predictor=ImageGuidedPredictor(width=16, projection_size=16, heads=2, layers=1, dropout=0.0),
        freeze_norms=True,  # the projector's batch normalisation
        seed=0,
        **options,
    )
    training.model.set_tokenizer(train_wordpiece(["heart is normal no effusion the lungs are clear 0 1 2 3 4 5 6 7 8 9 ."], 256))
    return training


class Losses(Callback):
    def __init__(self):
        self.values, self.samples = [], []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.values.append(float(trainer.callback_metrics["train/loss"]))
        self.samples.append([batch["epoch"], *batch["sample_id"]])


def fit(folder, processes=1, **options):
    batches = RadiographDataModule(folder=folder, samples=ImagePairSamples, batch_size=8, crop=32, seed=5, augmentation=Augmentation())
    losses, training = Losses(), module(**options)
    trainer = Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        max_steps=STEPS,
        max_epochs=-1,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        callbacks=[losses],
    )
    trainer.fit(training, datamodule=batches)
    return losses, training.model.image.projector.model[0].weight.detach()


def test_drawn_phrases_are_a_function_of_seed_epoch_and_sample():
    batch = {"sample_id": ["a", "b"], "text": ["x", "y"], "phrases": [["1", "2", "3"], []]}

    drawn = [draw_phrases({**batch, "epoch": epoch}, 0, 2, 0) for epoch in range(30)]

    assert {tuple(d) for d in drawn} == {("1", "2"), ("1", "3"), ("2", "3")}
    assert drawn[7] == draw_phrases({**batch, "epoch": 7}, 0, 2, 0)
    assert draw_phrases({**batch, "epoch": 0}, 1, 2, 0) == ["y"]


def test_biases_norms_and_the_temperature_are_not_decayed():
    training = module()

    groups = training.configure_optimizers()["optimizer"].param_groups

    assert groups[0]["weight_decay"] == 0.02
    assert groups[1]["weight_decay"] == 0.0
    assert any(p is training.model.log_temperature for p in groups[1]["params"])
    assert sum(len(g["params"]) for g in groups) == sum(p.requires_grad for p in training.parameters())


def test_frozen_batch_normalisation_is_held_where_it_is_synchronised_as_well():
    for convert in (torch.nn.Identity(), torch.nn.SyncBatchNorm.convert_sync_batchnorm):
        training = convert(module()).train()

        training.on_train_start()

        norms = [part for part in training.modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
        assert norms
        assert not any(norm.training for norm in norms)


@pytest.mark.slow
@pytest.mark.parametrize(
    "losses",
    [ImageTextLosses(), EVERY_TERM, ImageTextLosses(local_weight=1.0, parts="words")],
    ids=["plain", "every term", "words"],
)
def test_training_lowers_the_loss(folder, losses):
    losses, _ = fit(folder, losses=losses)

    assert sum(losses.values[-3:]) < sum(losses.values[:3])


@pytest.mark.slow
def test_a_batch_in_parts_trains_as_the_whole(folder):
    whole, weight = fit(folder)

    parts, same = fit(folder, chunk=3)

    assert parts.values == pytest.approx(whole.values, rel=ROUNDING)
    assert same.flatten().tolist() == pytest.approx(weight.flatten().tolist(), abs=ROUNDING)


def run_rank(rank, folder, out):
    losses, weight = fit(folder, processes=2)
    (out / f"{rank}.json").write_text(json.dumps({"losses": losses.values, "samples": losses.samples, "weight": weight.flatten().tolist()}))


@pytest.mark.slow
@pytest.mark.distributed
def test_two_processes_train_as_one(folder, tmp_path):
    torch.set_num_threads(1)
    single, weight = fit(folder)
    run_two_ranks(run_rank, folder, tmp_path)

    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))

    assert first["losses"] == pytest.approx(single.values, rel=ROUNDING)
    assert [a + b[1:] for a, b in zip(first["samples"], second["samples"], strict=True)] == single.samples
    epochs = {epoch for epoch, *_ in single.samples}
    seen = [view for epoch, *views in single.samples if epoch == min(epochs) for view in views]
    assert len(seen) == len(set(seen)) == 24
    assert first["weight"] == pytest.approx(weight.flatten().tolist(), abs=ROUNDING)
