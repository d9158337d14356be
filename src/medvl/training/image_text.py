"""Contrastive training of an image-text model: InfoNCE on whole reports, optionally a phrase-to-patch term on their sentences.

Loss = InfoNCE(average patch, report) + local_weight · InfoNCE(attended patches, sentences of the report). Every draw is a pure
function of (seed, epoch, sample id) or (seed, step), so a resumed run and a run over more processes see the same batches and texts.
Over several processes embeddings are gathered with gradients, and the loss is that of the global batch.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from medvl.data.module import RadiographDataModule
from medvl.data.samples import ImageTextSamples
from medvl.models.checkpoints import save_image_text
from medvl.models.image_text import ImageTextModel
from medvl.models.tokenizer import train_wordpiece
from medvl.objectives.contrastive import info_nce
from medvl.objectives.phrase_to_patch import report_to_patch_similarity
from medvl.runtime.distributed import gather_texts, gather_with_gradient, rank
from medvl.runtime.files import write_text
from medvl.training.family import ModelTraining
from medvl.training.optimizers import adamw_with_cosine

Batch = dict[str, Any]


class ImageTextTraining(ModelTraining):
    """Wires model, objectives and AdamW with warm-up and cosine.

    Args:
        model: gets its tokenizer from ``prepare``, or has it set before the first batch.
        steps: length of the run, for the schedule.
        learning_rate, weight_decay, warmup_steps: of AdamW; biases, normalisations and the temperature are not decayed.
        local_weight: weight of the phrase-to-patch term; 0 leaves plain InfoNCE.
        sharpness: of a phrase's attention over patches.
        phrases_per_report: at most so many sentences of a report, drawn anew each epoch.
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
        phrases_per_report: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.steps, self.warmup_steps = steps, warmup_steps
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.local_weight, self.sharpness, self.phrases_per_report = local_weight, sharpness, phrases_per_report
        self.seed = seed

    def prepare(self, folder: Path, batches: RadiographDataModule) -> dict[str, Any]:
        """Make the vocabulary of the training texts once, ``tokenizer.json``; a resumed run reads it back."""
        path = folder / "tokenizer.json"
        if not path.exists():
            samples = batches.samples(batches.train_split)
            assert isinstance(samples, ImageTextSamples)
            write_text(path, train_wordpiece(samples.texts(), self.model.config["vocabulary_size"]).to_str())
        self.model.set_tokenizer(Tokenizer.from_file(str(path)))
        return {}

    def export(self, folder: Path) -> None:
        """Write the model with its tokenizer."""
        if rank() == 0:
            save_image_text(self.model, folder)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed torch for this step, so that dropout is a function of (seed, step)."""
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step's loss."""
        losses = self._losses(batch, epoch=int(batch["epoch"]))
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items() if name != "loss"})
        self.log("train/loss", losses["loss"].detach(), prog_bar=True)
        return losses["loss"]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The same losses on held-out patients, with fixed sentences."""
        losses = self._losses(batch, epoch=0)
        size = len(batch["text"])
        self.log_dict({f"val/{name}": value for name, value in losses.items()}, batch_size=size, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW and the step-wise schedule."""
        return adamw_with_cosine(
            self.parameters(),
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup_steps=self.warmup_steps,
            steps=self.steps,
        )

    def _losses(self, batch: Batch, *, epoch: int) -> dict[str, Tensor]:
        images = self.model.embed_images(batch["image"])
        reports_here = self.model.embed_texts(batch["text"])  # (B, D) of this process
        whole = gather_with_gradient(images.projected_global_embedding) @ gather_with_gradient(reports_here).T
        temperature, texts = self.model.temperature, gather_texts(batch["text"])
        report_loss = info_nce(whole, temperature=temperature, texts=texts)
        losses = {"loss": report_loss, "report_loss": report_loss, "recall_at_5": _recall(whole.detach(), 5)}
        if self.local_weight > 0:
            phrases, present = self._embed_phrases([self._draw_phrases(batch, row, epoch) for row in range(len(reports_here))])
            local = report_to_patch_similarity(
                gather_with_gradient(images.projected_patch_embeddings),
                gather_with_gradient(phrases),
                gather_with_gradient(present),
                sharpness=self.sharpness,
            )
            losses["phrase_loss"] = info_nce(local, temperature=temperature, texts=texts)
            losses["loss"] = report_loss + self.local_weight * losses["phrase_loss"]
        return losses

    def _draw_phrases(self, batch: Batch, row: int, epoch: int) -> list[str]:
        """Sentences of one report, drawn by (seed, epoch, sample id), at most ``phrases_per_report``; the text where there is none."""
        phrases = batch["phrases"][row] or [batch["text"][row]]
        keys = [f"{self.seed}/{epoch}/{batch['sample_id'][row]}/{i}".encode() for i in range(len(phrases))]
        drawn = sorted(range(len(phrases)), key=lambda i: hashlib.sha256(keys[i]).digest())[: self.phrases_per_report]
        return [phrases[i] for i in sorted(drawn)]

    def _embed_phrases(self, reports: list[list[str]]) -> tuple[Tensor, Tensor]:
        """The phrases of B reports → (B, K, D), zeros where there are fewer, and (B, K) ones where there is one."""
        distinct = list(dict.fromkeys(phrase for phrases in reports for phrase in phrases))
        vectors = dict(zip(distinct, self.model.embed_texts(distinct), strict=True))
        absent = torch.zeros_like(vectors[distinct[0]])
        padded = [[*(vectors[p] for p in phrases), *[absent] * (self.phrases_per_report - len(phrases))] for phrases in reports]
        counts = torch.tensor([len(phrases) for phrases in reports], device=absent.device)
        present = (torch.arange(self.phrases_per_report, device=absent.device) < counts[:, None]).to(absent.dtype)
        return torch.stack([torch.stack(row) for row in padded]), present


def _recall(similarity: Tensor, k: int) -> Tensor:
    """Share of images whose own report is among the k nearest of the batch."""
    own = similarity.diagonal()[:, None]
    return ((similarity > own).sum(dim=1) < k).float().mean()
