"""Symmetric InfoNCE between images and texts (ConVIRT, Zhang et al. 2020; CLIP, Radford et al. 2021).

For unit vectors x_i, y_j and temperature τ, with s_ij = x_i · y_j / τ

    loss = ½ · mean_i [ −s_ii + log Σ_j exp s_ij ] + ½ · mean_j [ −s_jj + log Σ_i exp s_ij ]

Departure: texts that are the same to the letter are each other's positives (the target is shared evenly between them); reports of
normal films repeat, and calling the repeat a negative teaches noise. Without repeats it is the published loss.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def info_nce(similarity: Tensor, *, temperature: Tensor | float, texts: Sequence[Hashable] | None = None) -> Tensor:
    """Symmetric InfoNCE over a similarity matrix.

    Args:
        similarity: (B, B) cosines, images in rows, their texts in columns of the same order.
        temperature: positive scalar.
        texts: B texts (or their ids); equal ones share the target. ``None``: all differ.

    Returns:
        Scalar; 0 is perfect, ln B is chance.

    Raises:
        ValueError: if the matrix is not square.
    """
    if similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f"InfoNCE needs a square matrix, got {tuple(similarity.shape)}")
    logits = similarity.float() / temperature
    target = _shared_targets(texts, logits) if texts is not None else torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def _shared_targets(texts: Sequence[Hashable], like: Tensor) -> Tensor:
    """(B, B) target distribution: even over equal texts; symmetric, so it serves both directions."""
    first: dict[Hashable, int] = {}
    groups = torch.tensor([first.setdefault(text, len(first)) for text in texts], device=like.device)
    same = (groups[:, None] == groups[None]).to(like.dtype)
    return same / same.sum(dim=1, keepdim=True)
