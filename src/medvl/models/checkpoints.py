"""Models on disk: a folder of ``model.safetensors``, ``config.json`` (plain architecture values) and ``tokenizer.json``.

Loading is strict: every tensor must be there with its shape. No class name is read from a file. Vision transformers and BioViL's models,
which come in the layouts of other libraries as well, have modules of their own, whose functions stand here too.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from medvl.models.biovil_checkpoints import image_model, load_biovil, load_biovil_t, load_cxr_bert, save_cxr_bert
from medvl.models.cxr_bert import CxrBert
from medvl.models.image_text import ImageTextModel
from medvl.models.model_folders import CONFIG, TOKENIZER, WEIGHTS, load_strictly, own_config, own_tensors, save_folder
from medvl.models.vit_checkpoints import load_vit, save_vit

__all__ = [
    "CONFIG",
    "TOKENIZER",
    "WEIGHTS",
    "load_biovil",
    "load_biovil_t",
    "load_cxr_bert",
    "load_image_text",
    "load_vit",
    "save_cxr_bert",
    "save_image_text",
    "save_vit",
]

ARCHITECTURE = "image_text"


def save_image_text(model: ImageTextModel, folder: Path) -> None:
    """Write a model's folder; each file atomically, the weights last."""
    config = {"architecture": ARCHITECTURE, **model.config, "image": model.image.config, "text": model.text.config}
    save_folder(model, folder, config, model.tokenizer)


def load_image_text(folder: Path) -> ImageTextModel:
    """Read a model's folder, in evaluation mode.

    Raises:
        MissingFile: naming the absent file.
        InvalidValue: naming the file and what does not fit.
    """
    config = own_config(folder, ARCHITECTURE)
    image, text = config.pop("image"), config.pop("text")
    model = ImageTextModel(image_model(image, folder / CONFIG), CxrBert(**text), **config)
    load_strictly(model, own_tensors(folder / WEIGHTS), folder / WEIGHTS)
    model.set_tokenizer(Tokenizer.from_file(str(folder / TOKENIZER)))
    return model.eval()
