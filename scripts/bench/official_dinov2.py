"""Part of the DINO benchmark: the official DINOv2 training code on a CPU, from a checkout of facebookresearch/dinov2, its files unchanged.

The checkout needs xFormers, CUDA and FSDP. In memory, before it is imported, stand in for them: an ``xformers.ops`` of the five names that
it uses, written with plain torch (attention once per run of sequences of equal length); ``Tensor.cuda`` as the identity; no FSDP, hence the
two foreach calls of its ``update_teacher`` on the parameters themselves and torch's clipping in place of FSDP's. All else is theirs:
``SSLMetaArch.forward_backward``, its collate function, masks, parameter groups, schedules' values and AdamW. It needs fvcore and omegaconf.
"""

from __future__ import annotations

import itertools
import random
import sys
import types
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

Batch = dict[str, Any]


class BlockDiagonalMask:
    """Where each of several sequences lies that were laid end to end."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = list(lengths)
        self.runs = [(length, len(list(run))) for length, run in itertools.groupby(self.lengths)]
        self._batch_sizes: list[int] | None = None

    @classmethod
    def from_seqlens(cls, lengths: Sequence[int]) -> BlockDiagonalMask:
        return cls(lengths)

    @classmethod
    def from_tensor_list(cls, tensors: Sequence[Tensor]) -> tuple[BlockDiagonalMask, Tensor]:
        mask = cls([length for tensor in tensors for length in [tensor.shape[1]] * tensor.shape[0]])
        mask._batch_sizes = [tensor.shape[0] for tensor in tensors]
        return mask, torch.cat([tensor.reshape(1, -1, *tensor.shape[2:]) for tensor in tensors], dim=1)

    def split(self, tensor: Tensor) -> list[Tensor]:
        parts, sequence, start = [], 0, 0
        for size in self._batch_sizes or []:
            length = self.lengths[sequence]
            parts.append(tensor[:, start : start + size * length].reshape(size, length, *tensor.shape[2:]))
            sequence, start = sequence + size, start + size * length
        return parts


def memory_efficient_attention(query: Tensor, key: Tensor, value: Tensor, attn_bias: BlockDiagonalMask | None = None) -> Tensor:
    """(B, N, heads, d) each, or (1, T, heads, d) of sequences laid end to end → the same."""
    if attn_bias is None:
        return scaled_dot_product_attention(*(x.transpose(1, 2) for x in (query, key, value))).transpose(1, 2)
    sizes = [length * count for length, count in attn_bias.runs]
    outputs = []
    for parts, (length, count) in zip(zip(*(x.split(sizes, dim=1) for x in (query, key, value)), strict=True), attn_bias.runs, strict=True):
        folded = (part.reshape(count, length, *part.shape[2:]).transpose(1, 2) for part in parts)
        outputs.append(scaled_dot_product_attention(*folded).transpose(1, 2).reshape(1, count * length, *query.shape[2:]))
    return torch.cat(outputs, dim=1)


def scaled_index_add(tensor: Tensor, index: Tensor, source: Tensor, scaling: Tensor | None = None, alpha: float = 1.0) -> Tensor:
    return torch.index_add(tensor, 0, index, source if scaling is None else source * scaling, alpha=alpha)


def index_select_cat(sources: Sequence[Tensor], indices: Sequence[Tensor]) -> Tensor:
    return torch.cat([source[index].flatten() for source, index in zip(sources, indices, strict=True)])


def import_checkout(checkout: Path) -> None:
    """Put the checkout on the import path, and stand-ins where it needs a GPU."""
    operators = types.ModuleType("xformers.ops")
    operators.fmha = types.SimpleNamespace(BlockDiagonalMask=BlockDiagonalMask)  # type: ignore[attr-defined]
    for operator in (memory_efficient_attention, scaled_index_add, index_select_cat, torch.unbind):
        setattr(operators, operator.__name__, operator)
    package = types.ModuleType("xformers")
    package.ops = operators  # type: ignore[attr-defined]
    sys.modules |= {"xformers": package, "xformers.ops": operators}
    sys.path.insert(0, str(checkout))
    torch.Tensor.cuda = lambda tensor, *_, **__: tensor  # type: ignore[method-assign, assignment]
    warnings.filterwarnings("ignore", message="xFormers is")
    warnings.filterwarnings("ignore", category=FutureWarning)


def collate(large: Tensor, small: Tensor) -> Batch:
    """Their batch and masks of crops (B, n, 3, S, S), standardised."""
    from dinov2.data.collate import collate_data_and_cast
    from dinov2.data.masking import MaskingGenerator

    grid = large.shape[-1] // 14
    samples = [({"global_crops": list(g), "local_crops": list(s)}, None) for g, s in zip(large, small, strict=True)]
    random.seed(0)
    masks = MaskingGenerator((grid, grid), max_num_patches=0.5 * grid * grid)
    return collate_data_and_cast(samples, (0.1, 0.5), 0.5, dtype=torch.float32, n_tokens=grid * grid, mask_generator=masks)


class OfficialStep:
    """Whole train steps of the official modules on one batch; a call returns the losses at its start, in the papers' units."""

    def __init__(self, batch: Batch, *, prototypes: int, drop_path: float) -> None:
        from dinov2.configs import dinov2_default_config
        from dinov2.train import ssl_meta_arch
        from omegaconf import OmegaConf

        student = {"arch": "vit_small", "patch_size": 14, "drop_path_rate": drop_path}
        ours = {"student": student, "crops": {"local_crops_size": 98}, "dino": {"head_n_prototypes": prototypes}}
        config = OmegaConf.merge(dinov2_default_config, ours, {"compute_precision": {"grad_scaler": False}})
        ssl_meta_arch.reshard_fsdp_model = lambda _: None
        self.model = ssl_meta_arch.SSLMetaArch(config)
        self.model.need_to_synchronize_fsdp_streams = False
        for name, parameter in self.model.student.named_parameters():
            if name.endswith("gamma"):  # at 1e-5 an untrained network's class tokens are alike, and the distances of KoLeo are rounding
                parameter.data.fill_(0.1)
        self.model.teacher.load_state_dict(self.model.student.state_dict())
        self.model.train()
        self.optimizer = torch.optim.AdamW(self.model.get_params_groups(), betas=(0.9, 0.999))
        self.batch, self.config = batch, config

    def __call__(self) -> dict[str, float]:
        from dinov2.train.train import apply_optim_scheduler

        apply_optim_scheduler(self.optimizer, 1e-4, 0.04, 1e-4)
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.model.forward_backward(self.batch, teacher_temp=0.04)
        for part in self.model.student.values():
            torch.nn.utils.clip_grad_norm_(part.parameters(), self.config.optim.clip_grad)
        self.optimizer.step()
        with torch.no_grad():
            average, current = list(self.model.teacher.parameters()), list(self.model.student.parameters())
            torch._foreach_mul_(average, 0.992)
            torch._foreach_add_(average, current, alpha=1 - 0.992)
        shown = {name: float(value) for name, value in losses.items()}
        dino = shown["dino_local_crops_loss"] + shown["dino_global_crops_loss"]
        return {"dino": dino, "ibot": 2 * shown["ibot_loss"], "koleo": 2 * shown["koleo_loss"] / self.config.dino.koleo_loss_weight}


def pil_crops() -> Any:
    """Their augmentation of a PIL image."""
    from dinov2.data.augmentations import DataAugmentationDINO

    return DataAugmentationDINO((0.32, 1.0), (0.05, 0.32), 8, global_crops_size=224, local_crops_size=98)
