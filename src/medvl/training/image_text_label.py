"""Contrastive training over images, texts and labels (UniCL), as MedImageInsight was trained and the data scaling study trains it further.

Every draw is a pure function of (seed, epoch, sample id) or (seed, step). Over several processes embeddings are gathered with gradients,
and the loss is that of the global batch. What is kept is the image tower, in its own layout, with the text tower beside it:

    config.json, model.safetensors         the image tower, as ``load_encoder`` reads it
    text_tower.safetensors, tokenizer.json  the text tower, both projections and the temperature; the vocabulary
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from medvl.data.label_samples import ImageTextLabelSamples
from medvl.data.module import RadiographDataModule
from medvl.models.checkpoints import TOKENIZER, save_vit
from medvl.models.davit_tower import load_davit, save_davit
from medvl.models.tokenizer import train_wordpiece
from medvl.models.two_towers import ImageTower, TwoTowers
from medvl.models.vit import VisionTransformer
from medvl.objectives.unicl import unicl_loss
from medvl.runtime.distributed import rank
from medvl.runtime.errors import InvalidValue
from medvl.runtime.files import atomic_path, write_text
from medvl.training.dino_files import check_training_images, load_backbone, training_grey_levels
from medvl.training.family import ModelTraining
from medvl.training.optimizers import adamw_with_cosine

Batch = dict[str, Any]
TEXT_TOWER = "text_tower.safetensors"


class ImageTextLabelTraining(ModelTraining):
    """Wires two towers, UniCL and AdamW with warm-up and cosine.

    Args:
        model: gets its vocabulary from ``prepare``, or has it set before the first batch.
        steps: length of the run, for the schedule.
        learning_rate, weight_decay, warmup_steps: of AdamW; biases, normalisations and the temperature are not decayed.
        seed: of every draw.
        grey_levels: standardise by the mean and deviation of the training images, or by the image tower's own.
        init_from: an image tower to start from: whatever ``load_vit`` takes for a vision transformer, a folder for a DaViT. The text tower
            in the same folder comes along with its vocabulary. Random weights if not given.
    """

    def __init__(
        self,
        model: TwoTowers,
        *,
        steps: int,
        learning_rate: float,
        weight_decay: float,
        warmup_steps: int,
        seed: int,
        grey_levels: Literal["dataset", "model"] = "dataset",
        init_from: str | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        if isinstance(model.image, VisionTransformer):
            model.image.mask_token.requires_grad_(False)  # nothing is hidden here
        self.steps, self.warmup_steps = steps, warmup_steps
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.seed, self.grey_levels, self.init_from = seed, grey_levels, init_from

    def prepare(self, folder: Path, batches: RadiographDataModule) -> dict[str, Any]:
        """Take the weights to start from, the vocabulary and the grey levels; see that the images are fit to train on."""
        tower = self.model.image
        check_training_images(batches, tower.in_channels)
        start = Path(self.init_from) if self.init_from is not None else None
        if start is not None:
            load_tower(tower, start)
        vocabulary = folder / TOKENIZER
        text = start is not None and (start / TEXT_TOWER).is_file()
        if not vocabulary.exists():
            write_text(vocabulary, (start / TOKENIZER).read_text() if start is not None and text else self._vocabulary(batches))
        self.model.set_tokenizer(Tokenizer.from_file(str(vocabulary)))
        if start is not None and text:
            load_text_tower(self.model, start / TEXT_TOWER)
        levels = {"mean": tower.config["mean"], "std": tower.config["std"], "source": "the model's own"}
        if self.grey_levels == "dataset":
            levels = training_grey_levels(folder, batches)
        tower.set_statistics(levels["mean"], levels["std"])
        return {"grey_levels": levels, "init_from": self.init_from}

    def export(self, folder: Path) -> None:
        """Write both towers, the image tower's weights last."""
        if rank() != 0:
            return
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.model.state_dict().items() if not name.startswith("image.")}
        with atomic_path(folder / TEXT_TOWER) as temporary:
            save_file(tensors, temporary)
        if self.model.tokenizer is not None:
            write_text(folder / TOKENIZER, self.model.tokenizer.to_str())
        tower = self.model.image
        if isinstance(tower, VisionTransformer):
            save_vit(tower, folder)
        else:
            save_davit(tower, folder)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step's loss."""
        loss = self._loss(batch)
        self.log_dict({"train/loss": loss.detach(), "train/temperature": self.model.temperature.detach()})
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The same loss on held-out patients."""
        self.log("val/loss", self._loss(batch), batch_size=len(batch["text"]), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW and the step-wise schedule."""
        return adamw_with_cosine(
            self.parameters(),
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup_steps=self.warmup_steps,
            steps=self.steps,
        )

    def _loss(self, batch: Batch) -> Tensor:
        images, texts = self.model.embed_images(batch["image"]), self.model.embed_texts(batch["text"])
        return unicl_loss(images, texts, batch["label"], temperature=self.model.temperature, gather=True)

    def _vocabulary(self, batches: RadiographDataModule) -> str:
        assert all(isinstance(samples, ImageTextLabelSamples) for samples in batches.parts(batches.train_split))
        return train_wordpiece(batches.training_texts(), self.model.vocabulary_size).to_str()


def load_tower(tower: ImageTower, path: Path) -> None:
    """Start from an image tower of the same architecture; its grey levels come along.

    Raises:
        MissingFile: naming what is absent.
        InvalidValue: naming the file and the first thing in which the two differ.
    """
    if isinstance(tower, VisionTransformer):
        load_backbone(tower, path)
        return
    given = load_davit(path)
    try:
        tower.load_state_dict(given.state_dict())
    except RuntimeError as error:
        raise InvalidValue(path, "tensors", str(error).splitlines()[1].strip()) from error
    tower.set_statistics(given.config["mean"], given.config["std"])


def load_text_tower(model: TwoTowers, path: Path) -> None:
    """Start from the text tower, the projections and the temperature of another run.

    Raises:
        InvalidValue: naming the file and what does not fit.
    """
    try:
        found = load_file(path)
        wrong = model.load_state_dict(found, strict=False)
        missing = [name for name in wrong.missing_keys if not name.startswith("image.")]
        if missing or wrong.unexpected_keys:
            raise InvalidValue(path, "tensors", f"missing {missing}, unexpected {wrong.unexpected_keys}")
    except (RuntimeError, SafetensorError) as error:
        raise InvalidValue(path, "tensors", str(error).splitlines()[-1].strip()) from error
