"""Cached gradients under DDP: two processes compute what one does, and reduce once a step."""

import pytest
import torch
import torch.distributed as dist
from small_pair import Pair, assert_same, pairs, step
from torch.nn.parallel import DistributedDataParallel
from two_ranks import run_two_ranks

from medvl.training.cached_gradients import split_batch

pytestmark = [pytest.mark.slow, pytest.mark.distributed]


def run_rank(number, folder):
    dist.init_process_group("gloo")
    reductions = []

    def counted(state, bucket):
        reductions.append(bucket.index())
        return dist.all_reduce(bucket.buffer().div_(2), async_op=True).get_future().then(lambda future: future.value()[0])

    model = DistributedDataParallel(Pair(chunk=2), find_unused_parameters=False)
    model.register_comm_hook(None, counted)
    results = []
    for _ in range(3):
        reductions.clear()
        loss, found = step(model, split_batch(pairs(12), 6)[number])
        results.append({"loss": loss, "gradients": found, "reductions": sorted(reductions)})
    torch.save(results, folder / f"{number}.pt")
    dist.destroy_process_group()


def test_two_processes_compute_what_one_does_and_reduce_once_a_step(tmp_path):
    run_two_ranks(run_rank, tmp_path)
    plain = step(Pair(), pairs(12))

    for number in range(2):
        for result in torch.load(tmp_path / f"{number}.pt", weights_only=True):
            found = {name.removeprefix("module."): gradient for name, gradient in result["gradients"].items()}
            assert_same((result["loss"], found), plain)
            assert result["reductions"]
            assert result["reductions"] == list(range(len(result["reductions"])))  # each bucket once
