"""Cached gradients under DDP: two processes compute what one does, and reduce once a step."""

import multiprocessing

import pytest
import torch
import torch.distributed as dist
from small_pair import Pair, assert_same, pairs, step
from torch.nn.parallel import DistributedDataParallel

from medvl.training.cached_gradients import split_batch

pytestmark = [pytest.mark.slow, pytest.mark.distributed]


def run_rank(number, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=number, world_size=2)
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
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=run_rank, args=(number, tmp_path)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=240)
        process.kill()
    plain = step(Pair(), pairs(12))

    for number in range(2):
        for result in torch.load(tmp_path / f"{number}.pt", weights_only=True):
            found = {name.removeprefix("module."): gradient for name, gradient in result["gradients"].items()}
            assert_same((result["loss"], found), plain)
            assert result["reductions"]
            assert result["reductions"] == list(range(len(result["reductions"])))  # each bucket once
