"""Segmentation from a frozen encoder: a decoder learns masks from patch tokens, and Dice judges it on the test studies.

The decoder is linear or in the manner of UPerNet; each structure is a mask of its own, learned with cross-entropy plus 1 − soft Dice. It
may begin as the mean mask (``place_prior``), for encoders whose tokens say only roughly where in the frame they lie.

Beside the encoder stand the same decoder on another encoder (untrained) and the mean mask: the share of training masks at each pixel,
cut at the threshold that does best on the training studies. Whatever does not beat the mean mask has learned where a lung usually is.

RAD-DINO (Pérez-García et al. 2025) reports Dice with linear, ViTDet and UPerNet decoders; its training settings are not public: ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, binary_cross_entropy_with_logits

from medvl.benchmarks.embedding import RadiographSource, device_of, image_batches
from medvl.benchmarks.features import Encoding, ImageEncoder
from medvl.benchmarks.findings_task import NothingToProbe, Splits, identifiers
from medvl.benchmarks.results import Evaluation, Roles, per_finding_and_macro
from medvl.metrics.bootstrap import mean_of, resample
from medvl.metrics.segmentation import dice
from medvl.models.segmentation_decoders import DecoderName, LinearDecoder, PlacePrior, PyramidDecoder
from medvl.records import Study
from medvl.runtime.privacy import strictest

Decoder = LinearDecoder | PyramidDecoder | PlacePrior
Masks = Mapping[str, NDArray[np.bool_]]
MaskReader = Callable[[Iterable[Study]], Iterator[tuple[str, Masks]]]
"""Studies → (view id, structure → mask (H, W) of the original), for those that have masks."""

THRESHOLDS = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True)
class SegmentationProbe:
    """The protocol; ``evaluate`` runs it.

    Attributes:
        masks: the reader of the dataset's masks.
        structures: what to segment → the masks whose union it is.
        encoding: how images become the encoder's input.
        decoder: ``linear`` reads the last block, ``upernet`` four evenly spaced ones.
        channels: of every level of ``upernet``.
        place_prior: whether the decoder adds to its logits a map of places that begins as the mean training mask and is learned on.
        keep_tokens: encode each training image once and keep its tokens beside the encoder, images · h · w · D · blocks · 4 bytes,
            instead of encoding it whenever it is drawn.
        steps, learning_rate, weight_decay: of AdamW; the learning rate is decayed by a cosine to 0.
        train_images: at most so many training studies, drawn by the seed.
        replicates, seed: of the bootstrap over patients; the seed also draws the decoder's weights and its order.
    """

    masks: MaskReader
    structures: Mapping[str, Sequence[str]]
    encoding: Encoding
    decoder: DecoderName = "linear"
    channels: int = 64
    place_prior: bool = False
    keep_tokens: bool = False
    steps: int = 1000
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    train_images: int = 5000
    replicates: int = 1000
    seed: int = 0
    name: Literal["segmentation"] = field(default="segmentation", init=False)

    def evaluate(
        self, encoder: ImageEncoder, images: RadiographSource, splits: Splits, *, untrained: ImageEncoder | None = None
    ) -> Evaluation:
        """Probe an encoder, and another beside it.

        Args:
            encoder: a vision transformer in evaluation mode, as is ``untrained``.
            images: the prepared images.
            splits: training and test studies; those without masks or image are left out.
            untrained: the same architecture before training, or any encoder to compare with.

        Raises:
            NothingToProbe: if no training or no test study has masks and an image.
        """
        train, test = self._read(images, self._drawn(splits.train), "training"), self._read(images, splits.test, "test")
        encoders = {"trained": encoder} | ({"untrained": untrained} if untrained is not None else {})
        overlaps = {role: self._overlaps(candidate, train, test) for role, candidate in encoders.items()}
        mean_mask = _mean_mask_dice(train.masks, test.masks)
        patients = np.asarray([study.patient_id for study in test.studies], dtype=str)
        weights = resample(patients, replicates=self.replicates, seed=self.seed)
        figures, macro = self._figures(overlaps, weights)
        beside, beside_macro = self._figures({"trained": overlaps["trained"], "untrained": mean_mask}, weights)
        prefix = f"segmentation_{self.decoder}_dice"
        return Evaluation(
            benchmark=f"segmentation_{self.decoder}",
            metrics={prefix: macro, f"{prefix}_beside_mean_mask": _renamed(beside_macro)},
            per_finding={prefix: figures, f"{prefix}_beside_mean_mask": {name: _renamed(entry) for name, entry in beside.items()}},
            protocol=self._protocol(len(train.studies), len(test.studies)),
            tables={f"{prefix}": self._table({**overlaps, "mean_mask": mean_mask}, test)},
            privacy=strictest(study.privacy for study in test.studies),
        )

    def _drawn(self, studies: Sequence[Study]) -> list[Study]:
        order = np.random.default_rng(self.seed).permutation(len(studies))[: self.train_images]
        return [studies[i] for i in sorted(order)]

    def _read(self, images: RadiographSource, studies: Sequence[Study], part: str) -> _Part:
        """The pixels and masks of the studies that have both, in the frame of the crop."""
        by_view = {view.view_id: study for study in studies if (view := study.frontal()) is not None}
        found = {view_id: masks for view_id, masks in self.masks(by_view.values()) if view_id in by_view}
        encoding = self.encoding
        options = (encoding.crop, encoding.short_side, encoding.fit, encoding.batch_size)
        ids: list[str] = []
        pixels: list[Tensor] = []
        truth: list[NDArray[np.bool_]] = []
        for batch_ids, batch, frames in image_batches(images, [v for v in by_view if v in found], *options):
            ids += batch_ids
            pixels.append((batch * 255).round().byte())
            truth += [self._stack(found[view_id], frame.mask_to_target) for view_id, frame in zip(batch_ids, frames, strict=True)]
        if not ids:
            raise NothingToProbe(f"no {part} study has both masks ({', '.join(self.structures)}) and a prepared frontal image")
        return _Part([by_view[view_id] for view_id in ids], torch.cat(pixels), np.stack(truth))

    def _stack(self, masks: Masks, to_crop: Callable[[NDArray[np.bool_]], NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """(structures, crop, crop)."""
        return np.stack([to_crop(np.logical_or.reduce([masks[part] for part in parts])) for parts in self.structures.values()])

    def _overlaps(self, encoder: ImageEncoder, train: _Part, test: _Part) -> NDArray[np.float64]:
        """Dice (N, structures) of the test studies after the decoder has learned."""
        decoder = self._learn(encoder, train)
        rows = []
        with torch.inference_mode():
            for start in range(0, len(test.studies), self.encoding.batch_size):
                part = slice(start, start + self.encoding.batch_size)
                logits = decoder(self._maps(encoder, test.pixels[part], decoder.blocks), self.encoding.crop)
                rows.append(_dice_by_structure((logits > 0).cpu().numpy(), test.masks[part]))
        return np.concatenate(rows)

    def _learn(self, encoder: ImageEncoder, train: _Part) -> Decoder:
        device = device_of(encoder)
        decoder = self._decoder(self._maps(encoder, train.pixels[:1], 1)[0].shape[1:], train.masks).to(device).train()
        maps = self._reader(encoder, train.pixels, decoder.blocks)
        optimizer = torch.optim.AdamW(decoder.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        draw = np.random.default_rng(self.seed)
        for _ in range(self.steps):
            rows = draw.integers(0, len(train.studies), self.encoding.batch_size)
            truth = torch.from_numpy(train.masks[rows]).to(device, torch.float32)
            loss = _loss(decoder(maps(rows), self.encoding.crop), truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return decoder.eval()

    def _decoder(self, tokens: Sequence[int], masks: NDArray[np.bool_]) -> Decoder:
        """For token maps of shape (D, h, w), before it learns; masks (N, structures, crop, crop)."""
        width, height, breadth = tokens
        structures = len(self.structures)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            decoder = LinearDecoder(width, structures) if self.decoder == "linear" else PyramidDecoder(width, structures, self.channels)
        if not self.place_prior:
            return decoder
        mean_mask = torch.from_numpy(masks.mean(axis=0, dtype=np.float32))
        return PlacePrior(decoder, adaptive_avg_pool2d(mean_mask, (height, breadth)))

    def _reader(self, encoder: ImageEncoder, pixels: Tensor, blocks: int) -> Callable[[NDArray[np.int64]], list[Tensor]]:
        """Rows of ``pixels`` → their token maps."""
        if not self.keep_tokens:
            return lambda rows: self._maps(encoder, pixels[rows], blocks)
        parts = [self._maps(encoder, batch, blocks) for batch in pixels.split(self.encoding.batch_size)]
        kept = [torch.cat(maps) for maps in zip(*parts, strict=True)]
        return lambda rows: [maps[rows] for maps in kept]

    def _maps(self, encoder: ImageEncoder, pixels: Tensor, blocks: int) -> list[Tensor]:
        """Token maps (B, D, h, w): of the last block, or of four evenly spaced ones."""
        depth = len(encoder.blocks) if isinstance(encoder, nn.Module) and isinstance(encoder.blocks, nn.ModuleList) else 1
        layers = (-1,) if blocks == 1 else tuple(depth * (i + 1) // blocks - 1 for i in range(blocks))
        with torch.no_grad():
            encoded = encoder.encode(encoder.standardize(pixels.to(device_of(encoder)).float() / 255), layers=layers, norm=True)
        height, width = encoded.grid
        return [tokens.transpose(1, 2).unflatten(2, (height, width)) for tokens in encoded.patches]

    def _figures(
        self, overlaps: Mapping[str, NDArray[np.float64]], weights: NDArray[np.uint16]
    ) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
        statistics: dict[str, Roles] = {}
        members = {}
        for i, structure in enumerate(self.structures):
            members[structure] = ~np.isnan(overlaps["trained"][:, i])
            statistics[structure] = {role: mean_of(values[:, i]) for role, values in overlaps.items()}
        return per_finding_and_macro(statistics, members, weights)

    def _protocol(self, train: int, test: int) -> dict[str, Any]:
        plain = ("decoder", "channels", "place_prior", "steps", "learning_rate", "weight_decay", "train_images", "replicates", "seed")
        return {
            **{name: getattr(self, name) for name in plain},
            "encoding": self.encoding.described(),
            "structures": {name: list(parts) for name, parts in self.structures.items()},
            "studies": {"train": train, "test": test},
        }

    def _table(self, overlaps: Mapping[str, NDArray[np.float64]], test: _Part) -> pd.DataFrame:
        who = identifiers(test.studies)
        parts = [
            who.assign(structure=structure, dice=values[:, i], model=role)
            for role, values in overlaps.items()
            for i, structure in enumerate(self.structures)
        ]
        return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class _Part:
    """N studies, their pixels (N, 1, crop, crop) uint8 and masks (N, structures, crop, crop)."""

    studies: list[Study]
    pixels: Tensor
    masks: NDArray[np.bool_]


def _loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy plus 1 − soft Dice over the batch, per structure."""
    probability = logits.sigmoid()
    shared = (probability * truth).sum(dim=(0, 2, 3))
    soft_dice = (2 * shared + 1) / (probability.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3)) + 1)
    return binary_cross_entropy_with_logits(logits, truth) + (1 - soft_dice).mean()


def _dice_by_structure(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N, structures) from masks (N, structures, h, w)."""
    return np.stack([dice(predicted[:, i], truth[:, i]) for i in range(truth.shape[1])], axis=1)


def _mean_mask_dice(train: NDArray[np.bool_], test: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Dice (N, structures) of the mean training mask, each structure cut at its best threshold on the training masks."""
    columns = []
    for i in range(train.shape[1]):
        share = train[:, i].mean(axis=0)
        quality = [np.nanmean(dice(np.broadcast_to(share > t, train[:, i].shape), train[:, i])) for t in THRESHOLDS]
        best = share > THRESHOLDS[int(np.argmax(quality))]
        columns.append(dice(np.broadcast_to(best, test[:, i].shape), test[:, i]))
    return np.stack(columns, axis=1)


def _renamed(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A figure whose comparison is the mean mask, not an untrained model."""
    return {("mean_mask" if name == "untrained" else name): value for name, value in entry.items()}
