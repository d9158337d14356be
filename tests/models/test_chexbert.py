"""CheXbert: the official layout loads strictly, and logits become labels."""

import pytest
import torch

from medvl.models.chexbert import CLASSES, FINDINGS, CheXbert, CheXbertLabeller, load_chexbert
from medvl.runtime.config import on_meta
from medvl.runtime.errors import InvalidValue, MissingFile

TINY = {"vocabulary_size": 12, "width": 8, "layers": 1, "heads": 2, "feed_forward": 16}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "no", "effusion", "edema", "##s", ".", "clear", "lungs"]


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(WORDS))
    return path


@pytest.fixture
def official(tmp_path):
    """A file of the official layout with random weights of a small model."""
    torch.manual_seed(0)
    model = CheXbert(**TINY).eval()
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    state["module.bert.embeddings.position_ids"] = torch.arange(512)[None]
    path = tmp_path / "chexbert.pth"
    torch.save({"model_state_dict": state, "epoch": 3}, path)
    return path, model


def test_the_published_model_has_the_tensors_of_the_official_file():
    with on_meta():
        names = set(CheXbert().state_dict())

    layer = {
        f"attention.{part}.{kind}"
        for part in ("self.query", "self.key", "self.value", "output.dense", "output.LayerNorm")
        for kind in ("weight", "bias")
    }
    layer |= {f"{part}.{kind}" for part in ("intermediate.dense", "output.dense", "output.LayerNorm") for kind in ("weight", "bias")}
    expected = {f"bert.encoder.layer.{i}.{name}" for i in range(12) for name in layer}
    expected |= {f"bert.embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")}
    expected |= {f"bert.{name}.{kind}" for name in ("embeddings.LayerNorm", "pooler.dense") for kind in ("weight", "bias")}
    expected |= {f"linear_heads.{i}.{kind}" for i in range(14) for kind in ("weight", "bias")}
    assert names == expected


def test_the_published_model_has_bert_bases_size_and_its_heads():
    with on_meta():
        model = CheXbert()

    assert sum(p.numel() for p in model.bert.parameters()) == 109_482_240
    assert [head.out_features for head in model.linear_heads] == [4] * 13 + [2]


def test_an_official_file_gives_the_labels_of_its_weights(official, vocabulary):
    path, saved = official

    labeller = load_chexbert(path, vocabulary, batch_size=2, model=CheXbert(**TINY))

    ids = torch.tensor([[2, 5, 6, 8, 9, 3]])  # no effusions .
    logits = saved(ids, torch.ones_like(ids))
    expected = {f: CLASSES[int(row.argmax())] for f, row in zip(FINDINGS, logits, strict=True)}
    assert labeller(["No  effusions.", "Edema", "clear lungs"])[0] == {f: v for f, v in expected.items() if v}


def test_padding_does_not_change_the_embedding(official, vocabulary):
    labeller = load_chexbert(official[0], vocabulary, model=CheXbert(**TINY))

    alone, together = labeller.embed(["edema"]), labeller.embed(["edema", "no effusions . clear lungs"])

    assert together[0] == pytest.approx(alone[0], abs=1e-6)


def test_long_reports_are_cut_at_512_pieces(official, vocabulary):
    labeller = load_chexbert(official[0], vocabulary, model=CheXbert(**TINY))

    assert len(labeller(["edema " * 600])) == 1


def test_a_missing_tensor_is_named(official, vocabulary):
    path, _ = official
    content = torch.load(path, weights_only=True)
    del content["model_state_dict"]["module.linear_heads.3.bias"]
    torch.save(content, path)

    with pytest.raises(InvalidValue, match=r"linear_heads\.3\.bias"):
        load_chexbert(path, vocabulary, model=CheXbert(**TINY))


def test_a_file_that_is_no_checkpoint_is_named(tmp_path, vocabulary):
    path = tmp_path / "chexbert.pth"
    path.write_bytes(b"not a checkpoint")

    with pytest.raises(InvalidValue, match=r"chexbert\.pth"):
        load_chexbert(path, vocabulary)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(MissingFile, match=r"absent\.pth"):
        load_chexbert(tmp_path / "absent.pth", tmp_path / "vocab.txt")
    with pytest.raises(MissingFile, match=r"vocab\.txt"):
        CheXbertLabeller(CheXbert(**TINY), tmp_path / "vocab.txt")
