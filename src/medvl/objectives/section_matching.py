"""Radiology section matching (CXR-BERT, Boecking et al., ECCV 2022): which Impression belongs to which Findings.

For N reports with unit vectors f_i of their Findings and g_i of their Impressions, s_ij = f_i · g_j, temperature τ

    loss = −1/N · Σ_i { log [ exp(s_ii/τ) / Σ_j exp(s_ij/τ) ] + log [ exp(s_ii/τ) / Σ_j exp(s_ji/τ) ] }

It is the *sum* of both directions, so twice the InfoNCE of the same matrix: 2 ln N is chance. Departure: where two reports have the same
Findings or the same Impression to the letter, each section of one is a positive of the other's, and the target is shared evenly between
them: a third of a cohort may read "No acute cardiopulmonary abnormality". Without repeats it is the published loss.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from medvl.objectives.contrastive import info_nce


def section_matching_loss(findings: Tensor, impressions: Tensor, *, temperature: float = 0.5, matches: Tensor | None = None) -> Tensor:
    """Both directions' cross-entropy, summed.

    Args:
        findings, impressions: (N, D) of unit length, of the same reports in the same order.
        temperature: positive.
        matches: (N, N) bool, symmetric, which sections fit which, see ``matching_sections``. ``None``: each fits its own only.

    Returns:
        Scalar; 0 is perfect, 2 ln N is chance.

    Raises:
        ValueError: if the shapes differ.
    """
    if findings.shape != impressions.shape:
        raise ValueError(f"section matching needs as many findings as impressions, got {tuple(findings.shape)}, {tuple(impressions.shape)}")
    similarity = findings.float() @ impressions.float().T
    if matches is None:
        return 2 * info_nce(similarity, temperature=temperature)
    target = matches / matches.sum(dim=1, keepdim=True)  # rows sum to 1; matches are symmetric, so it serves both directions
    return cross_entropy(similarity / temperature, target) + cross_entropy(similarity.T / temperature, target)


def matching_sections(findings: Sequence[Hashable], impressions: Sequence[Hashable]) -> Tensor:
    """(N, N) bool: reports with the same Findings or the same Impression; the texts, or their ids."""
    first, second = (_same(texts) for texts in (findings, impressions))
    return first | second


def _same(texts: Sequence[Hashable]) -> Tensor:
    numbers: dict[Hashable, int] = {}
    groups = torch.tensor([numbers.setdefault(text, len(numbers)) for text in texts])
    return groups[:, None] == groups[None]
