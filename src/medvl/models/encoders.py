"""Any image encoder on disk, for whoever only wants features: a vision transformer in any layout, or an image-text model."""

from __future__ import annotations

import json
from pathlib import Path

from medvl.models.checkpoints import CONFIG, load_image_text, load_vit
from medvl.models.image_text import ImageTextModel
from medvl.models.vit import VisionTransformer


def load_encoder(path: Path) -> VisionTransformer | ImageTextModel:
    """Read an encoder, in evaluation mode; errors as ``load_vit`` and ``load_image_text``.

    Args:
        path: whatever ``load_vit`` accepts, or the folder of a trained image-text model.
    """
    config = path / CONFIG
    if config.is_file() and json.loads(config.read_text()).get("architecture") == "image_text":
        return load_image_text(path)
    return load_vit(path)
