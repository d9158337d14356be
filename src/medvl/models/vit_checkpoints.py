"""Vision transformers on disk: read in any common layout, written in four.

    medvl    folder: ``config.json`` (arguments of ``VisionTransformer``) and ``model.safetensors`` (official names)
    hf       folder that ``AutoModel.from_pretrained`` opens, in transformers 4 and 5: Dinov2Model, or Dinov2WithRegistersModel
    dinov2   state dict with the official names, as the hub's ``dinov2_vitb14_pretrain.pth`` and RAD-DINO's
             ``backbone_compatible.safetensors``
    timm     state dict of ``vit_*_patch14_dinov2``

Tokens are equal at the native size; away from it each library stretches position embeddings in its own way, which is read as the model's
``position_interpolation``. Pickles are read as weights only; no class name is read from a file.
"""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from medvl.models.model_folders import CONFIG, WEIGHTS, require_finite
from medvl.models.position_embeddings import PositionInterpolation
from medvl.models.vit import VisionTransformer
from medvl.models.vit_layouts import HEAD_WIDTH, Layout, State, architecture, from_official, layout_of, to_channels, to_official, unwrapped
from medvl.runtime.errors import InvalidValue, MissingFile, UserError
from medvl.runtime.files import atomic_path, write_json

logger = logging.getLogger(__name__)

