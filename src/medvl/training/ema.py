"""The teacher: an exponential moving average of the student, teacher ← momentum · teacher + (1 - momentum) · student.

Works on the parameters themselves, whether plain or sharded: the official code walks the wrapped modules of a sharded model and finds none
in any other, whose teacher then never moves.
"""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_average(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher's parameters towards the student's, in place.

    Raises:
        ValueError: if the two do not have the same parameters.
    """
    average, current = dict(teacher.named_parameters()), dict(student.named_parameters())
    if average.keys() != current.keys():
        raise ValueError(f"teacher and student differ in parameters: {sorted(average.keys() ^ current.keys())}")
    torch._foreach_lerp_(list(average.values()), [current[name].detach() for name in average], 1 - momentum)
