"""Models on disk: a folder of ``model.safetensors``, ``config.json`` (plain architecture values) and ``tokenizer.json``.

Loading is strict: every tensor must be there with its shape. No class name is read from a file. Vision transformers, which come in
the layouts of other libraries as well, have a module of their own, whose two functions stand here too.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from medvl.models.image_text import ImageTextModel
from medvl.models.vit_checkpoints import CONFIG, WEIGHTS, load_vit, save_vit
from medvl.runtime.errors import InvalidValue, MissingFile
from medvl.runtime.files import atomic_path, write_json, write_text

__all__ = ["CONFIG", "TOKENIZER", "WEIGHTS", "load_image_text", "load_vit", "save_image_text", "save_vit"]

TOKENIZER = "tokenizer.json"
ARCHITECTURE = "image_text"


def save_image_text(model: ImageTextModel, folder: Path) -> None:
    """Write a model's folder; each file atomically, the weights last."""
    write_json(folder / CONFIG, {"architecture": ARCHITECTURE, "schema_version": 1, **model.config})
    if model.tokenizer is not None:
        write_text(folder / TOKENIZER, model.tokenizer.to_str())
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary)


def load_image_text(folder: Path) -> ImageTextModel:
    """Read a model's folder, in evaluation mode.

    Raises:
        MissingFile: naming the absent file.
        InvalidValue: naming the file and what does not fit.
    """
    for name in (WEIGHTS, CONFIG, TOKENIZER):
        if not (folder / name).is_file():
            raise MissingFile(folder / name, "Is this the folder of a trained image-text model?")
    config = json.loads((folder / CONFIG).read_text())
    if config.pop("architecture", None) != ARCHITECTURE:
        raise InvalidValue(folder / CONFIG, "field 'architecture'", f"expected {ARCHITECTURE!r}")
    config.pop("schema_version")
    model = ImageTextModel(**config)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS), strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise InvalidValue(folder / WEIGHTS, "tensors", str(error).splitlines()[-1].strip()) from error
    model.set_tokenizer(Tokenizer.from_file(str(folder / TOKENIZER)))
    return model.eval()
