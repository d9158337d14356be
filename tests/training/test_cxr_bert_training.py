"""Text pre-training: phases I and II learn, resume exactly, hand over vocabulary and weights, and train over two processes as in one.

That is in float64: the gradients of section matching are about 1e-6 here, of whose rounding in float32 Adam makes whole steps.
"""

import json
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from cohort import write_cohort
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins.precision import DoublePrecision
from two_ranks import run_two_ranks

from medvl.data.module import RadiographDataModule
from medvl.data.prepare import prepare
from medvl.data.samples import ImageTextSamples
from medvl.data.text_samples import PackedTextSamples, ReportTextSamples
from medvl.models.checkpoints import load_cxr_bert
from medvl.models.cxr_bert import CxrBert
from medvl.runtime.errors import InvalidValue, MissingFile, UserError
from medvl.training.checkpoints import AtomicCheckpointIO
from medvl.training.cxr_bert import CxrBertTraining

STEPS = 12
SIZES = {"width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "max_length": 32, "projection_size": 8}
SAMPLES = {
    "I": partial(PackedTextSamples, sections=["findings", "impression"], max_length=16),
    "II": partial(ReportTextSamples, shuffle_splits=["train"]),
}

pytestmark = [pytest.mark.filterwarnings(f"ignore:.*{words}.*") for words in ("many workers", "logging interval", "litlogger")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    prepare(write_cohort(root / "images", patients=20), root / "out", inputs={}, image_size=8, progress=False)
    return root / "out"


def training(phase, *, dropout=0.1, vocabulary_size=96, width=16, **options):
    torch.manual_seed(0)
    model = CxrBert(**{**SIZES, "vocabulary_size": vocabulary_size, "width": width, "dropout": dropout})
    weights = {"mlm_weight": 1.0, "section_matching_weight": 1.0 if phase == "II" else 0.0, "temperature": 0.5, "mask_share": 0.3}
    optimizer = {"steps": STEPS, "learning_rate": 1e-2, "weight_decay": 0.01, "warmup_steps": 2, "seed": 0}
    return CxrBertTraining(model, **{**optimizer, **weights, **options})


def data(folder, phase, **options):
    return RadiographDataModule(**{"folder": folder, "samples": SAMPLES[phase], "batch_size": 8, "crop": 1, "seed": 5, **options})


class Record(Callback):
    def __init__(self, out, save_at):
        self.out, self.save_at, self.losses, self.samples = out, save_at, [], []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.losses.append(float(trainer.callback_metrics["train/loss"]))
        self.samples.append(batch["sample_id"])
        if trainer.global_step == self.save_at:
            trainer.save_checkpoint(self.out / "last.ckpt")


class Double(DoublePrecision):
    """Float64 all through: also where model and losses go to float32 for the sake of half precision. The batch is text."""

    def convert_input(self, data):
        return data

    @contextmanager
    def forward_context(self):
        with super().forward_context(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.Tensor, "float", torch.Tensor.double)
            yield


def fit(module, batches, out, *, steps=STEPS, save_at=None, checkpoint=None, processes=1, validate=False, plugins=()):
    module.prepare(out, batches)
    record = Record(out, save_at)
    trainer = Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        max_steps=steps,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=1.0 if validate else 0,
        callbacks=[record],
        plugins=[AtomicCheckpointIO(), *plugins],
    )
    trainer.fit(module, datamodule=batches, ckpt_path=checkpoint, weights_only=True)
    return record, trainer


def same_weights(first, second):
    theirs = second.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in first.state_dict().items())


@pytest.mark.slow
def test_phase_one_and_two_lower_their_losses_and_hand_over(folder, tmp_path):
    torch.set_num_threads(1)
    first = training("I")
    record, trainer = fit(first, data(folder, "I"), tmp_path / "I", validate=True)
    first.export(tmp_path / "I" / "model")

    assert sum(record.losses[-3:]) < sum(record.losses[:3])
    assert {"val/loss", "val/mlm_loss", "val/mlm_accuracy"} <= trainer.callback_metrics.keys()
    assert "val/section_matching_loss" not in trainer.callback_metrics

    second = training("II", init_from=str(tmp_path / "I" / "model"))
    facts = second.prepare(tmp_path / "II", data(folder, "II"))
    assert same_weights(second.model, load_cxr_bert(tmp_path / "I" / "model"))
    assert (tmp_path / "II" / "tokenizer.json").read_text() == (tmp_path / "I" / "tokenizer.json").read_text()
    assert facts["fertility"]["words"] == pytest.approx(16.0)  # 13 of the findings, 3 of the impression, full stops among them
    record, trainer = fit(second, data(folder, "II"), tmp_path / "II", validate=True)
    second.export(tmp_path / "II" / "model")

    assert sum(record.losses[-3:]) < sum(record.losses[:3])
    assert {"val/section_matching_loss", "val/section_recall_at_1", "val/mlm_accuracy"} <= trainer.callback_metrics.keys()
    assert load_cxr_bert(tmp_path / "II" / "model").embed_texts(["No effusion."]).shape == (1, 8)


