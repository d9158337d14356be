"""Batch norms folded into the convolutions before them: the same network with fewer passes over its maps, for inference only.

    γ (W x − μ) / √(σ² + ε) + β  =  (γ / √(σ² + ε)) W x  +  β − γ μ / √(σ² + ε)

Equal but for rounding.
"""

from __future__ import annotations

import copy
from itertools import chain, pairwise
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Model = TypeVar("Model", bound=nn.Module)


def fold_batch_norms(model: Model) -> Model:
    """A copy of a model in which every convolution holds the batch norm that follows it; it shares all other tensors with the model.

    A batch norm follows a convolution if it is the next of the same parent's modules, as in residual networks and sequences; the others
    stay. The copy's tensors have other names: it is neither to be saved as the model nor to be trained.

    Raises:
        ValueError: if the model is in training mode, in which a batch norm depends on its batch.
    """
    if model.training:
        raise ValueError("batch norms can be folded in evaluation mode only: call eval() first")
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    folded = copy.deepcopy(model, shared)
    for parent in list(folded.modules()):
        for (name, module), (next_name, following) in pairwise(list(parent.named_children())):
            if isinstance(module, nn.Conv2d) and isinstance(following, nn.BatchNorm2d) and module.out_channels == following.num_features:
                setattr(parent, name, fuse_conv_bn_eval(module, following))
                setattr(parent, next_name, nn.Identity())
    return folded
