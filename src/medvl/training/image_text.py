"""Contrastive training of an image-text model: BioViL (Boecking et al. 2022), BioViL-T (Bannur et al. 2023), and both in small.

Every draw is a pure function of (seed, epoch, sample id) or (seed, step), so a resumed run and a run over more processes see the same
batches and texts. Over several processes embeddings are gathered with gradients, and the loss is that of the global batch. With
``chunk`` a batch is embedded in parts whose graphs never stand side by side (Gao et al. 2021): the same gradients in the memory of one
part, if normalisation does not depend on the batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from medvl.data.module import RadiographDataModule
from medvl.models.biovil_t import BioVilTImageModel
from medvl.models.checkpoints import TOKENIZER, load_biovil, load_biovil_t, load_cxr_bert, save_image_text
from medvl.models.image_guided_mlm import ImageGuidedPredictor
from medvl.models.image_text import ImageTextModel
from medvl.models.tokenizer import train_wordpiece
from medvl.runtime.distributed import gather_texts, gather_with_gradient, rank
from medvl.runtime.errors import InvalidValue
from medvl.runtime.files import write_text
from medvl.training.cached_gradients import embed_in_chunks, split_batch
from medvl.training.family import ModelTraining
from medvl.training.image_text_embedding import Batch, Embedded, ImageTextEmbedding
from medvl.training.image_text_losses import ImageTextLosses
from medvl.training.optimizers import adamw_with_cosine


class ImageTextTraining(ModelTraining):
    """Wires model, losses and AdamW with warm-up and cosine.

    Args:
        model: gets its tokenizer from ``prepare``, or has it set before the first batch.
        steps: length of the run, for the schedule.
        learning_rate, weight_decay, warmup_steps: of AdamW; biases, normalisations and the temperature are not decayed.
        losses: the terms.
        parts_per_report: at most so many phrases or word pieces of a report meet the patches.
        mask_share: of the words of a report, chosen where masked language modelling has a weight.
        predictor: lets hidden words see the image; left behind after training, as the published text model has no such weights.
        chunk: studies embedded at once; the whole batch if not given.
        image_init_from, text_init_from: official files, or folders of ours, to start from; random weights if not given. The vocabulary
            comes with the text model.
        freeze_norms: keep batch normalisation at its running statistics, so that a batch may be split over processes or parts.
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
        losses: ImageTextLosses,
        parts_per_report: int,
        seed: int,
        mask_share: float = 0.15,
        predictor: ImageGuidedPredictor | None = None,
        chunk: int | None = None,
        image_init_from: str | None = None,
        text_init_from: str | None = None,
        freeze_norms: bool = False,
    ) -> None:
        super().__init__()
        self.losses, self.chunk, self.freeze_norms = losses, chunk, freeze_norms
        self.embedding = ImageTextEmbedding(
            model,
            parts=losses.parts_wanted,
            parts_per_report=parts_per_report,
            sections=losses.section_weight > 0,
            exchanged=losses.order_weight > 0,
            mask_share=mask_share if losses.masked_weight > 0 else 0.0,
            predictor=predictor if losses.masked_weight > 0 else None,
            seed=seed,
        )
        self.steps, self.warmup_steps = steps, warmup_steps
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.image_init_from, self.text_init_from = image_init_from, text_init_from
        self.seed = seed
        self._freeze_unused()

    @property
    def model(self) -> ImageTextModel:
        """The model that is kept."""
        return self.embedding.model

    def prepare(self, folder: Path, batches: RadiographDataModule) -> dict[str, Any]:
        """Take the weights to start from, and the vocabulary: theirs, or one made of the training texts once."""
        if self.image_init_from is not None:
            load = load_biovil_t if isinstance(self.model.image, BioVilTImageModel) else load_biovil
            _start_from(self.model.image, load(self.image_init_from), self.image_init_from)
        if self.text_init_from is not None:
            start = load_cxr_bert(self.text_init_from)
            _start_from(self.model.text, start, self.text_init_from)
            assert start.tokenizer is not None
            self.model.set_tokenizer(start.tokenizer)
        else:
            self.model.set_tokenizer(self._own_vocabulary(folder / TOKENIZER, batches))
        return {"image_init_from": self.image_init_from, "text_init_from": self.text_init_from}

    def export(self, folder: Path) -> None:
        """Write the model with its tokenizer."""
        if rank() == 0:
            save_image_text(self.model, folder)

    def on_train_start(self) -> None:
        """Hold batch normalisation, where it is frozen."""
        if self.freeze_norms:
            for module in self.modules():
                if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):  # synchronised ones as well
                    module.eval()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step's loss."""
        terms = self._terms(batch)
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items() if name != "loss"})
        self.log("train/loss", terms["loss"].detach(), prog_bar=True)
        return terms["loss"]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The same terms on held-out patients, with fixed draws."""
        terms = self._terms({**batch, "epoch": 0})
        self.log_dict({f"val/{name}": value for name, value in terms.items()}, batch_size=len(batch["text"]), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW and the step-wise schedule."""
        return adamw_with_cosine(
            self.parameters(),
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup_steps=self.warmup_steps,
            steps=self.steps,
        )

    def _terms(self, batch: Batch) -> dict[str, Tensor]:
        if self.chunk is not None and torch.is_grad_enabled():
            embedded = embed_in_chunks(self.embedding, split_batch(batch, self.chunk))
        else:
            embedded = self.embedding(batch)
        return self.losses(Embedded(*map(gather_with_gradient, embedded)), gather_texts(batch["text"]), self.model.temperature)

    def _own_vocabulary(self, path: Path, batches: RadiographDataModule) -> Tokenizer:
        """The vocabulary of the training texts, made at the first start and read back."""
        if not path.exists():
            write_text(path, train_wordpiece(batches.training_texts(), self.model.text.config["vocabulary_size"]).to_str())
        return Tokenizer.from_file(str(path))

    def _freeze_unused(self) -> None:
        """What no term reaches gets no gradient, which several processes want said."""
        if self.embedding.mask_share == 0:
            head = self.model.text.cls.predictions
            for parameter in (*head.transform.parameters(), head.bias):
                parameter.requires_grad_(False)


def _start_from(model: torch.nn.Module, start: torch.nn.Module, path: str) -> None:
    """Take the weights of another model of the same sizes.

    Raises:
        InvalidValue: naming the path and the first tensor that differs.
    """
    try:
        model.load_state_dict(start.state_dict())
    except RuntimeError as error:
        raise InvalidValue(path, "tensors", str(error).splitlines()[1].strip()) from error
