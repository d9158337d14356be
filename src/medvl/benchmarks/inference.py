"""The engine for people: radiographs and texts in, similarities, findings and heat maps out.

What BioViL's engine does (microsoft/hi-ml), for many images and texts at once. An image is encoded once for all texts of a call, a text
once in the engine's life; files are read by the reader that serves training. Similarity is the cosine of global embedding and text;
several texts in one entry are a prompt ensemble, one direction (``ensemble_direction``). Maps lie over the original image.

    engine = ImageTextInference(load_image_text(folder), crop=448)
    engine.similarity(["a.dcm", "b.png"], ["There is a pneumothorax.", "No pneumothorax."])                       # (2, 2)
    engine.classify(["a.dcm"], {"edema": {"positive": ["Pulmonary edema."], "negative": ["No edema."]}})["edema"]  # (1,) probabilities
    engine.ground("a.dcm", ["Left basilar consolidation."], previous="before.dcm")                                # (1, H, W)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from medvl.benchmarks.embedding import ImageTextEncoder, device_of, embed, ensemble_direction, text_embeddings
from medvl.benchmarks.similarity_maps import Geometry, Interpolation, Map, map_in_original, patch_similarity
from medvl.benchmarks.zero_shot import Prompts, prompt_scores
from medvl.data.dicom import read_radiograph
from medvl.data.intensity import Intensity
from medvl.data.transforms import Fit, fit_square, to_tensor
from medvl.geometry import Frame
from medvl.models.folding import fold_batch_norms
from medvl.runtime.errors import UserError

Image = Path | str | NDArray[np.uint8] | NDArray[np.float32]
Text = str | Sequence[str]
"""A text, or the texts of a prompt ensemble."""


class UnusableInput(UserError):
    """No image, no text, an array that is no radiograph, or another number of films before than of images."""


class ImageTextInference:
    """A model and how images are shown to it. The model's weights must not change in the engine's life: its texts are kept.

    The engine works on a copy whose batch norms are folded into its convolutions: equal but for rounding, and faster.

    Args:
        model: in evaluation mode.
        crop: side of the square that the model sees, in pixels; BioViL 480, BioViL-T 448.
        short_side: to which images are resized before the centre is cropped; 512 as published.
        fit: ``crop`` as published, ``pad`` or ``stretch`` to show the whole image; see ``fit_square``.
        intensity: how stored values become grey levels; see ``read_radiograph``.
        smoothing, interpolation, geometry: of maps; see ``similarity_map``.
        outside: what a map holds where the model did not look: ``nan`` as published, or ``lowest``, the map's least cosine.
        precision: ``bfloat16`` encodes under autocast: faster where the processor has it, cosines differ in the third decimal.
        batch_size: images encoded at once.

    Raises:
        ValueError: if the model is in training mode.
    """

    def __init__(
        self,
        model: ImageTextEncoder,
        crop: int,
        *,
        short_side: int | None = 512,
        fit: Fit = "crop",
        intensity: Intensity = "minmax",
        smoothing: float | None = 1.5,
        interpolation: Interpolation = "bilinear",
        geometry: Geometry = "frame",
        outside: Literal["nan", "lowest"] = "nan",
        precision: Literal["float32", "bfloat16"] = "float32",
        batch_size: int = 16,
    ) -> None:
        self.device = device_of(model)
        self.model = fold_batch_norms(model) if isinstance(model, torch.nn.Module) else model
        self.crop, self.short_side, self.fit, self.intensity = crop, short_side, fit, intensity
        self.smoothing, self.interpolation, self.geometry, self.outside = smoothing, interpolation, geometry, outside
        self.precision, self.batch_size = precision, batch_size
        self._projections: dict[str, Tensor] = {}

    def similarity(self, images: Sequence[Image], texts: Sequence[Text], *, previous: Sequence[Image | None] = ()) -> NDArray[np.float32]:
        """Cosines of M images with N texts or ensembles: (M, N) in [−1, 1].

        For classes that exclude one another, the class is the greatest of a row: one ensemble for each class.

        Args:
            images: files (DICOM, PNG, JPG), or arrays (H, W), uint8 or float32 in [0, 1], bone bright.
            texts: each a text or several of an ensemble.
            previous: the film before of each image, or ``None``; nothing where no image has one.

        Raises:
            UnusableInput: as it says.
            UnreadableRadiograph: naming the file.
            ValueError: if a text is empty, too long, or holds a special token.
        """
        directions = self._directions(texts)
        return (self._wholes(images, previous) @ directions.T).numpy()

    def classify(
        self, images: Sequence[Image], prompts: Mapping[str, Prompts], *, previous: Sequence[Image | None] = ()
    ) -> dict[str, NDArray[np.float32]]:
        """The probability of each finding in M images, finding → (M,): the softmax over the cosines of both ensembles.

        Args:
            images, previous: as for ``similarity``.
            prompts: finding → its ``positive`` and ``negative`` sentences, as in ``configs/benchmark/zero_shot.yaml``.

        Raises:
            UnusableInput, UnreadableRadiograph, ValueError: as ``similarity``; and if a finding lacks either kind of sentence.
        """
        for finding, sides in prompts.items():
            if lacking := [side for side in ("positive", "negative") if not sides.get(side)]:
                raise UnusableInput(f"prompts.{finding} has no {lacking[0]} sentences; give at least one")
        self._project([text for sides in prompts.values() for side in ("positive", "negative") for text in sides[side]])
        wholes = self._wholes(images, previous)
        scores = {finding: prompt_scores(wholes, self._projections, sides) for finding, sides in prompts.items()}
        return {finding: (1 / (1 + np.exp(-score))).astype(np.float32) for finding, score in scores.items()}

    def ground(self, image: Image, phrases: Sequence[Text], *, previous: Image | None = None) -> Map:
        """Where each of N phrases is to be seen in one image: cosines (N, H, W) over the original; see ``outside``.

        Args:
            image: as for ``similarity``.
            phrases: each a text or several of an ensemble.
            previous: the film before.

        Raises:
            UnusableInput, UnreadableRadiograph, ValueError: as ``similarity``.
        """
        directions = self._directions(phrases)
        pixels, frame = self._square(image)
        _, patches = self._embed([pixels], [None if previous is None else self._square(previous)[0]])
        maps = patch_similarity(patches[0], directions, smoothing=self.smoothing)
        whole = map_in_original(maps, frame, interpolation=self.interpolation, geometry=self.geometry)
        if self.outside == "lowest":
            lowest = np.nanmin(whole, axis=(1, 2), keepdims=True)
            return np.where(np.isnan(whole), lowest, whole)
        return whole

    def _wholes(self, images: Sequence[Image], previous: Sequence[Image | None]) -> Tensor:
        """Global embeddings (M, D), images read and encoded a batch at a time."""
        if isinstance(images, (str, Path)) or not len(images):
            raise UnusableInput("give a list of at least one image")
        if previous and len(previous) != len(images):
            raise UnusableInput(f"there are {len(images)} images and {len(previous)} films before; give None for an image without one")
        parts = []
        for start in range(0, len(images), self.batch_size):
            stop = start + self.batch_size
            pixels = [self._square(image)[0] for image in images[start:stop]]
            before = [None if film is None else self._square(film)[0] for film in previous[start:stop]]
            parts.append(self._embed(pixels, before)[0])
        return torch.cat(parts)

    def _embed(self, pixels: Sequence[Tensor], previous: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            whole, patches = embed(self.model, torch.stack(list(pixels)), previous, device=self.device)
        return normalize(whole, dim=1), normalize(patches, dim=1)

    def _square(self, image: Image) -> tuple[Tensor, Frame]:
        """Pixels (1, S, S) and the frame from the original."""
        if isinstance(image, (str, Path)):
            film = read_radiograph(image, self.intensity)
            grey, frame = np.asarray(cv2.convertScaleAbs(film.pixels, alpha=255), np.uint8), film.frame  # rounds half to even
        else:
            grey = _grey(image)
            frame = Frame.identity((grey.shape[0], grey.shape[1]))
        square, shown = fit_square(grey, frame, self.crop, fit=self.fit, short_side=self.short_side)
        return to_tensor(square), shown

    def _directions(self, texts: Sequence[Text]) -> Tensor:
        """(N, D) of unit length."""
        if isinstance(texts, str) or not len(texts) or any(not isinstance(text, str) and not len(text) for text in texts):
            raise UnusableInput("give a list of at least one text; an ensemble is a list of texts within it")
        ensembles = [[text] if isinstance(text, str) else list(text) for text in texts]
        self._project([text for ensemble in ensembles for text in ensemble])
        return torch.stack([ensemble_direction([self._projections[text] for text in ensemble]) for ensemble in ensembles])

    def _project(self, texts: Sequence[str]) -> None:
        """Embed the texts that are not known yet."""
        new = [text for text in dict.fromkeys(texts) if text not in self._projections]
        self._projections |= text_embeddings(self.model, new, unit_length=False)


def _grey(image: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.uint8]:
    """An array as grey levels 0 … 255."""
    if image.ndim != 2 or not image.size:
        raise UnusableInput(f"an image is an array (H, W), got {image.shape}")
    if image.dtype == np.uint8:
        return np.asarray(image, np.uint8)
    if image.dtype not in (np.float32, np.float64) or not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
        raise UnusableInput(f"an image is uint8, or float in [0, 1] without NaN; got {image.dtype}. Divide stored values by their maximum")
    return (image * 255).round().astype(np.uint8)
