"""Several processes as one: rank, world size, and gathering with gradients."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """The number of processes; 1 when torch.distributed is not set up."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number; 0 when torch.distributed is not set up."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """The sum of a tensor over all ranks, in place and without gradient; every rank must call it."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


def gather_with_gradient(tensor: Tensor) -> Tensor:
    """Concatenate equal-shaped tensors (B, …) of all ranks to (world · B, …), in rank order.

    The backward pass sums each slice's gradient over ranks; with DDP's mean over ranks, a loss computed on the gathered batch by
    every rank has exactly the gradient of a single process.
    """
    return tensor if world_size() == 1 else _Gather.apply(tensor)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(world_size())[rank()]


def gather_texts(texts: list[str]) -> list[str]:
    """Concatenate the texts of all ranks, in rank order."""
    if world_size() == 1:
        return texts
    gathered: list[list[str]] = [[] for _ in range(world_size())]
    dist.all_gather_object(gathered, texts)
    return [text for part in gathered for text in part]
