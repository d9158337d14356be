"""Schedules as pure functions of the optimiser's step: one warm-up with half a cosine, and those of a DINOv2 run.

``cosine`` gives the values of the official ``CosineScheduler`` (dinov2/utils/utils.py) step by step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


def warmup_cosine(step: int, *, warmup_steps: int, steps: int, floor: float = 0.0) -> float:
    """Factor on the peak rate: linear from 1 / warmup_steps to 1, then half a cosine down to ``floor`` at ``steps``."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min((step - warmup_steps) / max(steps - warmup_steps, 1), 1.0)
    return floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2


def cosine(step: int, start: float, end: float, *, steps: int, warmup_steps: int = 0, warmup_start: float = 0.0) -> float:
    """Linear from ``warmup_start`` to ``start`` over the warm-up, both included; half a cosine to ``end``, reached at ``steps``."""
    if step >= steps:
        return end
    if step < warmup_steps:
        return warmup_start + (start - warmup_start) * step / max(warmup_steps - 1, 1)
    progress = (step - warmup_steps) / (steps - warmup_steps)
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True, slots=True)
class DinoSchedule:
    """The schedules of a DINOv2 run; steps are those of the optimiser.

    Attributes:
        steps: length of the cosines; a run may stop before.
        learning_rate: the peak for a step of ``reference_batch`` images; scaled by √(images ÷ reference).
        reference_batch: images of a step, over all processes and accumulated batches.
        final_learning_rate: at the end.
        warmup_steps: of the learning rate, from 0.
        weight_decay, momentum: first and last value; of the teacher's average.
        teacher_temperature: first and last value, linear over ``temperature_steps``.
        freeze_last_layer_steps: so long the heads' last layer does not learn.
        freeze_backbone_steps: so long only the heads learn.
    """

    steps: int
    learning_rate: float
    reference_batch: int = 1024
    final_learning_rate: float = 1e-6
    warmup_steps: int = 0
    weight_decay: tuple[float, float] = (0.04, 0.4)
    momentum: tuple[float, float] = (0.992, 1.0)
    teacher_temperature: tuple[float, float] = (0.04, 0.07)
    temperature_steps: int = 0
    freeze_last_layer_steps: int = 0
    freeze_backbone_steps: int = 0

    def learning_rate_at(self, step: int, images: int) -> float:
        """Of parameters whose multiplier is 1, for steps of so many images."""
        peak = self.learning_rate * math.sqrt(images / self.reference_batch)
        return cosine(step, peak, self.final_learning_rate, steps=self.steps, warmup_steps=self.warmup_steps)

    def weight_decay_at(self, step: int) -> float:
        """Of parameters that are decayed."""
        return cosine(step, *self.weight_decay, steps=self.steps)

    def momentum_at(self, step: int) -> float:
        """Share of the teacher that stays."""
        return cosine(step, *self.momentum, steps=self.steps)

    def teacher_temperature_at(self, step: int) -> float:
        """Of the teacher's softmax."""
        first, last = self.teacher_temperature
        return cosine(step, last, last, steps=self.temperature_steps, warmup_steps=self.temperature_steps, warmup_start=first)
