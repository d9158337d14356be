"""What a DINOv2 run reads and writes beside its checkpoints.

``grey_levels.json``: mean and standard deviation of the training images and how they were computed, made once.
``model/`` and ``untrained/``: the teacher's backbone as ``load_vit`` reads it, ``grey_levels.json`` again, and ``heads.safetensors`` with
``dino_head.…`` and, if there is one, ``ibot_head.…``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from medvl.data.module import RadiographDataModule
from medvl.data.samples import ImageSamples
from medvl.data.statistics import grey_levels
from medvl.models.checkpoints import load_vit, save_vit
from medvl.models.dino_head import DinoHead
from medvl.models.vit import VisionTransformer, check_images
from medvl.runtime.distributed import rank
from medvl.runtime.errors import InvalidValue, MissingFile, UserError
from medvl.runtime.files import atomic_path, write_json
from medvl.training.dino_network import DinoNetwork
from medvl.training.sharding import whole

GREY_LEVELS, HEADS = "grey_levels.json", "heads.safetensors"
CHECKED = 64  # images


class UnfitImages(UserError):
    """Images that nothing can be learnt from."""


def training_grey_levels(folder: Path, batches: RadiographDataModule) -> dict[str, Any]:
    """The grey levels of the training split, from ``folder`` if they were computed before."""
    path = folder / GREY_LEVELS
    if not path.exists():
        parts = [(samples.prepared, [view for _, view in samples.items]) for samples in batches.parts(batches.train_split)]
        source = f"{batches.train_split} of {' and '.join(prepared.fingerprint for prepared, _ in parts)}"
        write_json(path, asdict(grey_levels(parts, source=source)))
    return json.loads(path.read_text())


def check_training_images(batches: RadiographDataModule, in_channels: int) -> None:
    """See that the first training images of every dataset are fit to train on.

    Raises:
        UnfitImages: naming the folder and what is wrong.
    """
    for part in batches.parts(batches.train_split):
        samples = ImageSamples(part.prepared, split=batches.train_split, crop=batches.crop)
        images = torch.stack([samples[i]["image"] for i in range(min(CHECKED, len(samples)))])
        try:
            check_images(images, in_channels)
        except ValueError as error:
            raise UnfitImages(f"{part.prepared.folder}, first images of split {batches.train_split!r}: {error}") from error


def load_backbone(backbone: VisionTransformer, path: Path) -> None:
    """Start from a checkpoint of the same architecture; its grey levels come along.

    Raises:
        InvalidValue: naming the first tensor in which the two differ.
    """
    given = load_vit(path, in_channels=backbone.in_channels)
    wanted, found = backbone.state_dict(), given.state_dict()
    for name in sorted(wanted.keys() | found.keys()):
        a, b = (tuple(tensors[name].shape) if name in tensors else None for tensors in (wanted, found))
        if a != b:
            raise InvalidValue(path, f"tensor {name!r}", f"has shape {b}, the model of this run {a}: choose model=… and its sizes to match")
    backbone.load_state_dict(found)
    backbone.set_statistics(given.config["mean"], given.config["std"])


def load_head(head: DinoHead, path: Path) -> None:
    """Start from a head's file: official names, with or without a prefix.

    Raises:
        MissingFile: if there is none.
        InvalidValue: naming the file and what does not fit.
    """
    if not path.is_file():
        raise MissingFile(path, "Is this the file of a head?")
    try:
        tensors = {name.removeprefix("dino_head."): tensor for name, tensor in load_file(path).items() if not name.startswith("ibot_head.")}
        head.load_state_dict(tensors)
    except (RuntimeError, SafetensorError) as error:
        raise InvalidValue(path, "tensors", str(error).splitlines()[-1].strip()) from error


def save_teacher(teacher: DinoNetwork, folder: Path, levels: dict[str, Any]) -> None:
    """Write the teacher's grey levels, heads and backbone, the backbone's weights last.

    Every process must call, because parameters may be sharded over them; the first one writes.
    """
    tensors = {name: whole(tensor).detach().cpu().contiguous() for name, tensor in teacher.state_dict().items()}
    if rank() != 0:
        return
    write_json(folder / GREY_LEVELS, levels)
    with atomic_path(folder / HEADS) as temporary:
        save_file({name: tensor for name, tensor in tensors.items() if not name.startswith("backbone.")}, temporary)
    backbone = VisionTransformer(**teacher.backbone.config)
    backbone.load_state_dict({name.removeprefix("backbone."): tensor for name, tensor in tensors.items() if name.startswith("backbone.")})
    save_vit(backbone, folder)
