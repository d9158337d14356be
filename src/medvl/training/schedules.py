"""Learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math


def warmup_cosine(step: int, *, warmup_steps: int, steps: int, floor: float = 0.0) -> float:
    """Factor on the peak rate: linear from 1 / warmup_steps to 1, then half a cosine down to ``floor`` at ``steps``."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min((step - warmup_steps) / max(steps - warmup_steps, 1), 1.0)
    return floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2