@pytest.mark.slow
@pytest.mark.parametrize("phase", SAMPLES)
def test_a_resumed_run_ends_with_the_same_weights(phase, folder, tmp_path):
    torch.set_num_threads(1)
    whole, rest = training(phase), training(phase)

    record, _ = fit(whole, data(folder, phase), tmp_path, save_at=7)
    tail, _ = fit(rest, data(folder, phase), tmp_path, checkpoint=str(tmp_path / "last.ckpt"))

    assert tail.samples == record.samples[7:]
    assert tail.losses == record.losses[7:]
    assert same_weights(whole, rest)


def run_rank(rank, folder, out):
    for phase in SAMPLES:
        module = training(phase, dropout=0.0)
        record, _ = fit(module, data(folder, phase), out / phase, processes=2, plugins=[Double()])
        weights = torch.cat([tensor.flatten() for tensor in module.state_dict().values()]).tolist()
        (out / f"{phase}-{rank}.json").write_text(json.dumps({"losses": record.losses, "samples": record.samples, "weights": weights}))


@pytest.mark.slow
@pytest.mark.distributed
def test_two_processes_train_as_one(folder, tmp_path):
    torch.set_num_threads(1)
    run_two_ranks(run_rank, folder, tmp_path, timeout=600)

    for phase in SAMPLES:
        module = training(phase, dropout=0.0)
        single, _ = fit(module, data(folder, phase), tmp_path / f"single-{phase}", plugins=[Double()])
        first, second = (json.loads((tmp_path / f"{phase}-{rank}.json").read_text()) for rank in range(2))
        assert [a + b for a, b in zip(first["samples"], second["samples"], strict=True)] == single.samples
        losses = [(a + b) / 2 for a, b in zip(first["losses"], second["losses"], strict=True)]
        assert losses == pytest.approx(single.losses, rel=1e-9)
        assert first["weights"] == second["weights"]
        alone = torch.cat([tensor.flatten() for tensor in module.state_dict().values()])
        assert first["weights"] == pytest.approx(alone.tolist(), abs=1e-9)


def test_terms_without_weight_leave_their_head_untrained(folder):
    frozen = {
        name: {n.split(".")[0] for n, p in training(phase, **weights).model.named_parameters() if not p.requires_grad}
        for name, phase, weights in (("I", "I", {}), ("II", "II", {}), ("matching", "II", {"mlm_weight": 0.0}))
    }

    assert frozen == {"I": {"cls_projection_head"}, "II": set(), "matching": {"cls"}}
    assert training("II", mlm_weight=0.0).model.bert.embeddings.word_embeddings.weight.requires_grad


def test_the_vocabulary_may_be_given(folder, tmp_path):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "heart", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n")
    module = training("II", vocabulary=str(tmp_path / "vocab.txt"))

    facts = module.prepare(tmp_path / "run", data(folder, "II"))

    assert facts["vocabulary_size"] == 7
    again = training("II", vocabulary=str(tmp_path / "run" / "tokenizer.json"))
    assert again.prepare(tmp_path / "again", data(folder, "II")) == facts


def test_wrong_inputs_are_refused(folder, tmp_path):
    batches = data(folder, "II")
    with pytest.raises(UserError, match="nothing to learn"):
        training("I", mlm_weight=0.0)
    with pytest.raises(UserError, match="brings its vocabulary"):
        training("II", vocabulary="vocab.txt", init_from="model")
    with pytest.raises(MissingFile, match=r"nowhere\.txt"):
        training("II", vocabulary=str(tmp_path / "nowhere.txt")).prepare(tmp_path / "a", batches)
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(InvalidValue, match="is not a tokenizer"):
        training("II", vocabulary=str(tmp_path / "broken.json")).prepare(tmp_path / "b", batches)
    with pytest.raises(UserError, match="text training needs ReportTextSamples or PackedTextSamples"):
        training("II").prepare(tmp_path / "c", data(folder, "II", samples=ImageTextSamples, crop=8))
    small = training("II")
    small.prepare(tmp_path / "d", batches)
    small.export(tmp_path / "small")
    with pytest.raises(InvalidValue, match="the same sizes"):
        training("II", width=32, init_from=str(tmp_path / "small")).prepare(tmp_path / "e", batches)


def test_matching_refuses_a_study_without_both_sections(folder, tmp_path):
    batches = data(folder, "II")
    module = training("II")
    module.prepare(tmp_path, batches)

    with pytest.raises(UserError, match="require=both"):
        module.validation_step({"sample_id": ["a"], "findings": ["Clear."], "impression": [None], "text": ["Clear."]}, 0)
