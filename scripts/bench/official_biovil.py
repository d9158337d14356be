"""Part of the vision-language benchmark and of a test: the official hi-ml-multimodal 0.2.2, its files unchanged.

``import_package`` takes the folder where it is installed (``pip install --no-deps --target FOLDER hi-ml-multimodal==0.2.2 SimpleITK
scikit-image imageio lazy-loader tifffile``); what else it needs is ours. One stand-in: transformers 5 has no ``batch_encode_plus``, without
which its text engine cannot run; the tokenizer's ``__call__`` is the same. The recipes are its own: zero-shot scores as in its test of
pneumonia prompts, heat maps as in its notebook.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

CROP = {"biovil": 480, "biovil_t": 448}
RESIZE = 512


def import_package(folder: Path) -> None:
    """Put the package at the end of the import path, import it, and mend its call of the tokenizer.

    Raises:
        ModuleNotFoundError: if it is not in the folder.
    """
    sys.path.append(str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of timm's old module names
        import health_multimodal.image.model.model
        import health_multimodal.text.model
        import health_multimodal.vlp  # noqa: F401
        from transformers import BertTokenizer
    logging.getLogger("transformers").setLevel(logging.ERROR)

    def batch_encode_plus(tokenizer: Any, batch_text_or_text_pairs: Sequence[str], **options: Any) -> Any:
        return tokenizer(list(batch_text_or_text_pairs), **options)

    BertTokenizer.batch_encode_plus = batch_encode_plus  # type: ignore[attr-defined]


def image_model() -> nn.Module:
    """BioViL's image model with random weights, in evaluation mode."""
    from health_multimodal.image.model.model import ImageModel

    return ImageModel("resnet50", 128).eval()


def multi_image_model() -> nn.Module:
    """BioViL-T's, which the package itself never builds with a film before."""
    from health_multimodal.image.model.model import MultiImageModel

    return MultiImageModel(img_encoder_type="resnet50_multi_image", joint_feature_size=128).eval()


def text_model(config: Mapping[str, Any]) -> nn.Module:
    """CXR-BERT of the sizes of a ``config.json``, random weights, in evaluation mode."""
    from health_multimodal.text.model import CXRBertConfig, CXRBertModel

    return CXRBertModel(CXRBertConfig(**config)).eval()


def text_engine(model: nn.Module, vocabulary: Path) -> Any:
    """The engine for prompts, with the word pieces of a ``vocab.txt``."""
    from health_multimodal.text import TextInferenceEngine
    from transformers import BertTokenizer

    return TextInferenceEngine(BertTokenizer(str(vocabulary)), model)


def joint_engine(image: nn.Module, text: Any, crop: int = CROP["biovil_t"]) -> Any:
    """The engine for images and texts, of an image model and a text engine."""
    from health_multimodal.image import ImageInferenceEngine
    from health_multimodal.image.data.transforms import create_chest_xray_transform_for_inference
    from health_multimodal.vlp import ImageTextInferenceEngine

    transform = create_chest_xray_transform_for_inference(RESIZE, crop)
    return ImageTextInferenceEngine(ImageInferenceEngine(image, transform), text)


def zero_shot(engine: Any, images: Sequence[Path], classes: Sequence[tuple[Sequence[str], Sequence[str]]]) -> NDArray[np.float64]:
    """Similarity with the positive and the negative prompts of each class, as in its example: (images, classes, 2)."""
    score = engine.get_similarity_score_from_raw_data
    return np.array([[[score(path, list(prompts)) for prompts in pair] for pair in classes] for path in images])


def ground(engine: Any, image: Path, phrases: Sequence[str], interpolation: str = "bilinear") -> NDArray[np.float32]:
    """A heat map a phrase over the original image: (phrases, H, W), NaN outside the centre crop."""
    return np.stack([engine.get_similarity_map_from_raw_data(image, phrase, interpolation) for phrase in phrases])


def smoothed_map(patches: Tensor, text: Tensor) -> Tensor:
    """Patches (h, w, D) and a text (1, D) of unit length → the smoothed map (h, w)."""
    from health_multimodal.vlp import ImageTextInferenceEngine

    return ImageTextInferenceEngine._get_similarity_map_from_embeddings(patches, text)


def resized_map(similarity: Tensor, size: tuple[int, int], crop: int, interpolation: str) -> NDArray[np.float32]:
    """A map (h, w) over an original image of a size (height, width)."""
    from health_multimodal.vlp import ImageTextInferenceEngine

    return ImageTextInferenceEngine.convert_similarity_to_image_size(
        similarity, width=size[1], height=size[0], resize_size=RESIZE, crop_size=crop, interpolation=interpolation
    )
