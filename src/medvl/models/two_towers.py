"""An image tower and a text tower that meet by cosine (CLIP, Radford et al. 2021; UniCL, Yang et al. 2022; MedImageInsight, 2024).

The image tower's class token, or what stands for it, is projected, as is the mean of the text tower's tokens. Departure from
MedImageInsight: the text tower is a BERT-like transformer with a vocabulary of the training texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import normalize

from medvl.models.davit_tower import DavitTower
from medvl.models.text_transformer import SmallTextTransformer
from medvl.models.tokenizer import fit_to_model, token_batch
from medvl.models.vit import VisionTransformer

ImageTower = VisionTransformer | DavitTower


class TwoTowers(nn.Module):
    """Image tower, text tower, their projections and the temperature.

    Args:
        image: the image tower.
        projection_size: D, the size of the joint space.
        vocabulary_size, text_width, text_layers, text_heads, max_length: see ``SmallTextTransformer``.
        temperature: where the learned temperature starts.
    """

    def __init__(
        self,
        image: ImageTower,
        *,
        projection_size: int = 1024,
        vocabulary_size: int = 49_408,
        text_width: int = 1024,
        text_layers: int = 16,
        text_heads: int = 16,
        max_length: int = 77,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        self.vocabulary_size, self.max_length = vocabulary_size, max_length
        self.image = image
        self.image_projection = nn.Linear(image.embed_dim, projection_size, bias=False)
        self.text = SmallTextTransformer(vocabulary_size, text_width, text_layers, text_heads, max_length)
        self.text_projection = nn.Linear(text_width, projection_size, bias=False)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))
        self.tokenizer: Tokenizer | None = None

    def set_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Give the model its vocabulary.

        Raises:
            ValueError: if the vocabulary is larger than the embedding.
        """
        self.tokenizer = fit_to_model(tokenizer, vocabulary_size=self.vocabulary_size)

    @property
    def temperature(self) -> Tensor:
        """The learned temperature, a scalar kept above 0.01, as CLIP's."""
        return self.log_temperature.exp().clamp(min=0.01)

    def embed_images(self, images: Tensor) -> Tensor:
        """Images (B, 1, H, W) in [0, 1] → (B, D) of unit length."""
        encoded = self.image.encode(self.image.standardize(images))
        return normalize(self.image_projection(encoded.cls).float(), dim=1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """N texts → (N, D) of unit length; texts longer than ``max_length`` pieces are cut.

        Raises:
            ValueError: if the model has no tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError("the model has no tokenizer: call set_tokenizer first")
        ids, mask = token_batch(self.tokenizer, texts, self.log_temperature.device, max_length=self.max_length)
        return normalize(self.text_projection(self.text(ids, mask)).float(), dim=1)
