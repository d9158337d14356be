"""Any image encoder on disk, for whoever only wants features: a vision transformer in any layout, a DaViT, or an image-text model."""

from __future__ import annotations

import json
from pathlib import Path

from medvl.models.checkpoints import CONFIG, load_image_text, load_vit
from medvl.models.davit_tower import DavitTower, load_davit
from medvl.models.image_text import ImageTextModel
from medvl.models.vit import VisionTransformer


def load_encoder(path: Path) -> VisionTransformer | DavitTower | ImageTextModel:
    """Read an encoder, in evaluation mode; errors as ``load_vit``, ``load_davit`` and ``load_image_text``.

    Args:
        path: whatever ``load_vit`` accepts, or the folder of a DaViT or of a trained image-text model.
    """
    config = path / CONFIG
    architecture = json.loads(config.read_text()).get("architecture") if config.is_file() else None
    if architecture == "davit":
        return load_davit(path)
    if architecture == "image_text":
        return load_image_text(path)
    return load_vit(path)
