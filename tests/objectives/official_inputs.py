"""Inputs of the stored cases: numbers from a formula, the same here and where the official modules were run."""

import math

import torch
from torch import Tensor


def numbers(*shape: int, phase: int) -> Tensor:
    """Fixed numbers in [-1, 1): (37 i² + 11 i + 29 phase) mod 101, scaled."""
    i = torch.arange(math.prod(shape))
    return (((i * i * 37 + i * 11 + phase * 29) % 101).float() / 50.5 - 1).reshape(shape)
