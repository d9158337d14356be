"""Self-distillation of a vision transformer in the manner of DINOv2 (Oquab et al. 2023), as RAD-DINO was (Pérez-García et al. 2025).

A student sees large crops with hidden patches, and small crops; it learns to say of them what a teacher, its running average, says of the
large crops. The teacher's backbone is what is kept. All draws are pure functions of (seed, epoch, sample id) or (seed, step).

Departures from the official code: bfloat16 autocast stands for fp16 with a gradient scaler; KoLeo looks for neighbours in the global batch;
the centre moves in the step whose outputs it takes, not at the start of the next (the same targets either way); backbone and heads may be
clipped together.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grad_norm_

from medvl.data.module import RadiographDataModule
from medvl.models.dino_head import DinoHead
from medvl.models.vit import VisionTransformer
from medvl.runtime.errors import UserError
from medvl.training.collapse import CollapseAlarm
from medvl.training.dino_files import check_training_images, load_backbone, load_head, save_teacher, training_grey_levels
from medvl.training.dino_losses import DinoLosses
from medvl.training.dino_network import DinoNetwork, HeadInput
from medvl.training.ema import update_average
from medvl.training.family import ModelTraining
from medvl.training.parameter_groups import Multipliers, parameter_groups
from medvl.training.probe import FindingsProbe
from medvl.training.schedules import DinoSchedule
from medvl.training.sharding import shard, whole

Batch = dict[str, Any]
Clip = Literal["submodule", "network"]


class LossNotFinite(UserError):
    """The loss became NaN or infinite."""


class DinoTraining(ModelTraining):
    """Wires student, teacher, losses, AdamW and schedules.

    Args:
        model: the student's backbone, and the teacher's first weights.
        steps: length of the run; the schedule may be longer.
        head, ibot_head: make the heads of class tokens and of hidden patches; the first serves both if there is no second.
        head_input: what the first head sees of a crop, see ``DinoNetwork``.
        losses: the terms.
        schedule: of rates, decay, momentum and temperature.
        layer_decay: factor on the learning rate from each block to the one below.
        patch_embed: factor on the patch embedding's, besides.
        clip: the Trainer's ``gradient_clip_val`` bounds the norm of the backbone and of each head by itself, or of all together.
        grey_levels: standardise by the mean and deviation of the training images, or by the model's own.
        init_from: a checkpoint of the backbone to start from, in any layout that ``load_vit`` takes; random weights if not given.
        init_head_from: a file of the class tokens' head to start from.
        probe: measures the teacher at each validation; not if not given.
        compile: compile the blocks.
        alarm_after: optimiser steps before a collapse is called one.
        seed: of the draws of stochastic depth.
    """

    def __init__(
        self,
        model: VisionTransformer,
        *,
        steps: int,
        head: Callable[..., DinoHead],
        losses: DinoLosses,
        schedule: DinoSchedule,
        seed: int,
        ibot_head: Callable[..., DinoHead] | None = None,
        head_input: HeadInput = "class",
        layer_decay: float = 0.9,
        patch_embed: float = 0.2,
        clip: Clip = "submodule",
        grey_levels: Literal["dataset", "model"] = "dataset",
        init_from: str | None = None,
        init_head_from: str | None = None,
        probe: FindingsProbe | None = None,
        compile: bool = False,
        alarm_after: int = 1000,
    ) -> None:
        super().__init__()
        self.student = DinoNetwork(model, head, ibot_head, head_input)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False).eval()
        self.losses, self.schedule, self.probe = losses, schedule, probe
        self.layer_decay, self.patch_embed, self.clip, self.compile_blocks = layer_decay, patch_embed, clip, compile
        self.grey_levels, self.init_from, self.init_head_from = grey_levels, init_from, init_head_from
        self.seed, self.alarm = seed, CollapseAlarm(after=alarm_after)
        self._batches: RadiographDataModule | None = None
        self._levels: dict[str, Any] = {}

    def prepare(self, folder: Path, batches: RadiographDataModule) -> dict[str, Any]:
        """Take the weights to start from and the grey levels to standardise by; see that a sample is fit to train on."""
        self._batches = batches
        check_training_images(batches, self.student.backbone.in_channels)
        if self.init_from is not None:
            load_backbone(self.student.backbone, Path(self.init_from))
        if self.init_head_from is not None:
            load_head(self.student.dino_head, Path(self.init_head_from))
        self.teacher.load_state_dict(self.student.state_dict())
        own = self.student.backbone.config
        levels = {"mean": own["mean"], "std": own["std"], "source": "the model's own"}
        if self.grey_levels == "dataset":
            levels = training_grey_levels(folder, batches)
        for network in (self.student, self.teacher):
            network.backbone.set_statistics(levels["mean"], levels["std"])
        self._levels = levels
        return {"grey_levels": levels, "init_from": self.init_from}

    def export(self, folder: Path) -> None:
        """Write the teacher: its backbone as a vision transformer, its heads beside it, and how its grey levels were computed."""
        save_teacher(self.teacher, folder, self._levels)

    def summary(self) -> dict[str, Any]:
        """The steps at which the teacher collapsed, if it did."""
        return {"collapse": self.alarm.warned}

    def configure_callbacks(self) -> list[Callback]:
        """The collapse alarm watches every run."""
        return [self.alarm]

    def configure_model(self) -> None:
        """Share the networks over processes where the strategy asks for it, batch normalisation synchronised if the Trainer wants that."""
        strategy = self.trainer.strategy
        if isinstance(strategy, ModelParallelStrategy) and not isinstance(next(self.student.parameters()), DTensor):
            for network, learns in ((self.student, True), (self.teacher, False)):
                if strategy._layer_sync is not None:  # the Trainer's ``sync_batchnorm``, which this strategy leaves to the model
                    strategy._layer_sync.apply(network)
                shard(network, self.device, learns=learns)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the official groups; rates and decay are set at each step."""
        groups = parameter_groups(
            self.student, depth=len(self.student.backbone.blocks), layer_decay=self.layer_decay, patch_embed=self.patch_embed
        )
        return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.999), fused=True)

    def on_fit_start(self) -> None:
        """Compile, if asked to."""
        if self.compile_blocks:
            for network in (self.student, self.teacher):
                for block in network.backbone.blocks:
                    block.compile()

    def on_train_start(self) -> None:
        """Lightning takes the modes as it finds them, so they are set here; after a validation it sets them again."""
        self.train()

    def train(self, mode: bool = True) -> DinoTraining:
        """The teacher stays in evaluation mode, but for batch normalisation in its heads: it takes the batch's statistics."""
        super().train(mode)
        self.teacher.eval()
        for module in self.teacher.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.train(mode)
        return self

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One batch's loss; the centres move."""
        step, schedule = self.global_step, self.schedule
        terms = self.terms(batch, temperature=schedule.teacher_temperature_at(step), update_centers=True)
        if not torch.isfinite(terms["loss"]):
            raise LossNotFinite(f"the loss is {terms['loss'].item()} at step {step}: lower training.schedule.learning_rate")
        rates = {"learning_rate": schedule.learning_rate_at(step, self._images_per_step()), "momentum": schedule.momentum_at(step)}
        self.log_dict({f"train/{name}": value for name, value in rates.items()})
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items() if name != "loss"})
        self.log("train/loss", terms["loss"].detach(), prog_bar=True)
        return terms["loss"]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The same loss on held-out patients."""
        terms = self.terms(batch, temperature=self.schedule.teacher_temperature[1], update_centers=False)
        self.log_dict({f"val/{name}": value for name, value in terms.items()}, batch_size=len(batch["sample_id"]), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """The probe's mean AUROC; every process computes the same."""
        if self.probe is not None and self._batches is not None:
            self.log("val/probe_auroc", self.probe.auroc(self._features, self._batches, self.device))

    def terms(self, batch: Batch, *, temperature: float, update_centers: bool) -> dict[str, Tensor]:
        """The loss and its terms for a batch of crops.

        Args:
            batch: ``global_crops`` (B, G, 1, S, S) and ``local_crops`` (B, L, 1, s, s) uint8, ``masks`` (B, G, N) bool.
            temperature: of the teacher.
            update_centers: whether the teacher's centres take note of the batch.
        """
        large, small = self._crops(batch["global_crops"]), self._crops(batch["local_crops"])
        masks = _crop_major(batch["masks"])  # (G·B, N)
        hidden = masks.flatten().nonzero()[:, 0]
        with torch.no_grad():
            teacher = self.teacher([large], [None], hidden)
        groups, hiding = ([large, small], [masks, None]) if len(small) else ([large], [masks])
        student = self.student(groups, hiding, hidden)
        terms = self.losses(student, teacher, masks, temperature=temperature, images=len(batch["masks"]))
        if update_centers:
            self.losses.update_centers(teacher)
        return terms

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None) -> None:
        """Set this step's rates, take it, and move the teacher."""
        step = self.global_step
        self._set_rates(optimizer, step)
        optimizer.step(closure=optimizer_closure)
        update_average(self.teacher, self.student, self.schedule.momentum_at(step))

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Bound the gradient's norm by submodule, as the official code does, or as a whole; log the norm."""
        parts: Iterable[nn.Module] = self.student.children() if self.clip == "submodule" else [self.student]
        bound = gradient_clip_val or float("inf")
        norms = [clip_grad_norm_(part.parameters(), bound) for part in parts]
        self.log("train/grad_norm", torch.stack([whole(norm) for norm in norms]).norm())

    def _set_rates(self, optimizer: Any, step: int) -> None:
        schedule = self.schedule
        rate, decay = schedule.learning_rate_at(step, self._images_per_step()), schedule.weight_decay_at(step)
        for group in optimizer.param_groups:
            of = Multipliers(*group["multipliers"])
            frozen = (of.last_layer and step < schedule.freeze_last_layer_steps) or (of.backbone and step < schedule.freeze_backbone_steps)
            group["lr"] = 0.0 if frozen else rate * of.learning_rate
            group["weight_decay"] = decay * of.weight_decay

    def _images_per_step(self) -> int:
        assert self._batches is not None
        return self._batches.batch_size * self.trainer.accumulate_grad_batches

    def _crops(self, crops: Tensor) -> Tensor:
        """(B, n, 1, S, S) uint8 → (n·B, C, S, S) standardised, all first crops first."""
        return self.student.backbone.standardize(_crop_major(crops).float() / 255)

    def _features(self, images: Tensor) -> Tensor:
        """Images (B, 1, S, S) in [0, 1] → the teacher's class token beside its mean patch (B, 2 D)."""
        backbone = self.teacher.backbone
        encoded = backbone.encode(backbone.standardize(images))
        return torch.cat([encoded.cls, encoded.patches[-1].mean(dim=1)], dim=1)


def _crop_major(crops: Tensor) -> Tensor:
    """(B, n, …) → (n·B, …): all first crops, then all second ones."""
    return crops.transpose(0, 1).flatten(0, 1)
