"""KoLeo: spread features over the unit sphere (Sablayrolles et al. 2019; DINOv2, Oquab et al. 2023, section 4).

For L2-normalised features x_1 … x_B and x_nn(i), the nearest neighbour of x_i among the others,

    loss = -1/B · Σ_i log ‖x_i - x_nn(i)‖

Departure from the official code, unless asked for it: features with an exact duplicate in the batch (blank films, repeated crops) are left
out of the mean; there they give log(1e-8), and infinity in half precision. Neighbours are sought among the features of all processes if
asked; there, of each process alone.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize, pairwise_distance

from medvl.runtime.distributed import gather_with_gradient

Duplicates = Literal["leave_out", "official"]
EPSILON = 1e-8  # of the official code: least norm, added to every coordinate's difference, and to the distance


def koleo_loss(features: Tensor, *, duplicates: Duplicates = "leave_out", gather: bool = False, min_distance: float = 1e-6) -> Tensor:
    """Mean negative log distance to the nearest neighbour.

    Args:
        features: (B, D), any scale and precision; computed in float32, also under autocast.
        duplicates: ``leave_out`` features that have one, or treat them as the ``official`` code does.
        gather: look for neighbours in the batches of all processes, of equal B; every process then returns the loss of the whole.
        min_distance: nearest neighbours closer than this are duplicates.

    Returns:
        Scalar; 0 if duplicates are left out and every feature has one.

    Raises:
        ValueError: if there are fewer than two features.
    """
    everything = gather_with_gradient(features) if gather else features
    if len(everything) < 2:
        raise ValueError(f"KoLeo needs at least two features, got {len(everything)}")
    with torch.autocast(features.device.type, enabled=False):
        x = normalize(everything.float(), dim=-1, eps=EPSILON)  # (B, D)
        with torch.no_grad():
            nearest = (x @ x.T).fill_diagonal_(-1).argmax(dim=-1)  # (B,)
        distance = pairwise_distance(x, x[nearest], eps=EPSILON)  # (B,)
        if duplicates == "official":
            return -(distance + EPSILON).log().mean()
        distinct = distance > min_distance
        return -torch.where(distinct, distance, 1.0).log().sum() / distinct.sum().clamp(min=1)
