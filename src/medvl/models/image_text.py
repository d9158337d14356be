"""An image model and a text model that meet by cosine, with the temperature between them: BioViL, BioViL-T, and both in small.

The global image embedding is the *average patch*, so that what matches a report can also be found on the map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import normalize

from medvl.models.biovil import BioVilImageModel, ImageModelOutput
from medvl.models.biovil_t import BioVilTImageModel
from medvl.models.cxr_bert import CxrBert
from medvl.models.vit import EncoderOutput

ImageModel = BioVilImageModel | BioVilTImageModel


class ImageEmbeddings(NamedTuple):
    """Embeddings of B images: the whole (B, D) and its patches (B, D, h, w), both of unit length over D."""

    projected_global_embedding: Tensor
    projected_patch_embeddings: Tensor


class ImageTextModel(nn.Module):
    """Image model, text model and temperature.

    Args:
        image, text: the two models, projected to the same size.
        temperature: of the contrastive losses, or where it starts.
        learn_temperature: whether it is a parameter; fixed as published.

    Raises:
        ValueError: if the two are projected to different sizes.
    """

    def __init__(self, image: ImageModel, text: CxrBert, *, temperature: float = 0.5, learn_temperature: bool = False) -> None:
        super().__init__()
        sizes = image.config["projection_size"], text.config["projection_size"]
        if sizes[0] != sizes[1]:
            raise ValueError(f"images are projected to {sizes[0]} and texts to {sizes[1]} numbers; the sizes must be equal")
        self.config = {"temperature": temperature, "learn_temperature": learn_temperature}
        self.image, self.text = image, text
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)), requires_grad=learn_temperature)

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The text model's vocabulary."""
        return self.text.tokenizer

    def set_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Give the text model its vocabulary; errors as there."""
        self.text.set_tokenizer(tokenizer)

    @property
    def temperature(self) -> Tensor:
        """The temperature, a scalar kept above 0.01."""
        return self.log_temperature.exp().clamp(min=0.01)

    def embed_images(self, pixels: Tensor, previous: Tensor | None = None, has_previous: Tensor | None = None) -> ImageEmbeddings:
        """Embed studies: pixels (B, 1, H, W) in [0, 1], bone bright; films before as the image model takes them."""
        return _unit_length(self.image(pixels, previous, has_previous))

    def embed_both_orders(self, pixels: Tensor, previous: Tensor, has_previous: Tensor) -> tuple[ImageEmbeddings, ImageEmbeddings]:
        """Embed studies as ``embed_images`` does, and again with the two films of each exchanged; zeros where there is no film before.

        Raises:
            ValueError: if the image model reads one film at a time.
        """
        if not isinstance(self.image, BioVilTImageModel):
            raise ValueError(f"{type(self.image).__name__} reads one film at a time, whose order nothing can tell")
        rows = has_previous.nonzero()[:, 0]
        static = self.image.encode_static(torch.cat([pixels, previous[rows]]))
        current, before = static[: len(pixels)], static[len(pixels) :]
        spread = torch.zeros_like(current).index_copy(0, rows, before)
        known = torch.cat([has_previous, has_previous[rows]])
        output = self.image.from_static(torch.cat([current, before]), torch.cat([spread, current[rows]]), known)  # one pass: one batch norm
        units = _unit_length(output)
        in_order = ImageEmbeddings(*(values[: len(pixels)] for values in units))
        exchanged = [torch.zeros_like(values[: len(pixels)]).index_copy(0, rows, values[len(pixels) :]) for values in units]
        return in_order, ImageEmbeddings(*exchanged)

    def embed_texts(self, texts: Sequence[str], *, truncate: bool = False, unit_length: bool = True) -> Tensor:
        """Embed N texts: (N, D), of unit length unless told otherwise; arguments and errors as ``CxrBert.embed_texts``."""
        return self.text.embed_texts(texts, truncate=truncate, unit_length=unit_length)

    def standardize(self, images: Tensor) -> Tensor:
        """The pixels that ``encode`` takes: images (B, 1, H, W) in [0, 1] as they are, for the networks standardise them themselves."""
        return images

    def encode(self, pixels: Tensor, layers: Sequence[int] = (-1,), norm: bool = True) -> EncoderOutput:
        """The image model's last map, before the projection: what a probe of the image side reads. The class token is the mean patch.

        Args:
            pixels: (B, 1, H, W) in [0, 1], without films before.
            layers: only the last, ``(-1,)``: the stages before have other widths and grids.
            norm: without effect; there is no final norm.

        Raises:
            ValueError: for another layer.
        """
        if tuple(layers) != (-1,):
            raise ValueError(f"the image side of an image-text model has features of its last layer only, not of {list(layers)}")
        output = self.image(pixels)
        maps, mean = output.patch_embeddings.float(), output.img_embedding.float()
        return EncoderOutput(mean, (maps.flatten(2).transpose(1, 2),), (maps.shape[2], maps.shape[3]), (mean,))


def _unit_length(output: ImageModelOutput) -> ImageEmbeddings:
    """The projected embeddings in float32, of unit length."""
    return ImageEmbeddings(
        normalize(output.projected_global_embedding.float(), dim=1), normalize(output.projected_patch_embeddings.float(), dim=1)
    )
