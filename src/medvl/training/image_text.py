"""Contrastive training of an image-text model: InfoNCE on whole reports, optionally a phrase-to-patch term on single sentences.

Loss = InfoNCE(average patch, report) + local_weight · InfoNCE(attended patches, one sentence of each report). Every draw is a pure
function of (seed, epoch, sample id) or (seed, step), so a resumed run and a run over more processes see the same batches and texts.
Over several processes embeddings are gathered with gradients, and the loss is that of the global batch.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from medvl.models.image_text import ImageTextModel
from medvl.objectives.contrastive import info_nce
from medvl.objectives.phrase_to_patch import phrase_to_patch_similarity
from medvl.runtime.distributed import gather_texts, gather_with_gradient
from medvl.training.schedules import warmup_cosine

Batch = dict[str, Any]


class ImageTextTraining(LightningModule):
    """Wires model, objectives and AdamW with warm-up and cosine.

    Args:
        model: with its tokenizer set before the first batch.
        steps: length of the run, for the schedule.
        learning_rate, weight_decay, warmup_steps: of AdamW; biases, normalisations and the temperature are not decayed.
        local_weight: weight of the phrase-to-patch term; 0 leaves plain InfoNCE.
        sharpness: of the phrase's attention over patches.
        seed: of every draw.
    """

    def __init__(
        self,
        model: ImageTextModel,
        *,
        steps: int,
        learning_rate: float,
        weight_decay: float,
        warmup_steps: int,
        local_weight: float,
        sharpness: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.steps, self.warmup_steps = steps, warmup_steps
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.local_weight, self.sharpness, self.seed = local_weight, sharpness, seed

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed torch for this step, so that dropout is a function of (seed, step)."""
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step's loss."""
        losses = self._losses(batch, epoch=int(batch["epoch"]))
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()}, prog_bar=True)
        return losses["loss"]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The same losses on held-out patients, with fixed sentences."""
        losses = self._losses(batch, epoch=0)
        size = len(batch["text"])
        self.log_dict({f"val/{name}": value for name, value in losses.items()}, batch_size=size, sync_dist=True, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW and the step-wise schedule."""
        decayed = [p for p in self.parameters() if p.ndim > 1]
        plain = [p for p in self.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": self.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate)
        factor = partial(warmup_cosine, warmup_steps=self.warmup_steps, steps=self.steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _losses(self, batch: Batch, *, epoch: int) -> dict[str, Tensor]:
        images = self.model.embed_images(batch["image"])
        reports = gather_with_gradient(self.model.embed_texts(batch["text"]))  # (B, D) of the global batch
        whole = gather_with_gradient(images.projected_global_embedding) @ reports.T
        temperature = self.model.temperature
        report_loss = info_nce(whole, temperature=temperature, texts=gather_texts(batch["text"]))
        losses = {"loss": report_loss, "report_loss": report_loss, "recall_at_5": _recall(whole.detach(), 5)}
        if self.local_weight > 0:
            phrases = self._one_phrase_each(batch, epoch)
            patches = gather_with_gradient(images.projected_patch_embeddings)
            local = phrase_to_patch_similarity(patches, gather_with_gradient(self.model.embed_texts(phrases)), sharpness=self.sharpness)
            losses["phrase_loss"] = info_nce(local, temperature=temperature, texts=gather_texts(phrases))
            losses["loss"] = report_loss + self.local_weight * losses["phrase_loss"]
        return losses

    def _one_phrase_each(self, batch: Batch, epoch: int) -> list[str]:
        """One sentence of each report, drawn by (seed, epoch, sample id); the whole text where there is no sentence."""
        chosen = []
        for sample_id, text, phrases in zip(batch["sample_id"], batch["text"], batch["phrases"], strict=True):
            digest = hashlib.sha256(f"{self.seed}/{epoch}/{sample_id}".encode()).digest()
            chosen.append(phrases[int.from_bytes(digest[:4], "big") % len(phrases)] if phrases else text)
        return chosen


def _recall(similarity: Tensor, k: int) -> Tensor:
    """Share of images whose own report is among the k nearest of the batch."""
    own = similarity.diagonal()[:, None]
    return ((similarity > own).sum(dim=1) < k).float().mean()
