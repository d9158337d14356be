"""Sinkhorn-Knopp: the teacher's probabilities with every prototype used alike (SwAV, Caron et al. 2020; DINOv2).

Of Q = exp(logits / temperature), in turn: divide each prototype's column by its sum over all samples, each sample's row by its sum over
prototypes. Constant factors of the official code (the whole sum, 1/K, 1/B) cancel at the next step and are not computed.

Departures from it: the steps are taken on logarithms, where no logit overflows and no prototype's sum vanishes; and the one function
serves class tokens and hidden patches, with or without several processes, of any number of rows each, and changes no argument.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from medvl.runtime.distributed import sum_over_ranks, world_size


@torch.no_grad()
def sinkhorn_knopp(logits: Tensor, *, temperature: float, iterations: int = 3) -> Tensor:
    """Probabilities of the samples of all processes, balanced over prototypes.

    Args:
        logits: (B, K), any floating type; computed in float32. B may differ between processes and be 0; every process must call.
        temperature: divides the logits.
        iterations: of both steps.

    Returns:
        (B, K) float32; rows sum to one.

    Raises:
        ValueError: if ``iterations`` is not positive.
    """
    if iterations < 1:
        raise ValueError(f"Sinkhorn-Knopp needs at least one iteration, got {iterations}")
    logs = logits.float() / temperature
    for _ in range(iterations):
        logs -= _logsumexp_over_samples(logs)
        logs -= logs.logsumexp(dim=1, keepdim=True)
    return logs.exp_()


def _logsumexp_over_samples(logs: Tensor) -> Tensor:
    """(K,) over the rows of all processes."""
    local = logs.logsumexp(dim=0)  # -inf where a process has no rows
    if world_size() == 1:
        return local
    highest = local.clone()
    dist.all_reduce(highest, op=dist.ReduceOp.MAX)
    return highest + sum_over_ranks((local - highest).exp_()).log_()
