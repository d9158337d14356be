"""Part of the DINO benchmark: the same train step of building blocks of lightly 1.6 and timm, as in lightly's DINOv2 example."""

from __future__ import annotations

from typing import Any

import torch
from official_dinov2 import OfficialStep
from torch import Tensor, nn

Batch = dict[str, Any]


class LightlyStep:
    """Whole train steps on the official batch; a call returns the losses at its start."""

    def __init__(self, batch: Batch, *, prototypes: int, drop_path: float) -> None:
        from lightly.loss import DINOLoss, IBOTPatchLoss, KoLeoLoss

        self.student, self.student_head = _network(prototypes, drop_path)
        self.teacher, self.teacher_head = _network(prototypes, 0.0)
        self.teacher.load_state_dict(self.student.state_dict())
        self.teacher_head.load_state_dict(self.student_head.state_dict())
        for network in (self.teacher, self.teacher_head):
            network.requires_grad_(False).eval()
        self.dino = DINOLoss(output_dim=prototypes, teacher_temp=0.04, warmup_teacher_temp=0.04)
        self.ibot, self.koleo = IBOTPatchLoss(output_dim=prototypes), KoLeoLoss()
        self.parameters = [*self.student.parameters(), *self.student_head.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4)
        masks: Tensor = batch["collated_masks"]
        self.columns = torch.cat([masks.new_zeros(len(masks), 1), masks], dim=1)  # with the class token's
        self.large, self.small, self.grid = batch["collated_global_crops"], batch["collated_local_crops"], int(masks.shape[1] ** 0.5)

    def start_from(self, official: OfficialStep) -> None:
        """Take the official weights of student and teacher; their names differ in the heads and the mask token."""
        for network, head, theirs in (
            (self.student, self.student_head, official.model.student),
            (self.teacher, self.teacher_head, official.model.teacher),
        ):
            state = theirs.backbone.state_dict()
            network.mask_token.data.copy_(state.pop("mask_token")[None])
            network.vit.load_state_dict(state)
            head.load_state_dict({name.replace("mlp.", "layers."): value for name, value in theirs.dino_head.state_dict().items()})

    def __call__(self) -> dict[str, float]:
        from lightly.models.utils import update_momentum

        images = len(self.large) // 2
        update_momentum(self.student, self.teacher, m=0.992)
        update_momentum(self.student_head, self.teacher_head, m=0.992)
        with torch.no_grad():
            seen = self.teacher.encode(self.large)
            targets, patch_targets = self.teacher_head(seen[:, 0]), self.teacher_head(seen[self.columns])
        tokens, small = self.student.encode(self.large, mask=self.columns), self.student.encode(self.small)
        outputs = [*self.student_head(tokens[:, 0]).chunk(2), *self.student_head(small[:, 0]).chunk(len(small) // images)]
        losses = {"dino": self.dino(teacher_out=list(targets.chunk(2)), student_out=outputs, teacher_temp=0.04)}
        masks = self.columns[:, 1:].unflatten(1, (self.grid, self.grid))
        losses["ibot"] = self.ibot(teacher_out=patch_targets, student_out=self.student_head(tokens[self.columns]), mask=masks)
        losses["koleo"] = sum((self.koleo(cls) for cls in tokens[:, 0].chunk(2)), start=torch.zeros(()))
        self.optimizer.zero_grad()
        (losses["dino"] + losses["ibot"] + 0.1 * losses["koleo"]).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 3.0)
        self.optimizer.step()
        return {name: float(value.detach()) for name, value in losses.items()}


def _network(prototypes: int, drop_path: float) -> tuple[nn.Module, nn.Module]:
    from lightly.models.modules import DINOv2ProjectionHead, MaskedVisionTransformerTIMM
    from timm.models import create_model

    sizes = {"img_size": 224, "dynamic_img_size": True, "init_values": 1e-5, "drop_path_rate": drop_path}
    backbone = create_model("vit_small_patch14_dinov2", pretrained=False, **sizes)
    return MaskedVisionTransformerTIMM(vit=backbone), DINOv2ProjectionHead(input_dim=384, output_dim=prototypes)
