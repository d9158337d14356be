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
from medvl.models.image_text import ImageTextModel
from medvl.objectives.masked_language import IGNORED, WordPieces, mask_words, word_pieces

Batch = dict[str, Any]
Parts = Literal["none", "phrases", "words"]


class Embedded(NamedTuple):
    """B studies embedded; what a configuration does not ask for has no elements beyond its first dimension.

    Attributes:
        images, texts: (B, D), unit length.
        patches: (B, D, h, w), unit length over D.
        parts: (B, K, D), phrases or words of each text, unit length, zeros where there are fewer.
        present: (B, K), 1 where there is a part.
        findings, impressions: (B, D), unit length.
        both: (B,), 1 where a report has both sections.
        token_loss, masked: (B,), summed cross-entropy of the masked tokens, and their number.
    """

    images: Tensor
    texts: Tensor
    patches: Tensor
    parts: Tensor
    present: Tensor
    findings: Tensor
    impressions: Tensor
    both: Tensor
    token_loss: Tensor
    masked: Tensor


class ImageTextEmbedding(nn.Module):
    """Embeds batches with a model and, for masked language modelling, a predictor that sees the image.

    Args:
        model: with its tokenizer.
        parts: of a text that meet patches: its phrases (this house's), its words (GLoRIA's), or none.
        parts_per_report: at most so many; phrases are drawn anew each epoch, words are the first.
        sections: whether findings and impression are embedded apart.
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
        mask_share: float,
        predictor: ImageGuidedPredictor | None,
        seed: int,
    ) -> None:
        super().__init__()
        self.model, self.predictor = model, predictor
        self.parts, self.parts_per_report, self.sections = parts, parts_per_report, sections
        self.mask_share, self.seed = mask_share, seed
        self._pieces: WordPieces | None = None

    def forward(self, batch: Batch) -> Embedded:
        """Embed a batch of ``ImageTextSamples`` or ``ImagePairSamples``."""
        model, text = self.model, self.model.text
        images = model.embed_images(batch["image"], batch.get("previous_image"), batch.get("has_previous"))
        ids, mask = text.tokenize(batch["text"])
        hidden = text(ids, mask)
        texts = normalize(text.project(text.pool(hidden, mask)).float(), dim=1)
        none = texts.new_zeros(len(texts), 0)
        parts, present = self._words(hidden, mask) if self.parts == "words" else self._phrases(batch, none)
        findings, impressions, both = self._sections(batch) if self.sections else (none, none, none)
        patches = images.projected_patch_embeddings
        token_loss, masked = self._masked(batch, ids, mask, patches) if self.mask_share > 0 else (none, none)
        met = patches if self.parts != "none" else none
        return Embedded(images.projected_global_embedding, texts, met, parts, present, findings, impressions, both, token_loss, masked)

    def _words(self, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The first word pieces without [CLS] and [SEP]: (B, K, D) and (B, K)."""
        k = self.parts_per_report
        lengths = mask.sum(dim=1, keepdim=True) - 2  # (B, 1)
        words = normalize(self.model.text.project(hidden[:, 1 : k + 1]).float(), dim=2)
        present = (torch.arange(words.shape[1], device=mask.device) < lengths).to(words.dtype)
        missing = k - words.shape[1]
        return nn.functional.pad(words * present[..., None], (0, 0, 0, missing)), nn.functional.pad(present, (0, missing))

    def _phrases(self, batch: Batch, none: Tensor) -> tuple[Tensor, Tensor]:
        """Drawn phrases, each distinct one embedded once: (B, K, D) and (B, K)."""
        if self.parts == "none":
            return none, none
        reports = [draw_phrases(batch, row, self.parts_per_report, self.seed) for row in range(len(batch["text"]))]
        distinct = {phrase: i for i, phrase in enumerate(dict.fromkeys(p for phrases in reports for p in phrases))}
        vectors = self._embed(list(distinct))  # (P, D)
        vectors = torch.cat([vectors, vectors.new_zeros(1, vectors.shape[1])])  # the last stands for none
        k = self.parts_per_report
        index = torch.tensor([[*(distinct[p] for p in phrases), *[len(distinct)] * (k - len(phrases))] for phrases in reports])
        return vectors[index.to(vectors.device)], (index < len(distinct)).to(vectors)

    def _sections(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        texts = [[sections.get(name, "") for sections in batch["sections"]] for name in MATCHED_SECTIONS]
        both = torch.tensor([bool(f and i) for f, i in zip(*texts, strict=True)])
        findings, impressions = (self._embed(column) for column in texts)
        return findings, impressions, both.to(findings)

    def _masked(self, batch: Batch, ids: Tensor, mask: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        text = self.model.text
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
        """(N, D), unit length; an empty text is [CLS] [SEP]."""
        text = self.model.text
        ids, mask = text.tokenize(texts)
        return normalize(text.project(text.pool(text(ids, mask), mask)).float(), dim=1)


def draw_phrases(batch: Batch, row: int, most: int, seed: int) -> list[str]:
    """Phrases of one report, drawn by (seed, epoch, sample id), at most ``most`` in order; the text where there is none."""
    phrases = batch["phrases"][row] or [batch["text"][row]]
    keys = [f"{seed}/{batch['epoch']}/{batch['sample_id'][row]}/{i}".encode() for i in range(len(phrases))]
    drawn = sorted(range(len(phrases)), key=lambda i: hashlib.sha256(keys[i]).digest())[:most]
    return [phrases[i] for i in sorted(drawn)]
