"""Film order: a report about change fits its films in the order in which they were taken better than exchanged.

For the similarity s of a report with its pair of films, s̄ with the same films exchanged, and temperature τ

    loss = mean [ log(1 + exp((s̄ − s) / τ)) ]

over the studies that have a film before: InfoNCE with one hard negative, which differs from the positive in nothing but time. Other
studies of a batch can be told apart by what one film shows; this cannot, so it is what teaches a small model in minutes to read a pair,
and a text model that worse and better are not synonyms. Not part of BioViL-T (Bannur et al., CVPR 2023), which leaves it to large batches.
A report that tells of no change fits both orders, and adds a constant.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus


def film_order_loss(similarity: Tensor, exchanged: Tensor, has_previous: Tensor, *, temperature: Tensor | float) -> Tensor:
    """The loss of reports against their own films.

    Args:
        similarity, exchanged: (B,) cosines of each report with its films in order and exchanged.
        has_previous: (B,) 1 where there is a film before; the other rows may hold anything.
        temperature: positive scalar.

    Returns:
        Scalar; 0 is perfect, ln 2 is chance, and 0 where no study has a film before.
    """
    present = has_previous.to(similarity.dtype)
    each = softplus((exchanged - similarity).float() / temperature)
    return torch.where(present > 0, each, 0.0).sum() / present.sum().clamp(min=1)
