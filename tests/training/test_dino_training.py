"""DINOv2 training: the teacher follows, schedules count optimiser steps, parts stay frozen, wrong input is refused at once."""

import json
from functools import partial

import pytest
import torch
from cohort import make_study, write_cohort
from dino_runs import CROP, PROTOTYPES, fit, small_batches, small_training
from lightning.pytorch.strategies import ModelParallelStrategy
from safetensors.torch import load_file, save_file

from medvl.data.prepare import prepare
from medvl.models.checkpoints import load_vit, save_vit
from medvl.models.dino_head import DinoHead
from medvl.models.vit import VisionTransformer
from medvl.runtime.errors import InvalidValue, MissingFile
from medvl.training.dino import DinoTraining, LossNotFinite
from medvl.training.dino_files import UnfitImages

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*logging interval.*", "ignore:.*litlogger.*", "ignore:.*in eval mode at the start.*"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    prepare(write_cohort(root / "images", patients=10), root / "out", inputs={}, image_size=40, progress=False)
    return root / "out"


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def weights(module):
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def changed(module, before):
    return {name for name, parameter in module.named_parameters() if not torch.equal(parameter, before[name])}


def test_the_teacher_follows_the_student_by_the_momentum(folder, tmp_path):
    training = small_training(schedule={"momentum": (0.9, 0.9), "warmup_steps": 0})
    before = weights(training.teacher)

    fit(training, small_batches(folder), tmp_path, steps=1)

    student = weights(training.student)
    moved = [name for name in before if not torch.equal(student[name], before[name])]
    assert "backbone.blocks.0.attn.qkv.weight" in moved
    assert "dino_head.last_layer.weight_v" in moved
    for name in moved:
        expected = 0.9 * before[name] + 0.1 * student[name]
        assert torch.allclose(dict(training.teacher.named_parameters())[name], expected, atol=1e-6)


def test_the_teacher_is_in_evaluation_mode_without_gradients(folder, tmp_path):
    training = small_training(model={"drop_path": 0.5})

    fit(training, small_batches(folder), tmp_path, steps=1)
    training.train()

    assert training.student.training
    assert not any(module.training for module in training.teacher.modules())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in training.teacher.parameters())


def test_batch_normalisation_of_the_teachers_heads_takes_the_batch_as_the_students(folder, tmp_path):
    training = small_training(head=partial(DinoHead, prototypes=PROTOTYPES, hidden_dim=16, bottleneck_dim=8, batch_norm=True))
    seen = []
    training.teacher.dino_head.mlp[-1].register_forward_hook(lambda module, *_: seen.append(module.training))
    training.teacher.backbone.register_forward_pre_hook(lambda module, _: seen.append(not module.training))

    fit(training, small_batches(folder), tmp_path, steps=2, limit_val_batches=0)

    assert seen
    assert all(seen)


@pytest.mark.parametrize("wanted", [True, False])
def test_batch_normalisation_of_sharded_heads_is_synchronised_if_the_trainer_wants_that(wanted, folder, tmp_path, monkeypatch):
    kinds = []
    for name in ("MASTER_ADDR", "MASTER_PORT", "RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE"):  # which the strategy sets
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(DinoTraining, "on_fit_start", lambda self: kinds.extend(type(module) for module in self.modules()))
    training = small_training(head=partial(DinoHead, prototypes=PROTOTYPES, hidden_dim=16, bottleneck_dim=8, batch_norm=True))

    try:
        fit(training, small_batches(folder), tmp_path, steps=0, strategy=ModelParallelStrategy(), sync_batchnorm=wanted)
    finally:
        torch.distributed.destroy_process_group()

    assert (torch.nn.SyncBatchNorm in kinds) == wanted
    assert (torch.nn.BatchNorm1d in kinds) != wanted


def test_schedules_count_the_optimisers_steps_and_the_rate_the_images_of_a_step(folder, tmp_path):
    alone, accumulated = small_training(), small_training()

    once, _ = fit(alone, small_batches(folder, batch_size=4), tmp_path / "a", steps=2)
    twice, trainer = fit(accumulated, small_batches(folder, batch_size=4), tmp_path / "b", steps=2, accumulate_grad_batches=2)

    assert trainer.global_step == 2
    assert len(twice.losses) == 4
    expected = alone.schedule.learning_rate_at(1, 4)
    assert once.rates[-1] == pytest.approx(expected)
    assert twice.rates[-1] == pytest.approx(expected * 2**0.5)


def test_a_frozen_backbone_stands_still_while_the_heads_learn(folder, tmp_path):
    training = small_training(schedule={"freeze_backbone_steps": 2})
    before = weights(training.student)

    fit(training, small_batches(folder), tmp_path, steps=2)

    assert {name.split(".")[0] for name in changed(training.student, before)} == {"dino_head", "ibot_head"}


def test_a_frozen_last_layer_stands_still(folder, tmp_path):
    training = small_training(schedule={"freeze_last_layer_steps": 2})
    before = weights(training.student)

    fit(training, small_batches(folder), tmp_path, steps=2)

    moved = changed(training.student, before)
    assert not any("last_layer" in name for name in moved)
    assert "dino_head.mlp.0.weight" in moved


def test_each_submodule_is_clipped_by_itself_or_all_together():
    for clip, bounded in (("submodule", ("backbone", "dino_head", "ibot_head")), ("network", ("",))):
        training = small_training(clip=clip)
        training.log = lambda *_: None
        for parameter in training.student.parameters():
            parameter.grad = torch.ones_like(parameter)

        training.configure_gradient_clipping(None, 0.5)

        for part in bounded:
            norms = [p.grad.norm() for name, p in training.student.named_parameters() if name.startswith(part)]
            assert float(torch.stack(norms).norm()) == pytest.approx(0.5, rel=1e-3)


