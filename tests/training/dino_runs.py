"""A DINOv2 run in small, for the tests of its parts and of several processes."""

from functools import partial

import torch
from lightning.pytorch import Callback, Trainer

from medvl.data.module import RadiographDataModule
from medvl.data.multicrop import MultiCrop, MultiCropSamples
from medvl.models.dino_head import DinoHead
from medvl.models.vit import VisionTransformer
from medvl.objectives.block_masks import block_masks
from medvl.training.checkpoints import AtomicCheckpointIO
from medvl.training.dino import DinoTraining
from medvl.training.dino_losses import DinoLosses
from medvl.training.schedules import DinoSchedule

CROP, PATCH, PROTOTYPES = 32, 8, 16


def small_batches(folder, batch_size=8, **options):
    crops = MultiCrop(local_crops=2, local_size=16)
    samples = partial(MultiCropSamples, views="all", patch_size=PATCH, crops=crops, masks=block_masks)
    return RadiographDataModule(folder=folder, samples=samples, batch_size=batch_size, crop=CROP, seed=5, **options)


def small_training(*, seed=0, model=None, schedule=None, losses=None, shared_head=False, head=None, **options):
    torch.manual_seed(seed)
    sizes = {"width": 16, "depth": 2, "heads": 2, "patch_size": PATCH, "image_size": CROP, "in_channels": 1, "layer_scale": 1.0}
    head = head or partial(DinoHead, prototypes=PROTOTYPES, hidden_dim=16, bottleneck_dim=8)
    return DinoTraining(
        VisionTransformer(**{**sizes, **(model or {})}),
        steps=20,
        head=head,
        ibot_head=None if shared_head else head,
        losses=DinoLosses(prototypes=PROTOTYPES, **(losses or {})),
        schedule=DinoSchedule(**{"steps": 40, "learning_rate": 1e-2, "temperature_steps": 10, "momentum": (0.9, 1.0), **(schedule or {})}),
        seed=seed,
        **options,
    )


class Record(Callback):
    """The losses of each batch and the rates of each step."""

    def __init__(self):
        self.losses, self.rates = [], []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.losses.append(float(trainer.callback_metrics["train/loss"]))
        self.rates.append(float(trainer.callback_metrics["train/learning_rate"]))


def fit(training, batches, folder, *, steps, processes=1, strategy="auto", checkpoint=None, **options):
    """Train for some steps; returns what was recorded and the Trainer."""
    training.prepare(folder, batches)
    record = Record()
    trainer = Trainer(
        accelerator="cpu",
        devices=processes,
        strategy=strategy,
        max_steps=steps,
        max_epochs=-1,
        gradient_clip_val=options.pop("clip", 3.0),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=options.pop("limit_val_batches", 0),
        callbacks=[record],
        plugins=[AtomicCheckpointIO()],
        **options,
    )
    trainer.fit(training, datamodule=batches, ckpt_path=checkpoint, weights_only=True)
    return record, trainer
