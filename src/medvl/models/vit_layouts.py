"""How libraries name the weights of a DINOv2 vision transformer, and what its architecture is by the shapes of its weights.

The names in the middle are the official ones (``blocks.0.attn.qkv.weight``), which are ours as well. Hugging Face splits ``qkv`` into three
and, since version 5, ``w12`` into two; its version 4 names are the ones written, for both versions read them. timm drops the mask token,
calls the SwiGLU matrices ``fc1`` and ``fc2``, and in models with registers holds no position for the class token: it is added beforehand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

Layout = Literal["medvl", "hf", "dinov2", "timm"]
State = dict[str, Tensor]

HEAD_WIDTH = 64  # of every published DINOv2; state dicts do not say it
WRAPPERS = re.compile(r"(^|\.)(module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.)")
ROOTS = ("teacher.backbone.", "teacher.", "student.backbone.", "backbone.", "dinov2_with_registers.", "dinov2.", "model.", "")
CHUNK = re.compile(r"^blocks\.\d+\.(\d+\.)")
HF_NAMES = (  # ours, Hugging Face's; versions 4 and 5 differ in the block's inner names only
    ("cls_token", "embeddings.cls_token"),
    ("mask_token", "embeddings.mask_token"),
    ("register_tokens", "embeddings.register_tokens"),
    ("pos_embed", "embeddings.position_embeddings"),
    ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
    ("norm.", "layernorm."),
)
HF_BLOCK = (
    ("attn.proj.", "attention.output.dense."),
    ("ls1.gamma", "layer_scale1.lambda1"),
    ("ls2.gamma", "layer_scale2.lambda1"),
    ("mlp.w12.", "mlp.weights_in."),
    ("mlp.w3.", "mlp.weights_out."),
)
HF5_BLOCK = (
    (".attention.q_proj.", ".attention.attention.query."),
    (".attention.k_proj.", ".attention.attention.key."),
    (".attention.v_proj.", ".attention.attention.value."),
    (".attention.o_proj.", ".attention.output.dense."),
    (".mlp.down_proj.", ".mlp.weights_out."),
)
QKV = ("query", "key", "value")


def unwrapped(state: Mapping[str, Any]) -> State:
    """The tensors of the encoder alone, without prefixes of wrappers and of the network around it.

    Where student and teacher are both there it is the teacher; heads and everything outside the encoder are left out.
    """
    plain = {WRAPPERS.sub("", name).lstrip("."): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    for root in ROOTS:
        if f"{root}cls_token" in plain or f"{root}embeddings.cls_token" in plain:
            return {CHUNK.sub(r"blocks.\1", name.removeprefix(root)): t for name, t in plain.items() if name.startswith(root)}
    return plain


def layout_of(state: State) -> Layout:
    """Whose names these are; ``dinov2`` where nothing says otherwise."""
    if any(name.startswith("embeddings.") for name in state):
        return "hf"
    return "dinov2" if "mask_token" in state else "timm"


def to_official(state: State, layout: Layout) -> State:
    """Official names from a layout's; names that are not known stay as they are."""
    if layout == "hf":
        return _from_hf(state)
    return _from_timm(state) if layout == "timm" else dict(state)


def from_official(state: State, layout: Layout) -> State:
    """A layout's names from the official ones."""
    if layout == "hf":
        return _to_hf(state)
    return _to_timm(state) if layout == "timm" else dict(state)


def architecture(state: State, heads: int | None) -> dict[str, Any]:
    """Arguments of ``VisionTransformer`` by the shapes of official tensors; heads of 64 where their number is not given.

    Raises:
        ValueError: naming a tensor that is missing or has no sensible shape.
    """
    try:
        positions, projection = state["pos_embed"], state["patch_embed.proj.weight"]
        width, in_channels, patch_size, _ = projection.shape
        swiglu = "blocks.0.mlp.w3.weight" in state
        hidden = state["blocks.0.mlp.w3.weight"].shape[1] if swiglu else state["blocks.0.mlp.fc1.weight"].shape[0]
    except KeyError as error:
        raise ValueError(f"there is no tensor {error.args[0]!r}: these are not the weights of a vision transformer") from None
    native = math.isqrt(positions.shape[1] - 1)
    if native**2 != positions.shape[1] - 1:
        raise ValueError(f"'pos_embed' has {positions.shape[1]} positions, which are no square grid and a class token")
    if heads is None and width % HEAD_WIDTH:
        raise ValueError(f"a width of {width} does not say how many heads there are: give heads=…")
    blocks = [int(name.split(".")[1]) for name in state if re.match(r"blocks\.\d+\.", name)]
    return {
        "width": width,
        "depth": max(blocks) + 1,
        "heads": heads or width // HEAD_WIDTH,
        "patch_size": patch_size,
        "image_size": native * patch_size,
        "in_channels": in_channels,
        "registers": state["register_tokens"].shape[1] if "register_tokens" in state else 0,
        "mlp": "swiglu" if swiglu else "gelu",
        "mlp_ratio": _mlp_ratio(hidden, width, swiglu),
        "layer_scale": 1e-5 if "blocks.0.ls1.gamma" in state else None,
    }


