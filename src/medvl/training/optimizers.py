"""AdamW with a warm-up and half a cosine, as the contrastive trainings take it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from medvl.training.schedules import warmup_cosine


def adamw_with_cosine(
    parameters: Iterable[nn.Parameter], *, learning_rate: float, weight_decay: float, warmup_steps: int, steps: int
) -> dict[str, Any]:
    """What ``configure_optimizers`` returns: AdamW and its schedule by steps.

    Args:
        parameters: those that are frozen are left out; vectors (biases, normalisations) and scalars are not decayed.
        learning_rate: at its peak.
        weight_decay: of matrices and kernels.
        warmup_steps, steps: see ``warmup_cosine``.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(warmup_cosine, warmup_steps=warmup_steps, steps=steps))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
