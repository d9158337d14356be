"""Two processes compute what one computes on their batches together."""

import pytest
import torch
import torch.distributed as dist
from official_inputs import numbers
from two_ranks import run_two_ranks

from medvl.objectives.dino import SoftmaxCentering
from medvl.objectives.koleo import koleo_loss
from medvl.objectives.sinkhorn import sinkhorn_knopp

pytestmark = [pytest.mark.slow, pytest.mark.distributed]
ROWS = {0: slice(0, 4), 1: slice(4, 10)}  # unequal, as the numbers of hidden patches are
HALVES = {0: slice(0, 5), 1: slice(5, 10)}


def run_rank(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    logits, features = numbers(10, 7, phase=1), numbers(10, 5, phase=6)[HALVES[rank]].requires_grad_()
    centering = SoftmaxCentering(7)
    centering.update(logits[ROWS[rank]])
    koleo = koleo_loss(features, gather=True)
    koleo.backward()
    results = {
        "sinkhorn": sinkhorn_knopp(logits[ROWS[rank]], temperature=0.1),
        "sinkhorn of none": sinkhorn_knopp(logits[:4] if rank == 0 else logits[:0], temperature=0.1),
        "center": centering.center,
        "koleo": koleo.detach(),
        "gradient": features.grad / 2,  # as DDP averages
    }
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    run_two_ranks(run_rank, folder)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_sinkhorn_knopp_balances_over_all_rows(ranks):
    expected = sinkhorn_knopp(numbers(10, 7, phase=1), temperature=0.1)

    assert torch.allclose(torch.cat([rank["sinkhorn"] for rank in ranks]), expected, atol=1e-6)


def test_sinkhorn_knopp_bears_a_process_without_rows(ranks):
    expected = sinkhorn_knopp(numbers(10, 7, phase=1)[:4], temperature=0.1)

    assert torch.allclose(ranks[0]["sinkhorn of none"], expected, atol=1e-6)
    assert ranks[1]["sinkhorn of none"].shape == (0, 7)


def test_the_centre_moves_towards_the_mean_of_all_rows(ranks):
    centering = SoftmaxCentering(7)
    centering.update(numbers(10, 7, phase=1))

    assert torch.allclose(ranks[0]["center"], centering.center, atol=1e-7)
    assert torch.equal(ranks[0]["center"], ranks[1]["center"])


def test_gathered_koleo_has_the_value_and_gradient_of_the_whole_batch(ranks):
    features = numbers(10, 5, phase=6).requires_grad_()
    loss = koleo_loss(features)
    loss.backward()

    assert [rank["koleo"].item() for rank in ranks] == pytest.approx([loss.item()] * 2, abs=1e-6)
    assert torch.allclose(torch.cat([rank["gradient"] for rank in ranks]), features.grad, atol=1e-6)
