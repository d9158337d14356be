"""Two processes of one gloo group, as ``torchrun`` would start them."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from typing import Any

import torch


def run_two_ranks(target: Callable[..., None], *arguments: Any, timeout: float = 240) -> None:
    """Call ``target(rank, *arguments)`` in two new processes that find each other, one torch thread each.

    Args:
        target: a function of a module, so that the processes can import it; it leaves its findings in files.
        timeout: seconds for each process; what still runs then is killed.

    Raises:
        AssertionError: naming the exit codes, if a process failed or did not end.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    ranks = [context.Process(target=_enter, args=(rank, port, target, arguments)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(timeout)
        process.kill()
        process.join()
    codes = [process.exitcode for process in ranks]
    assert codes == [0, 0], f"the two processes ended with {codes}"


def _enter(rank: int, port: int, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    facts = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": 2, "RANK": rank, "LOCAL_RANK": rank}
    os.environ.update({name: str(value) for name, value in {**facts, "TORCHELASTIC_RUN_ID": "test"}.items()})
    torch.set_num_threads(1)
    target(rank, *arguments)
