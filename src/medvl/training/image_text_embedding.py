"""One pass of an image-text model over a batch: everything that the losses need, as tensors with one row a study.

Rows do not depend on each other (normalisation in training mode aside), so that a batch may be embedded in parts and gathered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from medvl.data.samples import MATCHED_SECTIONS
from medvl.data.transforms import generator
from medvl.models.image_guided_mlm import ImageGuidedPredictor
from medvl.models.image_text import ImageEmbeddings, ImageTextModel
from medvl.objectives.masked_language import IGNORED, WordPieces, mask_words, word_pieces

Batch = dict[str, Any]
Parts = Literal["none", "phrases", "words"]
TOGETHER = 64  # texts


class Embedded(NamedTuple):
    """B studies embedded; what a configuration does not ask for has no elements beyond its first dimension.

    Attributes:
        images, texts: (B, D), unit length.
        patches: (B, D, h, w), unit length over D.
        parts: (B, K, D), phrases or words of each text, unit length, zeros where there are fewer.
        present: (B, K), 1 where there is a part.
        findings, impressions: (B, D), unit length.
        findings_id, impressions_id: (B,), int64, equal where the sections' texts are.
        both: (B,), 1 where a report has both sections.
        exchanged, exchanged_patches: as images and patches, with the two films of a study exchanged; zeros without a film before.
        has_previous: (B,), 1 where there is a film before.
        token_loss, masked: (B,), summed cross-entropy of the masked tokens, and their number.
    """

    images: Tensor
    texts: Tensor
    patches: Tensor
    parts: Tensor
    present: Tensor
    findings: Tensor
    impressions: Tensor
    findings_id: Tensor
    impressions_id: Tensor
    both: Tensor
    exchanged: Tensor
    exchanged_patches: Tensor
    has_previous: Tensor
    token_loss: Tensor
    masked: Tensor


class TextVectors(NamedTuple):
    """Texts embedded, each once; an empty text is [CLS] [SEP].

    Attributes:
        row: of each text in the table.
        table: (N, D), unit length.
    """

    row: dict[str, int]
    table: Tensor

    def of(self, texts: Sequence[str]) -> Tensor:
        """One row a text."""
        return self.table[torch.tensor([self.row[text] for text in texts], device=self.table.device)]

    def padded(self, texts: Sequence[Sequence[str]], width: int) -> tuple[Tensor, Tensor]:
        """``width`` rows for each sequence of texts (B, K, D), zeros where it has fewer, and which there are (B, K)."""
        none = len(self.table)
        rows = [[*(self.row[text] for text in given), *[none] * (width - len(given))] for given in texts]
        index = torch.tensor(rows, dtype=torch.int64, device=self.table.device)
        return nn.functional.pad(self.table, (0, 0, 0, 1))[index], (index < none).to(self.table)


class ImageTextEmbedding(nn.Module):
    """Embeds batches with a model and, for masked language modelling, a predictor that sees the image.

    Args:
        model: with its tokenizer.
        parts: of a text that meet patches: its phrases (this house's), its words (GLoRIA's), or none.
        parts_per_report: at most so many; phrases are drawn anew each epoch, words are the first.
        sections: whether findings and impression are embedded apart.
        exchanged: whether films are embedded exchanged as well.
        mask_share: of the words of a text, chosen for masked language modelling; 0 for none.
        predictor: lets hidden words attend to patches; without it the words stand alone.
        seed: of the draws.
    """

    def __init__(
        self,
        model: ImageTextModel,
        *,
        parts: Parts,
        parts_per_report: int,
        sections: bool,
        exchanged: bool,
        mask_share: float,
        predictor: ImageGuidedPredictor | None,
        seed: int,
    ) -> None:
        super().__init__()
        self.model, self.predictor = model, predictor
        self.parts, self.parts_per_report, self.sections, self.exchanged = parts, parts_per_report, sections, exchanged
        self.phrases_per_report = parts_per_report if parts == "phrases" else 0
        self.mask_share, self.seed = mask_share, seed
        self._pieces: WordPieces | None = None

    def forward(self, batch: Batch) -> Embedded:
        """Embed a batch of ``ImageTextSamples`` or ``ImagePairSamples``."""
        images, exchanged = self._images(batch)
        whole, phrases, sections = self._texts(batch)
        vectors = self._embed([*whole, *chain(*phrases), *chain(*sections)])
        if self.parts == "words":
            texts, parts, present = self._words(batch)
        else:
            texts, (parts, present) = vectors.of(whole), vectors.padded(phrases, self.phrases_per_report)
        none = texts.new_zeros(len(texts), 0)
        findings, impressions, *section_ids, both = _matched(sections, vectors) if self.sections else (none,) * 5
        patches = images.projected_patch_embeddings
        token_loss, masked = self._masked(batch, patches) if self.mask_share > 0 else (none, none)
        met = self.parts != "none"
        return Embedded(
            images=images.projected_global_embedding,
            texts=texts,
            patches=patches if met else none,
            parts=parts,
            present=present,
            findings=findings,
            impressions=impressions,
            findings_id=section_ids[0],
            impressions_id=section_ids[1],
            both=both,
            exchanged=none if exchanged is None else exchanged.projected_global_embedding,
            exchanged_patches=exchanged.projected_patch_embeddings if exchanged is not None and met else none,
            has_previous=none if exchanged is None else batch["has_previous"].to(texts.dtype),
            token_loss=token_loss,
            masked=masked,
        )

    def _images(self, batch: Batch) -> tuple[ImageEmbeddings, ImageEmbeddings | None]:
        """The studies' images, and the same with their films exchanged where that is asked for."""
        if self.exchanged:
            return self.model.embed_both_orders(batch["image"], batch["previous_image"], batch["has_previous"])
        return self.model.embed_images(batch["image"], batch.get("previous_image"), batch.get("has_previous")), None

    def _words(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The texts (B, D), their first word pieces without [CLS] and [SEP] (B, K, D), and which there are (B, K)."""
        text, k = self.model.text, self.parts_per_report
        ids, mask = text.tokenize(batch["text"])
        hidden = text(ids, mask)
        texts = normalize(text.project(text.pool(hidden, mask)).float(), dim=1)
        words = normalize(text.project(hidden[:, 1 : k + 1]).float(), dim=2)
        lengths = mask.sum(dim=1, keepdim=True) - 2  # (B, 1)
        present = (torch.arange(words.shape[1], device=mask.device) < lengths).to(words.dtype)
        missing = k - words.shape[1]
        return texts, nn.functional.pad(words * present[..., None], (0, 0, 0, missing)), nn.functional.pad(present, (0, missing))

    def _texts(self, batch: Batch) -> tuple[Sequence[str], list[list[str]], list[list[str]]]:
        """The texts that are embedded whole: reports, drawn phrases of each, and both sections; empty where they are not asked for."""
        whole = batch["text"] if self.parts != "words" else []
        k = self.phrases_per_report
        phrases = [draw_phrases(batch, row, k, self.seed) if k else [] for row in range(len(batch["text"]))]
        names = MATCHED_SECTIONS if self.sections else ()
        return whole, phrases, [[sections.get(name, "") for sections in batch["sections"]] for name in names]

    def _masked(self, batch: Batch, patches: Tensor) -> tuple[Tensor, Tensor]:
        text = self.model.text
        ids, mask = text.tokenize(batch["text"])
        assert text.tokenizer is not None
        draws = [generator(self.seed, batch["epoch"], f"{sample_id}/words") for sample_id in batch["sample_id"]]
        if self._pieces is None:  # a pass over the vocabulary, once
            self._pieces = word_pieces(text.tokenizer)
        masked = mask_words(ids.cpu(), self._pieces, draws, share=self.mask_share)
        shown, chosen = masked.token_ids.to(ids.device), (masked.targets != IGNORED).to(ids.device)  # (B, T), (B, T)
        hidden = text(shown, mask)
        if self.predictor is not None:
            hidden = self.predictor(hidden, patches)
        loss = nn.functional.cross_entropy(text.predict_tokens(hidden[chosen]).float(), ids[chosen], reduction="none")
        rows = chosen.nonzero()[:, 0]
        return loss.new_zeros(len(ids)).index_add(0, rows, loss), chosen.sum(dim=1).to(loss)

    def _embed(self, texts: Sequence[str]) -> TextVectors:
        """Each distinct text once; texts of about a length go through the network together, for padding costs."""
        text, distinct = self.model.text, list(dict.fromkeys(texts))
        if not distinct:
            return TextVectors({}, torch.zeros(0, text.config["projection_size"]))
        ids, mask = text.tokenize(distinct)
        order = mask.sum(dim=1).argsort()
        rows = []
        for part in order.split(TOGETHER):
            longest = int(mask[part[-1]].sum())
            ids_part, mask_part = ids[part, :longest], mask[part, :longest]
            rows.append(text.project(text.pool(text(ids_part, mask_part), mask_part)).float())
        vectors = normalize(torch.cat(rows)[order.argsort()], dim=1)
        return TextVectors({name: row for row, name in enumerate(distinct)}, vectors)


def draw_phrases(batch: Batch, row: int, most: int, seed: int) -> list[str]:
    """Phrases of one report, drawn by (seed, epoch, sample id), at most ``most`` in order; the text where there is none."""
    phrases = batch["phrases"][row] or [batch["text"][row]]
    keys = [f"{seed}/{batch['epoch']}/{batch['sample_id'][row]}/{i}".encode() for i in range(len(phrases))]
    drawn = sorted(range(len(phrases)), key=lambda i: hashlib.sha256(keys[i]).digest())[:most]
    return [phrases[i] for i in sorted(drawn)]


def _matched(sections: Sequence[Sequence[str]], vectors: TextVectors) -> tuple[Tensor, ...]:
    """Both sections (B, D), what tells their texts apart (B,), and whether there are both (B,)."""
    found = [vectors.of(column) for column in sections]
    ids = [torch.tensor([_text_id(text) for text in column], device=vectors.table.device) for column in sections]
    both = torch.tensor([bool(f and i) for f, i in zip(*sections, strict=True)])
    return *found, *ids, both.to(vectors.table)


def _text_id(text: str) -> int:
    """63 bits of a text's hash, the same in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
