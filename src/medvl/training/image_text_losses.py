"""The loss of BioViL and BioViL-T as a weighted sum, over the whole batch of all processes.

    loss = global · InfoNCE(average patch, report) + local · alignment(patches, phrases or words) + sections · RSM + masked · MLM

The terms and their sources stand in ``objectives/``. Weights of 0 leave a term out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medvl.objectives.contrastive import info_nce
from medvl.objectives.local_alignment import local_alignment_loss
from medvl.objectives.phrase_to_patch import report_to_patch_similarity
from medvl.objectives.section_matching import section_matching_loss
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
        masked_weight: of masked language modelling.
    """

    global_weight: float = 1.0
    local_weight: float = 0.0
    parts: Parts = "words"
    sharpness: float = 8.0
    section_weight: float = 0.0
    section_temperature: float = 0.5
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
            rows = embedded.both > 0
            terms["section_loss"] = (
                section_matching_loss(embedded.findings[rows], embedded.impressions[rows], temperature=self.section_temperature)
                if rows.any()
                else embedded.findings.sum() * 0
            )
            loss = loss + self.section_weight * terms["section_loss"]
        if self.masked_weight > 0:
            terms["masked_loss"] = embedded.token_loss.sum() / embedded.masked.sum().clamp(min=1)
            loss = loss + self.masked_weight * terms["masked_loss"]
        return {"loss": loss, **terms, "recall_at_5": recall(similarity.detach(), 5)}

    def _local(self, embedded: Embedded, texts: Sequence[str], temperature: Tensor) -> Tensor:
        if self.parts == "words":
            return local_alignment_loss(embedded.patches, embedded.parts, embedded.present)
        similarity = report_to_patch_similarity(embedded.patches, embedded.parts, embedded.present, sharpness=self.sharpness)
        return info_nce(similarity, temperature=temperature, texts=texts)


def recall(similarity: Tensor, k: int) -> Tensor:
    """Share of images whose own report is among the k nearest of the batch."""
    own = similarity.diagonal()[:, None]
    return ((similarity > own).sum(dim=1) < k).to(torch.float32).mean()
