"""A small image-text model: residual network and text transformer projected into one space (after ConVIRT and BioViL).

Image patches and texts meet by cosine. The global image embedding is the *average patch*, so that what matches a report can also be
found on the map. Names of the outputs follow BioViL (Boecking et al. 2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import normalize

from medvl.models.resnet import Norm, SmallResNet
from medvl.models.text_transformer import SmallTextTransformer
from medvl.models.tokenizer import limit, token_batch
from medvl.models.vit import EncoderOutput


class ImageEmbeddings(NamedTuple):
    """Embeddings of B images: the whole (B, D) and its patches (B, D, h, w), both of unit length over D."""

    projected_global_embedding: Tensor
    projected_patch_embeddings: Tensor


class ImageTextModel(nn.Module):
    """Image encoder, text encoder, their projections and the temperature.

    Args:
        projection_size: D, the size of the joint space.
        image_widths, image_blocks, norm: see ``SmallResNet``.
        vocabulary_size, text_width, text_layers, text_heads, max_length, dropout: see ``SmallTextTransformer``.
        temperature: where the learned temperature starts.
    """

    def __init__(
        self,
        projection_size: int = 128,
        image_widths: Sequence[int] = (32, 64, 128, 256),
        image_blocks: int = 1,
        norm: Norm = "batch",
        vocabulary_size: int = 2048,
        text_width: int = 128,
        text_layers: int = 2,
        text_heads: int = 4,
        max_length: int = 112,
        dropout: float = 0.0,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.config["image_widths"] = list(image_widths)
        self.image_encoder = SmallResNet(image_widths, image_blocks, norm)
        self.image_projection = nn.Conv2d(self.image_encoder.width, projection_size, 1)
        self.text_encoder = SmallTextTransformer(vocabulary_size, text_width, text_layers, text_heads, max_length, dropout)
        self.text_projection = nn.Linear(text_width, projection_size)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))
        self.tokenizer: Tokenizer | None = None

    def set_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Give the model its vocabulary.

        Raises:
            ValueError: if the vocabulary is larger than the embedding.
        """
        self.tokenizer = limit(tokenizer, vocabulary_size=self.config["vocabulary_size"], max_length=self.config["max_length"])

    @property
    def temperature(self) -> Tensor:
        """The learned temperature, a scalar kept above 0.01."""
        return self.log_temperature.exp().clamp(min=0.01)

    def embed_images(self, pixels: Tensor) -> ImageEmbeddings:
        """Embed radiographs: pixels (B, 1, H, W) in [0, 1], bone bright."""
        patches = self.image_projection(self.image_encoder(pixels)).float()  # (B, D, h, w)
        return ImageEmbeddings(normalize(patches.mean(dim=(2, 3)), dim=1), normalize(patches, dim=1))

    def standardize(self, images: Tensor) -> Tensor:
        """The pixels that ``encode`` takes: images (B, 1, H, W) in [0, 1] as they are, for the network standardises them itself."""
        return images

    def encode(self, pixels: Tensor, layers: Sequence[int] = (-1,), norm: bool = True) -> EncoderOutput:
        """The image network's last map, before the projection: what a probe of the image side reads. The class token is the mean patch.

        Args:
            pixels: (B, 1, H, W) in [0, 1].
            layers: only the last, ``(-1,)``: the stages before have other widths and grids.
            norm: without effect; there is no final norm.

        Raises:
            ValueError: for another layer.
        """
        if tuple(layers) != (-1,):
            raise ValueError(f"the image side of an image-text model has features of its last layer only, not of {list(layers)}")
        maps = self.image_encoder(pixels).float()  # (B, C, h, w)
        mean = maps.mean(dim=(2, 3))
        return EncoderOutput(mean, (maps.flatten(2).transpose(1, 2),), (maps.shape[2], maps.shape[3]), (mean,))

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed N texts: (N, D) of unit length; texts longer than ``max_length`` pieces are cut.

        Raises:
            ValueError: if the model has no tokenizer, or a text is empty.
        """
        if self.tokenizer is None:
            raise ValueError("the model has no tokenizer: call set_tokenizer first")
        if not all(text.strip() for text in texts):
            raise ValueError(f"text {next(i for i, t in enumerate(texts) if not t.strip())} of {len(texts)} is empty")
        ids, mask = token_batch(self.tokenizer, texts, self.log_temperature.device)
        return normalize(self.text_projection(self.text_encoder(ids, mask)).float(), dim=1)
