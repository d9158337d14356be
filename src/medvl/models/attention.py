"""Scaled dot-product attention, by the faster of two ways."""

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop
from torch.nn.functional import scaled_dot_product_attention


def written_out_is_faster(device: torch.device, dtype: torch.dtype) -> bool:
    """On a CPU in bfloat16: the fused kernel's backward pass takes two to four times as long below 400 tokens, and no less up to 1,370."""
    return device.type == "cpu" and dtype == torch.bfloat16


def attend(query: Tensor, key: Tensor, value: Tensor, dropout: float = 0.0) -> Tensor:
    """Queries (B, heads, N, d), keys and values (B, heads, M, d) → (B, heads, N, d); ``dropout`` is of the weights."""
    if written_out_is_faster(query.device, query.dtype):
        weights = ((query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)).softmax(dim=-1)
        return drop(weights, dropout) @ value
    return scaled_dot_product_attention(query, key, value, dropout_p=dropout)
