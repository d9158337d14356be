"""The benchmark's endpoint on loopback, in a thread of the test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bench.fake_endpoint import Endpoint


@contextmanager
def serving(endpoint: Endpoint) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(endpoint.serve, "127.0.0.1", 0, limit=2**20))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()


def endpoint(latency: float = 0.0, malformed: float = 0.0, refused: float = 0.0, invented: float = 0.0) -> Endpoint:
    return Endpoint(latency, malformed, refused, invented)
