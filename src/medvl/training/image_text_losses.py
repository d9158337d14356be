"""The loss of BioViL and BioViL-T as a weighted sum, over the whole batch of all processes.

    loss = global · InfoNCE(average patch, report) + local · alignment(patches, phrases or words) + sections · RSM
         + order · film order + masked · MLM

The terms and their sources stand in ``objectives/``. Weights of 0 leave a term out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medvl.objectives.contrastive import info_nce
from medvl.objectives.film_order import film_order_loss
from medvl.objectives.local_alignment import local_alignment_loss
from medvl.objectives.phrase_to_patch import own_report_to_patch_similarity, report_to_patch_similarity
from medvl.objectives.section_matching import matching_sections, section_matching_loss
from medvl.training.image_text_embedding import Embedded, Parts


@dataclass(frozen=True, slots=True)
class ImageTextLosses:
    """The terms' weights and temperatures.

    Attributes:
        global_weight: of the average patch against the report.
        local_weight: of patches against parts of the report.
        parts: which parts: ``phrases`` (this house's, attention pooled, at the model's temperature) or ``words`` (GLoRIA's loss).
        sharpness: of a phrase's attention over patches.
        section_weight: of findings against impression.
        section_temperature: of that term.
        order_weight: of reports against their own films exchanged, for a multi-image model; by phrases as well, where these meet patches.
        masked_weight: of masked language modelling.
    """

    global_weight: float = 1.0
    local_weight: float = 0.0
    parts: Parts = "words"
    sharpness: float = 8.0
    section_weight: float = 0.0
    section_temperature: float = 0.5
    order_weight: float = 0.0
    masked_weight: float = 0.0

    @property
    def parts_wanted(self) -> Parts:
        """The parts to embed; none where they have no weight."""
        return self.parts if self.local_weight > 0 else "none"

    def __call__(self, embedded: Embedded, texts: Sequence[str], temperature: Tensor) -> dict[str, Tensor]:
        """The terms and their sum, ``loss``.

        Args:
            embedded: B studies, of all processes.
            texts: theirs; equal ones are each other's positives.
            temperature: of the model.
        """
        similarity = embedded.images @ embedded.texts.T
        terms = {"report_loss": info_nce(similarity, temperature=temperature, texts=texts)}
        loss = self.global_weight * terms["report_loss"]
        if self.local_weight > 0:
            terms["local_loss"] = self._local(embedded, texts, temperature)
            loss = loss + self.local_weight * terms["local_loss"]
        if self.section_weight > 0:
            terms["section_loss"] = self._sections(embedded)
            loss = loss + self.section_weight * terms["section_loss"]
        if self.order_weight > 0:
            terms["order_loss"] = self._order(embedded, temperature)
            loss = loss + self.order_weight * terms["order_loss"]
        if self.masked_weight > 0:
            terms["masked_loss"] = embedded.token_loss.sum() / embedded.masked.sum().clamp(min=1)
            loss = loss + self.masked_weight * terms["masked_loss"]
        return {"loss": loss, **terms, "recall_at_5": recall(similarity.detach(), 5)}

    def _sections(self, embedded: Embedded) -> Tensor:
        rows = embedded.both > 0
        if not rows.any():
            return embedded.findings.sum() * 0
        matches = matching_sections(embedded.findings_id[rows].tolist(), embedded.impressions_id[rows].tolist())
        findings, impressions = embedded.findings[rows], embedded.impressions[rows]
        return section_matching_loss(findings, impressions, temperature=self.section_temperature, matches=matches.to(findings.device))

    def _order(self, embedded: Embedded, temperature: Tensor) -> Tensor:
        orders = (embedded.images, embedded.patches), (embedded.exchanged, embedded.exchanged_patches)
        similarities = [[(images * embedded.texts).sum(dim=1)] for images, _ in orders]
        if self.local_weight > 0 and self.parts == "phrases":
            for similarity, (_, patches) in zip(similarities, orders, strict=True):
                similarity.append(own_report_to_patch_similarity(patches, embedded.parts, embedded.present, sharpness=self.sharpness))
        losses = [
            film_order_loss(own, other, embedded.has_previous, temperature=temperature) for own, other in zip(*similarities, strict=True)
        ]
        return torch.stack(losses).sum()

    def _local(self, embedded: Embedded, texts: Sequence[str], temperature: Tensor) -> Tensor:
        if self.parts == "words":
            return local_alignment_loss(embedded.patches, embedded.parts, embedded.present)
        similarity = report_to_patch_similarity(embedded.patches, embedded.parts, embedded.present, sharpness=self.sharpness)
        return info_nce(similarity, temperature=temperature, texts=texts)


def recall(similarity: Tensor, k: int) -> Tensor:
    """Share of images whose own report is among the k nearest of the batch."""
    own = similarity.diagonal()[:, None]
    return ((similarity > own).sum(dim=1) < k).to(torch.float32).mean()