def test_one_head_serves_class_tokens_and_patches_if_there_is_no_second(folder, tmp_path):
    training = small_training(shared_head=True)
    before = weights(training.student)

    fit(training, small_batches(folder), tmp_path, steps=1)

    assert training.student.ibot_head is None
    assert "backbone.mask_token" in changed(training.student, before)


def test_the_loss_falls(folder, tmp_path):
    training = small_training(schedule={"learning_rate": 2e-2, "warmup_steps": 2}, losses={"centering": "sinkhorn", "koleo_weight": 0.0})

    record, _ = fit(training, small_batches(folder), tmp_path, steps=20)

    assert sum(record.losses[-4:]) < 0.97 * sum(record.losses[:4])


def test_held_out_losses_move_no_centre(folder, tmp_path):
    training = small_training()
    batches = small_batches(folder, batch_size=4)
    training.prepare(tmp_path, batches)
    batch = next(iter(batches.val_dataloader()))
    before = training.losses.dino_center.center.clone()

    training.terms(batch, temperature=0.07, update_centers=False)

    assert torch.equal(training.losses.dino_center.center, before)
    training.terms(batch, temperature=0.07, update_centers=True)
    assert not torch.equal(training.losses.dino_center.center, before)


def test_a_last_batch_of_one_held_out_image_has_losses(folder, tmp_path):
    training, batches = small_training(), small_batches(folder, batch_size=1)
    training.prepare(tmp_path, batches)
    training.train(False)

    terms = training.terms(next(iter(batches.val_dataloader())), temperature=0.07, update_centers=False)

    assert float(terms["koleo"].detach()) == 0
    assert float(terms["loss"].detach()) == pytest.approx(float(terms["dino"].detach() + terms["ibot"].detach()))


def test_what_is_exported_is_the_teacher_with_its_grey_levels(folder, tmp_path):
    training = small_training()
    fit(training, small_batches(folder), tmp_path, steps=2)

    training.export(tmp_path / "model")

    levels = json.loads((tmp_path / "grey_levels.json").read_text())
    loaded, images = load_vit(tmp_path / "model"), torch.rand(2, 1, CROP, CROP)
    ours = training.teacher.backbone.eval()
    assert loaded.config["mean"] == pytest.approx([levels["mean"]])
    assert json.loads((tmp_path / "model" / "grey_levels.json").read_text()) == levels
    assert torch.equal(loaded.encode(loaded.standardize(images)).cls, ours.encode(ours.standardize(images)).cls)
    heads = load_file(tmp_path / "model" / "heads.safetensors")
    assert torch.equal(heads["dino_head.last_layer.weight_v"], training.teacher.dino_head.last_layer.weight_v)


def test_a_run_over_two_datasets_has_the_grey_levels_of_both(folder, tmp_path):
    studies = [make_study(tmp_path / "images", patient, 0, lateral=False) for patient in range(100, 105)]
    prepare(studies, tmp_path / "other", inputs={}, image_size=40, progress=False)
    batches = small_batches(folder, also=[tmp_path / "other"])

    fit(small_training(), batches, tmp_path, steps=1)

    levels = json.loads((tmp_path / "grey_levels.json").read_text())
    first, second = batches.parts("train")
    assert levels["images"] == len(first) + len(second)
    assert levels["source"] == f"train of {first.prepared.fingerprint} and {second.prepared.fingerprint}"


def test_a_run_starts_from_a_backbone_and_a_head(folder, tmp_path):
    first, second = small_training(seed=1), small_training(seed=2)
    first.export(tmp_path / "model")
    save_file({k: v.contiguous() for k, v in first.student.dino_head.state_dict().items()}, tmp_path / "head.safetensors")
    second.init_from, second.init_head_from = str(tmp_path / "model"), str(tmp_path / "head.safetensors")

    second.prepare(tmp_path, small_batches(folder))

    for network in (second.student, second.teacher):
        assert torch.equal(network.backbone.pos_embed, first.student.backbone.pos_embed)
        assert torch.equal(network.dino_head.mlp[0].weight, first.student.dino_head.mlp[0].weight)
        assert not torch.equal(network.ibot_head.mlp[0].weight, first.student.ibot_head.mlp[0].weight)


def test_a_checkpoint_of_another_width_is_refused_before_training(folder, tmp_path):
    save_vit(VisionTransformer(width=24, depth=2, heads=2, patch_size=8, image_size=32, in_channels=1), tmp_path / "wide")
    training = small_training(init_from=str(tmp_path / "wide"))

    with pytest.raises(InvalidValue, match=r"wide, tensor .*24.* the model of this run .*16.*choose model="):
        training.prepare(tmp_path, small_batches(folder))


def test_a_missing_head_is_named(folder, tmp_path):
    training = small_training(init_head_from=str(tmp_path / "none.safetensors"))

    with pytest.raises(MissingFile, match=r"none\.safetensors"):
        training.prepare(tmp_path, small_batches(folder))


def test_images_of_one_grey_level_are_refused_before_training(folder, tmp_path, monkeypatch):
    batches = small_batches(folder)
    read = type(batches.prepared).image
    monkeypatch.setattr(type(batches.prepared), "image", lambda self, view, writeable=False: read(self, view, writeable=True) * 0)

    with pytest.raises(UnfitImages, match=r"image 0 of .* is constant"):
        small_training().prepare(tmp_path, batches)


def test_a_loss_that_is_not_finite_ends_the_run(folder, tmp_path):
    training = small_training()
    torch.nn.init.constant_(training.student.backbone.norm.weight, float("nan"))

    with pytest.raises(LossNotFinite, match="step 0: lower training"):
        fit(training, small_batches(folder), tmp_path, steps=1)
