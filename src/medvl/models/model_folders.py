"""A model's folder: ``config.json`` (plain architecture values), ``model.safetensors`` and, where it reads text, ``tokenizer.json``.

What every folder of ours has in common. Reading is strict: every tensor must be there with its shape, and none besides. No class name is
read from a file. Tensors that the text model ties are written once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from medvl.runtime.errors import InvalidValue, MissingFile
from medvl.runtime.files import atomic_path, write_json, write_text

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
"""Copy → original, by the names of a text model."""


def save_folder(model: nn.Module, folder: Path, config: Mapping[str, Any], tokenizer: Tokenizer | None = None) -> None:
    """Write ``config.json``, ``tokenizer.json`` and ``model.safetensors``, each atomically, the weights last; tied tensors once."""
    write_json(folder / CONFIG, {"schema_version": 1, **config})
    if tokenizer is not None:
        write_text(folder / TOKENIZER, tokenizer.to_str())
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items() if not is_tied_copy(name)}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary)


def own_config(folder: Path, architecture: str, names: Sequence[str] = (WEIGHTS, CONFIG, TOKENIZER)) -> dict[str, Any]:
    """The architecture values of a folder of ours, all of whose files are there.

    Raises:
        MissingFile: naming the first absent file.
        InvalidValue: if the folder holds another architecture.
    """
    for name in names:
        if not (folder / name).is_file():
            raise MissingFile(folder / name, f"Is this the folder of a trained model ({architecture})?")
    config = read_config(folder / CONFIG)
    if (found := config.pop("architecture", None)) != architecture:
        raise InvalidValue(folder / CONFIG, "field 'architecture'", f"is {found!r}, expected {architecture!r}")
    config.pop("schema_version", None)
    return config


def read_config(path: Path) -> dict[str, Any]:
    """The fields of a ``config.json``, ours or an official one.

    Raises:
        MissingFile: if it is not there.
        InvalidValue: if it is not JSON.
    """
    if not path.is_file():
        raise MissingFile(path)
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InvalidValue(path, "as a whole", "is not JSON") from error


def own_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        MissingFile: if it is not there.
        InvalidValue: if it cannot be read.
    """
    if not path.is_file():
        raise MissingFile(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InvalidValue(path, "tensors", str(error)) from error


def load_strictly(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Give a model its tensors, tied ones once.

    Raises:
        InvalidValue: naming the file and the first tensors that are missing, unexpected, of another shape, or not finite.
    """
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items() if not is_tied_copy(name)}
    problems = {
        "missing": sorted(wanted.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - wanted.keys()),
        "of another shape": [
            f"{n} {tuple(tensors[n].shape)}, expected {tuple(shape)}"
            for n, shape in wanted.items()
            if n in tensors and tensors[n].shape != shape
        ],
    }
    if found := [f"{len(names)} {problem} ({', '.join(names[:3])})" for problem, names in problems.items() if names]:
        raise InvalidValue(path, "tensors", "; ".join(found))
    require_finite(tensors, path)
    model.load_state_dict(dict(tensors), strict=False)  # what is tied is not there twice; everything else was checked


def require_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """See that weights are numbers.

    Raises:
        InvalidValue: naming the file and the first tensor that holds NaN or infinity.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise InvalidValue(
                path, f"tensor {name!r}", "has values that are not finite: take a checkpoint from before the training diverged"
            )


def is_tied_copy(name: str) -> bool:
    """Whether a tensor, of a text model or of a model that holds one as ``text``, is the same as another."""
    return name.removeprefix("text.") in TIED
