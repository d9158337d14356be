"""Phrase-to-patch similarity: a phrase against the patches it attends to (after GLoRIA, Huang et al. 2021, at the phrase's grain).

For a phrase y and unit patches p_n of one image, with sharpness κ

    a_n = softmax_n(κ · y · p_n)        z = Σ_n a_n p_n        similarity = y · z / ‖z‖

A report's similarity with an image is the mean over its phrases; over a batch this gives a matrix that ``info_nce`` takes. Departures from
GLoRIA: one vector per sentence instead of one per word, and their mean instead of a log-sum-exp. Plain InfoNCE on the average patch has no
reason to localise small things; this term has.
"""

from __future__ import annotations

import torch
from torch import Tensor


def phrase_to_patch_similarity(patches: Tensor, phrases: Tensor, *, sharpness: float = 8.0) -> Tensor:
    """Attention-pooled cosine of every image with every phrase.

    Args:
        patches: (B, D, h, w), unit length over D.
        phrases: (P, D), unit length.
        sharpness: κ; 0 pools evenly.

    Returns:
        (B, P) cosines in [−1, 1].
    """
    grid = patches.flatten(2)  # (B, D, N)
    return _attended(grid, torch.einsum("bdn,pd->bpn", grid, phrases), sharpness)


def report_to_patch_similarity(patches: Tensor, phrases: Tensor, present: Tensor, *, sharpness: float = 8.0) -> Tensor:
    """Mean phrase-to-patch similarity of every image with every report.

    Args:
        patches: (B, D, h, w), unit length over D.
        phrases: (R, K, D), up to K phrases of each of R reports, unit length.
        present: (R, K), which of them there are; at least one each.
        sharpness: κ.

    Returns:
        (B, R) cosines in [−1, 1].
    """
    reports, most, _ = phrases.shape
    similarity = phrase_to_patch_similarity(patches, phrases.flatten(0, 1), sharpness=sharpness).unflatten(1, (reports, most))  # (B, R, K)
    return (similarity * present).sum(dim=-1) / present.sum(dim=-1)


def own_report_to_patch_similarity(patches: Tensor, phrases: Tensor, present: Tensor, *, sharpness: float = 8.0) -> Tensor:
    """Mean phrase-to-patch similarity of every image with its own report alone: the diagonal of ``report_to_patch_similarity``, (B,)."""
    grid = patches.flatten(2)  # (B, D, N)
    similarity = _attended(grid, phrases @ grid, sharpness)  # (B, K)
    return (similarity * present).sum(dim=-1) / present.sum(dim=-1)


def _attended(grid: Tensor, cosine: Tensor, sharpness: float) -> Tensor:
    """Patches (B, D, N) and their cosines with P phrases (B, P, N) → cosines of what each phrase attends to, (B, P)."""
    attention = (sharpness * cosine).softmax(dim=-1)
    pooled = torch.einsum("bpn,bdn->bpd", attention, grid)  # (B, P, D)
    return (attention * cosine).sum(dim=-1) / pooled.norm(dim=-1).clamp(min=1e-6)
