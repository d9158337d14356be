"""DaViT (Ding et al., ECCV 2022) as an image encoder: timm's network, with what an encoder says of its pixels and tokens.

Stages of alternating spatial-window and channel attention at strides 4, 8, 16 and 32. MedImageInsight's image tower is a DaViT with depths
(1, 1, 9, 1), widths (256, 512, 1024, 2048) and heads (8, 16, 32, 64), as timm's ``davit_huge``, but with windows of 12 at 480 pixels.
There is no class token: the mean of the last map, normalised as before DaViT's classifier, stands for it.

On disk: a folder of ``config.json`` (arguments of ``DavitTower``) and ``model.safetensors`` (timm's names).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from timm.models.davit import DaVit, WindowAttention
from torch import Tensor, nn

from medvl.models.attention import written_out_is_faster
from medvl.models.model_folders import CONFIG, WEIGHTS, load_strictly, own_config, own_tensors, save_folder
from medvl.models.vit import EncoderOutput, require_channels

ARCHITECTURE = "davit"


class DavitTower(nn.Module):
    """Images to one vector and a map of patch tokens.

    Args:
        widths, depths, heads: of the stages.
        window: side of the spatial attention's windows, in tokens.
        in_channels: 1 or 3.
        drop_path: rate of stochastic depth in the last block, rising to it from 0.
        mean, std: of the pixels in [0, 1] that the weights expect.
        checkpoint_activations: compute the stages' activations anew in the backward pass.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (256, 512, 1024, 2048),
        depths: Sequence[int] = (1, 1, 9, 1),
        heads: Sequence[int] = (8, 16, 32, 64),
        window: int = 12,
        in_channels: int = 3,
        drop_path: float = 0.0,
        mean: float = 0.5307,
        std: float = 0.2583,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self.config |= {"widths": list(widths), "depths": list(depths), "heads": list(heads)}
        require_channels(in_channels)
        self.embed_dim, self.in_channels = widths[-1], in_channels
        self.net = DaVit(
            in_chans=in_channels,
            depths=tuple(depths),
            embed_dims=tuple(widths),
            num_heads=tuple(heads),
            window_size=window,
            drop_path_rate=drop_path,
            num_classes=0,
        )
        self.net.set_grad_checkpointing(checkpoint_activations)
        self.set_statistics(mean, std)

    def set_statistics(self, mean: float, std: float) -> None:
        """Set the mean and standard deviation of the pixels in [0, 1] that the weights expect.

        Raises:
            ValueError: if the deviation is not positive.
        """
        if not std > 0:
            raise ValueError(f"a standard deviation is above 0, got {std}")
        self.config |= {"mean": float(mean), "std": float(std)}

    def standardize(self, images: Tensor) -> Tensor:
        """Images (B, 1 or C, H, W) in [0, 1] → (B, C, H, W) as the weights expect them; one channel is repeated.

        Raises:
            ValueError: if there is another number of channels.
        """
        if images.shape[1] not in (1, self.in_channels):
            raise ValueError(f"images have {images.shape[1]} channels, the encoder takes 1 or {self.in_channels}")
        return ((images - self.config["mean"]) / self.config["std"]).expand(-1, self.in_channels, -1, -1)

    def encode(self, pixels: Tensor, layers: Sequence[int] = (-1,), norm: bool = True) -> EncoderOutput:
        """The last stage's map.

        Args:
            pixels: (B, C, H, W), standardised; any H and W, padded at the right and at the bottom to whole windows.
            layers: only the last, ``(-1,)``: the stages before have other widths and grids.
            norm: whether the vector and each token are normalised as before the classifier.

        Raises:
            ValueError: for another layer.
        """
        if tuple(layers) != (-1,):
            raise ValueError(f"a DaViT has features of its last stage only, not of {list(layers)}: its stages differ in width and grid")
        self._choose_attention(pixels)
        maps = self.net.forward_features(pixels)  # (B, D, h, w)
        mean = maps.mean(dim=(2, 3), keepdim=True)
        if norm:
            last_norm = self.net.get_submodule("head.norm")
            maps, mean = last_norm(maps), last_norm(mean)
        return EncoderOutput(mean.flatten(1), (maps.flatten(2).transpose(1, 2),), (maps.shape[2], maps.shape[3]), (mean.flatten(1),))

    def _choose_attention(self, pixels: Tensor) -> None:
        """Have timm compute attention in the faster of its two ways."""
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else pixels.dtype
        for module in self.net.modules():
            if isinstance(module, WindowAttention):
                module.fused_attn = not written_out_is_faster(pixels.device, dtype)  # type: ignore[misc]  # Final, for torch.jit alone


def save_davit(model: DavitTower, folder: Path) -> None:
    """Write a tower's folder; each file atomically, the weights last."""
    save_folder(model.net, folder, {"architecture": ARCHITECTURE, **model.config})


def load_davit(folder: Path) -> DavitTower:
    """Read a tower's folder, in evaluation mode.

    Raises:
        MissingFile: naming the absent file.
        InvalidValue: naming the file and what does not fit.
    """
    config = own_config(folder, ARCHITECTURE, (CONFIG, WEIGHTS))
    with torch.random.fork_rng(devices=[]):
        model = DavitTower(**config)
    load_strictly(model.net, own_tensors(folder / WEIGHTS), folder / WEIGHTS)
    return model.eval()