def to_channels(state: State, channels: int, mean: Sequence[float], std: Sequence[float]) -> tuple[State, float, float]:
    """The same network for one channel instead of several equal ones, or for several instead of one.

    Kernels are summed; unequal means and deviations are folded into kernels and biases, so that the tokens of a grey image stay the same.

    Args:
        state: official tensors.
        channels: wanted; the ones there are, or either number is 1.
        mean, std: of the channels there are.

    Returns:
        The tensors, and the one mean and deviation to standardise by.

    Raises:
        ValueError: if neither number of channels is 1.
    """
    weight, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    found = weight.shape[1]
    if 1 not in (channels, found):
        raise ValueError(f"the weights take {found} channels, which cannot become {channels}")
    m, s = sum(mean) / found, sum(std) / found
    scale, shift = (weight.new_tensor(values)[:, None, None] for values in (list(std), [m - x for x in mean]))  # (C, 1, 1)
    exact = weight.double() / scale
    single = exact.sum(dim=1, keepdim=True)
    bias = (bias + (exact * shift).sum(dim=(1, 2, 3))).to(bias.dtype)
    weight = (s * single / channels).expand(-1, channels, -1, -1).to(weight.dtype).contiguous()
    return {**state, "patch_embed.proj.weight": weight, "patch_embed.proj.bias": bias}, m, s


def _mlp_ratio(hidden: int, width: int, swiglu: bool) -> float:
    """The ratio that gives this hidden width; SwiGLU's is the whole number nearby where that rounds to the same."""
    if not swiglu:
        return hidden / width
    whole = round(hidden * 1.5 / width)
    return float(whole) if (int(whole * width * 2 / 3) + 7) // 8 * 8 == hidden else hidden * 1.5 / width


def _from_hf(state: State) -> State:
    state = {_renamed(name, HF5_BLOCK) if name.startswith("encoder.layer.") else name: tensor for name, tensor in state.items()}
    found: State = {}
    for name, tensor in state.items():
        if name.startswith("encoder.layer."):
            found["blocks." + _renamed(name.removeprefix("encoder.layer."), [(theirs, ours) for ours, theirs in HF_BLOCK])] = tensor
        else:
            found[_renamed(name, [(theirs, ours) for ours, theirs in HF_NAMES], start=True)] = tensor
    _join(found, [f"attention.attention.{part}." for part in QKV], "attn.qkv.")
    _join(found, ["mlp.gate_proj.", "mlp.up_proj."], "mlp.w12.")
    return found


def _join(state: State, parts: list[str], whole: str) -> None:
    """Stack rows of several tensors into one, in place, where all are there."""
    for name in [name for name in state if parts[0] in name]:
        names = [name.replace(parts[0], part) for part in parts]
        if all(each in state for each in names):
            state[name.replace(parts[0], whole)] = torch.cat([state.pop(each) for each in names])


def _to_hf(state: State) -> State:
    found: State = {}
    for name, tensor in state.items():
        if not name.startswith("blocks."):
            found[_renamed(name, HF_NAMES, start=True)] = tensor
        elif ".attn.qkv." in name:
            layer = "encoder.layer." + name.removeprefix("blocks.")
            for part, rows in zip(QKV, tensor.chunk(3), strict=True):
                found[layer.replace("attn.qkv.", f"attention.attention.{part}.")] = rows.contiguous()
        else:
            found["encoder.layer." + _renamed(name.removeprefix("blocks."), HF_BLOCK)] = tensor
    return found


def _from_timm(state: State) -> State:
    found = dict(state)
    if "reg_token" in found:
        found["register_tokens"] = found.pop("reg_token")
    positions = found.get("pos_embed")
    if positions is not None and math.isqrt(positions.shape[1]) ** 2 == positions.shape[1] > 1:  # none for the class token
        found["pos_embed"] = torch.cat([positions.new_zeros(1, 1, positions.shape[2]), positions], dim=1)
    first, second = found.get("blocks.0.mlp.fc1.weight"), found.get("blocks.0.mlp.fc2.weight")
    if first is not None and second is not None and first.shape[0] == 2 * second.shape[1]:
        renames = ((".mlp.fc1.", ".mlp.w12."), (".mlp.fc2.", ".mlp.w3."))
        found = {_renamed(name, renames): tensor for name, tensor in found.items()}
    if "cls_token" in found:
        found.setdefault("mask_token", torch.zeros_like(found["cls_token"][0]))  # timm has none
    return found


def _to_timm(state: State) -> State:
    found = {_renamed(n, ((".mlp.w12.", ".mlp.fc1."), (".mlp.w3.", ".mlp.fc2."))): t for n, t in state.items() if n != "mask_token"}
    if "register_tokens" in found:
        found["reg_token"] = found.pop("register_tokens")
        found["cls_token"] = found["cls_token"] + found["pos_embed"][:, :1]
        found["pos_embed"] = found["pos_embed"][:, 1:].contiguous()
    return found


def _renamed(name: str, pairs: Any, start: bool = False) -> str:
    for old, new in pairs:
        if name.startswith(old) if start else old in name:
            return name.replace(old, new, 1)
    return name