ARCHITECTURE = "vision_transformer"
PROCESSOR = "preprocessor_config.json"
HF_WEIGHTS = (WEIGHTS, f"{WEIGHTS}.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
HF_TYPES = ("dinov2", "dinov2_with_registers")
NESTED = ("teacher", "model", "state_dict", "student")  # where training checkpoints hold their weights, the best first
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHOWN = 5  # names in a message


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Which tensors of a file found their place: official names, those of the file where there is none."""

    layout: Layout
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{len(self.matched)} matched"]
        for word, names in (("missing", self.missing), ("unexpected", self.unexpected)):
            shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
            parts.append(f"{len(names)} {word}" + (f" ({shown})" if names else ""))
        return f"layout {self.layout}: {', '.join(parts)}"


class PartialCheckpoint(UserError):
    """A file that has not all tensors of the model, or others besides; ``report`` names them."""

    def __init__(self, path: Path, report: LoadReport) -> None:
        super().__init__(f"{path}, {report}. Give allow_partial=true to take what matches")
        self.report = report


def load_vit(
    path: Path | str,
    *,
    position_interpolation: PositionInterpolation | None = None,
    allow_partial: bool = False,
    in_channels: int | None = None,
    heads: int | None = None,
) -> VisionTransformer:
    """Read a vision transformer, in evaluation mode; the architecture is what the tensors' shapes say.

    Args:
        path: our folder; a Hugging Face folder, sharded or not; or a ``.safetensors``, ``.pth``, ``.pt``, ``.bin`` or ``.ckpt`` file with
            official or timm names, bare or of a training run (the teacher is taken). Mean and standard deviation are those of the
            ``preprocessor_config.json`` in the same folder, else ImageNet's.
        position_interpolation: instead of the one that belongs to the layout.
        allow_partial: take what matches and leave the rest as it was initialised.
        in_channels: 1 sums the kernels of a model for several channels; 3 repeats those of a model for one.
        heads: of attention, where neither a configuration nor a width in multiples of 64 tells.

    Raises:
        MissingFile: naming the absent file.
        InvalidValue: naming the file and what is wrong with it; a weight that is not finite is.
        PartialCheckpoint: with a ``LoadReport``, if tensors are missing or left over.
    """
    path = Path(path)
    config, weights = _read_config(path), _weights_of(path)
    state = unwrapped(_read_tensors(weights))
    own = config is not None and config.get("architecture") == ARCHITECTURE
    layout: Layout = "medvl" if own else layout_of(state)
    state = to_official(state, layout)
    try:
        arguments = _own_arguments(config) if own and config else architecture(state, heads or (config or {}).get("num_attention_heads"))
        if not own:
            arguments |= {"position_interpolation": layout, **_statistics(weights.parent, arguments["in_channels"])}
        if position_interpolation is not None:
            arguments["position_interpolation"] = position_interpolation
        if in_channels is not None and in_channels != arguments.get("in_channels"):
            state = _with_channels(state, arguments, in_channels)
        with torch.device("meta"):
            model = VisionTransformer(**arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidValue(path / CONFIG if own else weights, "architecture", str(error)) from error
    if _report(model, state, layout, weights, allow_partial).missing:
        with torch.random.fork_rng(devices=[]):  # what the file lacks starts as in a new model; the caller's draws do not change
            model = VisionTransformer(**arguments)
    wanted = model.state_dict()
    found = {name: state[name].to(wanted[name].dtype) for name in wanted.keys() & state.keys()}
    require_finite(found, weights)
    model.load_state_dict(found, strict=False, assign=True)
    model.set_statistics(model.config["mean"], model.config["std"])
    return model.eval()


def save_vit(model: VisionTransformer, path: Path | str, layout: Layout = "medvl") -> None:
    """Write a vision transformer; each file atomically, the weights last.

    Args:
        model: on any device.
        path: a folder for ``medvl`` and ``hf``; a ``.safetensors``, ``.pth``, ``.pt`` or ``.bin`` file for ``dinov2`` and ``timm``.
        layout: see above.

    Raises:
        UserError: if the layout cannot hold the model, or the path is no file of weights.
    """
    path = Path(path)
    if layout != "medvl" and model.config["stem"] != "patch":
        raise UserError(f"{path}: the layout {layout!r} knows no convolutional stem; write layout=medvl")
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if layout == "medvl":
        write_json(path / CONFIG, {"architecture": ARCHITECTURE, "schema_version": 1, **model.config})
        _write_tensors(path / WEIGHTS, state)
    elif layout == "hf":
        _save_hf(model, state, path)
    else:
        _write_tensors(path, from_official(state, layout))


def unsaid(model: VisionTransformer, layout: Layout) -> dict[str, Any]:
    """What a layout does not hold of a model and ``load_vit`` would take otherwise: state dicts are tensors and nothing else."""
    if layout in ("medvl", "hf"):
        return {}
    assumed = {"heads": model.embed_dim // HEAD_WIDTH, **_means(IMAGENET_MEAN, IMAGENET_STD, model.in_channels)}
    return {name: model.config[name] for name, value in assumed.items() if model.config[name] != value}


def _read_config(path: Path) -> dict[str, Any] | None:
    """The configuration in a folder; none for a file."""
    if not path.exists():
        raise MissingFile(path, "Name the folder or file of a vision transformer")
    if path.is_file():
        return None
    file = path / CONFIG
    if not file.is_file():
        raise MissingFile(file, "Is this the folder of a vision transformer?")
    try:
        config = json.loads(file.read_text())
    except ValueError as error:
        raise InvalidValue(file, "JSON", str(error)) from error
    if not isinstance(config, dict) or (config.get("architecture") != ARCHITECTURE and config.get("model_type") not in HF_TYPES):
        raise InvalidValue(file, "field 'architecture' or 'model_type'", f"is neither {ARCHITECTURE!r} nor one of {', '.join(HF_TYPES)}")
    return config


def _own_arguments(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in ("architecture", "schema_version")}


def _weights_of(path: Path) -> Path:
    if path.is_file():
        return path
    found = next((path / name for name in HF_WEIGHTS if (path / name).is_file()), None)
    if found is None:
        raise MissingFile(path / WEIGHTS, "Is this the folder of a vision transformer?")
    return found


def _read_tensors(path: Path) -> dict[str, Any]:
    """All tensors of a file, or of the shards that an index names."""
    try:
        if path.suffix == ".json":
            shards = sorted(set(json.loads(path.read_text())["weight_map"].values()))
            return {name: tensor for shard in shards for name, tensor in _read_tensors(path.parent / Path(shard).name).items()}
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise MissingFile(path, "A shard of the model is not there") from error
    except pickle.UnpicklingError as error:
        raise InvalidValue(path, "pickle", "holds more than weights, or is damaged; save the state dict alone and load that") from error
    except (SafetensorError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise InvalidValue(path, "tensors", str(error).splitlines()[0]) from error
    for name in NESTED:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            return found[name]
    if not isinstance(found, dict):
        raise InvalidValue(path, "content", f"expected a state dict, found {type(found).__name__}")
    return found


def _statistics(folder: Path, channels: int) -> dict[str, Any]:
    """Mean and standard deviation that a processor's configuration beside the weights states; ImageNet's without."""
    file = folder / PROCESSOR
    if not file.is_file():
        logger.info("%s: no %s beside the weights, ImageNet's mean and standard deviation are taken", folder, PROCESSOR)
    processor = json.loads(file.read_text()) if file.is_file() else {}
    return _means(processor.get("image_mean", IMAGENET_MEAN), processor.get("image_std", IMAGENET_STD), channels)


def _means(mean: Sequence[float], std: Sequence[float], channels: int) -> dict[str, list[float]]:
    """Both for so many channels: their averages where there are others."""
    values = {"mean": mean, "std": std}
    return {name: list(value) if len(value) == channels else [sum(value) / len(value)] * channels for name, value in values.items()}


def _with_channels(state: State, arguments: dict[str, Any], channels: int) -> State:
    """Change the kernels' input channels; ``arguments`` follow."""
    if arguments.get("stem", "patch") != "patch":
        raise ValueError("a convolutional stem cannot change its channels")
    state, mean, std = to_channels(state, channels, arguments["mean"], arguments["std"])
    arguments |= {"in_channels": channels, "mean": mean, "std": std}
    return state


def _report(model: VisionTransformer, state: State, layout: Layout, path: Path, allow_partial: bool) -> LoadReport:
    """Compare a file's tensors with the model's; a mask token that the layout may lack is added to ``state``."""
    wanted = model.state_dict()
    if layout == "hf":
        state.setdefault("mask_token", torch.zeros_like(wanted["mask_token"]))  # models without masking have none
    for name in sorted(wanted.keys() & state.keys()):
        if wanted[name].shape != state[name].shape:
            shapes = f"has shape {tuple(state[name].shape)}, the model {tuple(wanted[name].shape)}"
            raise InvalidValue(path, f"tensor {name!r}", f"{shapes}: weights of another width or depth than the configuration says")
    matched, missing, unexpected = wanted.keys() & state.keys(), wanted.keys() - state.keys(), state.keys() - wanted.keys()
    report = LoadReport(layout, *(tuple(sorted(names)) for names in (matched, missing, unexpected)))
    if not matched or ((missing or unexpected) and not allow_partial):
        raise PartialCheckpoint(path, report)
    logger.info("%s, %s", path, report)
    return report


def _save_hf(model: VisionTransformer, state: State, folder: Path) -> None:
    config = model.config
    if config["mlp_ratio"] != int(config["mlp_ratio"]):
        raise UserError(f"{folder}: the layout 'hf' takes whole MLP ratios, this model has {config['mlp_ratio']}")
    registers = config["registers"]
    if config["layer_scale"] is None:  # theirs always scales
        ones = torch.ones(config["width"], dtype=state["norm.weight"].dtype)
        state |= {f"blocks.{i}.ls{n}.gamma": ones.clone() for i in range(config["depth"]) for n in (1, 2)}
    values = {
        "architectures": ["Dinov2WithRegistersModel" if registers else "Dinov2Model"],
        "model_type": HF_TYPES[1] if registers else HF_TYPES[0],
        "hidden_size": config["width"],
        "num_hidden_layers": config["depth"],
        "num_attention_heads": config["heads"],
        "mlp_ratio": int(config["mlp_ratio"]),
        "use_swiglu_ffn": config["mlp"] == "swiglu",
        "image_size": config["image_size"],
        "patch_size": config["patch_size"],
        "num_channels": config["in_channels"],
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
        "layerscale_value": 1.0,
        "hidden_act": "gelu",
        **({"num_register_tokens": registers} if registers else {}),
    }
    write_json(folder / CONFIG, values)
    write_json(folder / PROCESSOR, _processor(model))
    _write_tensors(folder / WEIGHTS, from_official(state, "hf"))


def _processor(model: VisionTransformer) -> dict[str, Any]:
    """Preprocessing as RAD-DINO's: shorter side to the native size, centre crop, standardise."""
    side = model.config["image_size"]
    return {
        "image_processor_type": "BitImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 3,  # bicubic
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": model.config["mean"],
        "image_std": model.config["std"],
        "do_convert_rgb": model.in_channels == 3,
    }


def _write_tensors(path: Path, state: State) -> None:
    if path.suffix not in (".safetensors", ".pth", ".pt", ".bin"):
        raise UserError(f"{path}: name a .safetensors, .pth, .pt or .bin file for the weights")
    with atomic_path(path) as temporary:
        if path.suffix == ".safetensors":
            save_file(state, temporary, metadata={"format": "pt"})
        else:
            torch.save(state, temporary)
