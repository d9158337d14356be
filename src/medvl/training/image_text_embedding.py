"""One pass of an image-text model over a batch: everything that the losses need, as tensors with one row a study.

Rows do not depend on each other (normalisation in training mode aside), so that a batch may be embedded in parts and gathered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
TOGETHER = 32  # texts


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
        self.mask_share, self.seed = mask_share, seed
        self._pieces: WordPieces | None = None

    def forward(self, batch: Batch) -> Embedded:
        """Embed a batch of ``ImageTextSamples`` or ``ImagePairSamples``."""
        images, exchanged = self._images(batch)
        texts, parts, present = self._words(batch) if self.parts == "words" else self._phrases(batch)
        none = texts.new_zeros(len(texts), 0)
        findings, impressions, *section_ids, both = self._sections(batch) if self.sections else (none,) * 5
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

    def _phrases(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The texts (B, D), drawn phrases of each (B, K, D), and which there are (B, K); none of them without parts."""
        texts = self._embed(batch["text"])
        if self.parts == "none":
            return texts, texts.new_zeros(len(texts), 0), texts.new_zeros(len(texts), 0)
        reports = [draw_phrases(batch, row, self.parts_per_report, self.seed) for row in range(len(batch["text"]))]
        distinct = {phrase: i for i, phrase in enumerate(dict.fromkeys(p for phrases in reports for p in phrases))}
        vectors = self._embed(list(distinct))  # (P, D)
        vectors = torch.cat([vectors, vectors.new_zeros(1, vectors.shape[1])])  # the last stands for none
        k = self.parts_per_report
        index = torch.tensor([[*(distinct[p] for p in phrases), *[len(distinct)] * (k - len(phrases))] for phrases in reports])
        return texts, vectors[index.to(vectors.device)], (index < len(distinct)).to(vectors)

    def _sections(self, batch: Batch) -> tuple[Tensor, ...]:
        """Both sections (B, D), what tells their texts apart (B,), and whether there are both (B,)."""
        texts = [[sections.get(name, "") for sections in batch["sections"]] for name in MATCHED_SECTIONS]
        vectors = [self._embed(column) for column in texts]
        ids = [torch.tensor([_text_id(text) for text in column], device=vectors[0].device) for column in texts]
        both = torch.tensor([bool(f and i) for f, i in zip(*texts, strict=True)])
        return *vectors, *ids, both.to(vectors[0])

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

    def _embed(self, texts: Sequence[str]) -> Tensor:
        """(N, D), unit length; an empty text is [CLS] [SEP]. Texts of about a length go through the network together, for padding costs."""
        text = self.model.text
        ids, mask = text.tokenize(texts)
        order = mask.sum(dim=1).argsort()
        rows = []
        for part in order.split(TOGETHER):
            longest = int(mask[part[-1]].sum())
            ids_part, mask_part = ids[part, :longest], mask[part, :longest]
            rows.append(text.project(text.pool(text(ids_part, mask_part), mask_part)).float())
        return normalize(torch.cat(rows)[order.argsort()], dim=1)


def draw_phrases(batch: Batch, row: int, most: int, seed: int) -> list[str]:
    """Phrases of one report, drawn by (seed, epoch, sample id), at most ``most`` in order; the text where there is none."""
    phrases = batch["phrases"][row] or [batch["text"][row]]
    keys = [f"{seed}/{batch['epoch']}/{batch['sample_id'][row]}/{i}".encode() for i in range(len(phrases))]
    drawn = sorted(range(len(phrases)), key=lambda i: hashlib.sha256(keys[i]).digest())[:most]
    return [phrases[i] for i in sorted(drawn)]


def _text_id(text: str) -> int:
    """63 bits of a text's hash, the same in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
