"""UniCL: the published equation, InfoNCE where no label repeats, and the same over processes."""

import pytest
import torch
import torch.distributed as dist
from torch.nn.functional import normalize
from two_ranks import run_two_ranks

from medvl.objectives.contrastive import info_nce
from medvl.objectives.unicl import unicl_loss

LABELS = ["a", "b", "a", "c", "b", "a"]


def rows(seed):
    return normalize(torch.randn(6, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1)


def as_published(images, texts, labels, temperature):
    """The equation, term by term."""
    logits = images @ texts.T / temperature
    total = torch.zeros((), dtype=logits.dtype)
    for side in (logits, logits.T):
        for i, label in enumerate(labels):
            positives = [k for k, other in enumerate(labels) if other == label]
            total -= sum(side[i].log_softmax(dim=0)[k] for k in positives) / len(positives) / len(labels) / 2
    return total


def test_the_loss_is_the_published_equation():
    loss = unicl_loss(rows(0).float(), rows(1).float(), LABELS, temperature=0.2)

    assert loss.item() == pytest.approx(as_published(rows(0), rows(1), LABELS, 0.2).item(), rel=1e-5)


def test_where_no_label_repeats_it_is_clip():
    images, texts = rows(0), rows(1)

    loss = unicl_loss(images, texts, [f"study/{i}" for i in range(6)], temperature=0.2)

    assert loss.item() == pytest.approx(info_nce(images @ texts.T, temperature=0.2).item(), rel=1e-6)
    assert not torch.allclose(loss, unicl_loss(images, texts, LABELS, temperature=0.2))


def test_rows_of_one_label_that_coincide_reach_the_entropy_of_the_target():
    images = torch.eye(6)[[0, 1, 0, 2, 1, 0]]

    loss = unicl_loss(images, images, LABELS, temperature=0.01)

    sizes = torch.tensor([3.0, 2, 3, 1, 2, 3])
    assert loss.item() == pytest.approx(sizes.log().mean().item(), abs=1e-5)


def test_a_row_lacks_nothing():
    with pytest.raises(ValueError, match="6, 6 and 5"):
        unicl_loss(rows(0), rows(1), LABELS[:5], temperature=0.2)


def run_rank(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    share = slice(3 * rank, 3 * rank + 3)
    images, texts = rows(0)[share].clone().requires_grad_(), rows(1)[share].clone().requires_grad_()
    loss = unicl_loss(images, texts, LABELS[share], temperature=0.2, gather=True)
    loss.backward()
    gradients = {"images": images.grad / 2, "texts": texts.grad / 2}  # as DDP averages
    torch.save({"loss": loss.detach(), **gradients}, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.distributed
def test_two_processes_have_the_loss_and_the_gradients_of_one(tmp_path):
    images, texts = rows(0).requires_grad_(), rows(1).requires_grad_()
    loss = unicl_loss(images, texts, LABELS, temperature=0.2)
    loss.backward()
    run_two_ranks(run_rank, tmp_path)

    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]

    assert [rank["loss"].item() for rank in ranks] == pytest.approx([loss.item()] * 2, rel=1e-6)
    assert torch.allclose(torch.cat([rank["images"] for rank in ranks]), images.grad, atol=1e-7)
    assert torch.allclose(torch.cat([rank["texts"] for rank in ranks]), texts.grad, atol=1e-7)
