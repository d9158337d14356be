"""CXR-BERT, BioViL and BioViL-T on disk: the official files and ours, read strictly and without asking any hub.

    biovil_image_resnet50_proj_size_128.pt      a bare state dict; BioViL's image model
    biovil_t_image_model_proj_size_128.pt       the same of BioViL-T
    pytorch_model.bin, config.json, vocab.txt   CXR-BERT, or the text model of BioViL and BioViL-T
    model.safetensors, config.json, tokenizer.json (or vocab.txt)   ours: the same tensors, or a whole image-text model, whose half is taken

Official files carry the trunk's unused classifier, tied tensors twice, and perhaps ``position_ids``: these are checked and left out.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from medvl.models.biovil import BioVilImageModel, Trunk
from medvl.models.biovil_t import BioVilTImageModel
from medvl.models.cxr_bert import CxrBert
from medvl.models.model_folders import (
    CONFIG,
    TIED,
    TOKENIZER,
    WEIGHTS,
    is_tied_copy,
    load_strictly,
    own_tensors,
    read_config,
    save_folder,
)
from medvl.models.resnet import SmallResNet
from medvl.models.resnet50 import ResNet50
from medvl.models.tokenizer import read_vocabulary
from medvl.runtime.errors import InvalidValue, MissingFile

VOCABULARY = "vocab.txt"
OFFICIAL_WEIGHTS = "pytorch_model.bin"
TEXT = "cxr_bert"
UNUSED_CLASSIFIER = {"encoder.encoder.fc.weight": (1000, 2048), "encoder.encoder.fc.bias": (1000,)}
POSITION_IDS = "bert.embeddings.position_ids"  # a buffer that older transformers wrote


def load_biovil(path: Path | str) -> BioVilImageModel:
    """BioViL's image model from the official ``.pt`` file or a folder of ours, in evaluation mode.

    Raises:
        MissingFile: if it is not there.
        InvalidValue: naming the file and the first tensors that are missing, unexpected, or of another shape.
    """
    path = Path(path)
    model = _own_image_model(path, BioVilImageModel) if path.is_dir() else BioVilImageModel(ResNet50())
    load_strictly(model, _image_tensors(path), path)
    return model.eval()


def load_biovil_t(path: Path | str) -> BioVilTImageModel:
    """BioViL-T's image model from the official ``.pt`` file or a folder of ours, in evaluation mode; errors as ``load_biovil``."""
    path = Path(path)
    model = _own_image_model(path, BioVilTImageModel) if path.is_dir() else BioVilTImageModel(ResNet50())
    load_strictly(model, _image_tensors(path), path)
    return model.eval()


def load_cxr_bert(path: Path | str) -> CxrBert:
    """A text model from an official folder or one of ours, in evaluation mode, with its vocabulary.

    Raises:
        MissingFile: naming the absent file.
        InvalidValue: naming the file and what does not fit.
    """
    folder = Path(path)
    official = (folder / OFFICIAL_WEIGHTS).is_file() and not (folder / WEIGHTS).is_file()
    weights = folder / (OFFICIAL_WEIGHTS if official else WEIGHTS)
    config = read_config(folder / CONFIG)
    text = _official_text_config(config, folder / CONFIG) if official or "hidden_size" in config else config.get("text", config)
    model = CxrBert(**{name: value for name, value in text.items() if name not in ("architecture", "schema_version")})
    tensors = _pickled_tensors(weights) if official else own_tensors(weights)
    load_strictly(model, _without_copies(_half(tensors, "text."), weights), weights)
    own_tokenizer = folder / TOKENIZER
    model.set_tokenizer(Tokenizer.from_file(str(own_tokenizer)) if own_tokenizer.is_file() else read_vocabulary(folder / VOCABULARY))
    return model.eval()


def save_cxr_bert(model: CxrBert, folder: Path) -> None:
    """Write a text model's folder; each file atomically, the weights last."""
    save_folder(model, folder, {"architecture": TEXT, **model.config}, model.tokenizer)


def image_model(config: Mapping[str, Any], path: Path) -> BioVilImageModel | BioVilTImageModel:
    """The image model that plain architecture values describe.

    Raises:
        InvalidValue: naming the file and the architecture that is not known.
    """
    values = dict(config)
    architecture, trunk = values.pop("architecture", None), dict(values.pop("trunk", {}))
    values.pop("schema_version", None)
    match trunk.pop("architecture", None):
        case "resnet50":
            network: Trunk = ResNet50()
        case "small_resnet":
            network = SmallResNet(**trunk)
        case other:
            raise InvalidValue(path, "field 'trunk'", f"{other!r} is not one of resnet50, small_resnet")
    match architecture:
        case "biovil":
            return BioVilImageModel(network, **values)
        case "biovil_t":
            return BioVilTImageModel(network, **values)
    raise InvalidValue(path, "field 'architecture'", f"{architecture!r} is not one of biovil, biovil_t")


def _own_image_model(folder: Path, expected: type) -> Any:
    config = read_config(folder / CONFIG)
    model = image_model(config.get("image", config), folder / CONFIG)
    if not isinstance(model, expected):
        raise InvalidValue(folder / CONFIG, "field 'architecture'", f"is {model.config['architecture']!r}; load it by its own function")
    return model


def _image_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by the official names without the trunk's classifier."""
    if path.is_dir():
        return _half(own_tensors(path / WEIGHTS), "image.")
    tensors = _pickled_tensors(path)
    for name, shape in UNUSED_CLASSIFIER.items():
        if name not in tensors or tuple(tensors[name].shape) != shape:
            raise InvalidValue(path, name, f"is not there as {shape}; an official file has it")
    return {name: tensor for name, tensor in tensors.items() if name not in UNUSED_CLASSIFIER}


def _half(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """One half of a whole image-text model; all tensors where the file holds the half alone."""
    part = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return part or tensors


def _without_copies(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors without tied copies, which must equal their originals, and without position numbers."""
    for copy, original in TIED.items():
        if copy in tensors and original in tensors and not torch.equal(tensors[copy], tensors[original]):
            raise InvalidValue(path, copy, f"differs from {original}, to which it is tied")
    return {name: tensor for name, tensor in tensors.items() if not is_tied_copy(name) and name != POSITION_IDS}


def _pickled_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise MissingFile(path, "give an official file, or the folder of a model of ours")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InvalidValue(path, "as a whole", "is not a PyTorch file of tensors") from error
    if not isinstance(found, Mapping) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise InvalidValue(path, "as a whole", "is not a state dict of tensors")
    return dict(found)


def _official_text_config(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    names = {
        "vocabulary_size": "vocab_size",
        "width": "hidden_size",
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "feed_forward": "intermediate_size",
        "max_length": "max_position_embeddings",
        "projection_size": "projection_size",
        "dropout": "hidden_dropout_prob",
    }
    if absent := [name for name in names.values() if name not in config]:
        raise InvalidValue(path, f"field {absent[0]!r}", "is not there; an official CXR-BERT configuration has it")
    return {ours: config[theirs] for ours, theirs in names.items()}
