"""Parameters, gradients and optimiser shared over processes (FSDP2), for networks that do not fit or should leave room for the batch.

Each block and each head is a unit, what is left of the backbone another. The student's parameters are gathered for forward and kept
until backward is done, the teacher's given back after forward, as in the official code (``SHARD_GRAD_OP``). Gradients are averaged over
processes, as in DDP.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from medvl.runtime.distributed import world_size
from medvl.training.dino_network import DinoNetwork

BACKBONE_METHODS = ("forward_crops", "encode")  # by which the backbone is called beside ``forward``


def shard(network: DinoNetwork, device: torch.device, *, learns: bool) -> None:
    """Shard a network over all processes, in place; its parameters become ``DTensor``.

    Args:
        network: student or teacher.
        device: what this process computes on.
        learns: whether backward follows forward.
    """
    mesh = init_device_mesh(device.type, (world_size(),))
    for unit in (*network.backbone.blocks, network.backbone, network.dino_head, network.ibot_head, network):
        if unit is not None:
            fully_shard(unit, mesh=mesh, reshard_after_forward=not learns)
    for method in BACKBONE_METHODS:
        register_fsdp_forward_method(network.backbone, method)


def whole(tensor: Tensor) -> Tensor:
    """A tensor gathered from all processes, if it is shared over them; every process must call."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
