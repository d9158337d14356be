"""The benchmark's endpoint on loopback, in a thread of the test; and one that answers each request as the test says."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.fake_endpoint import Endpoint, completion


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


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        return str(self.body["messages"][-1]["content"])


@dataclass
class Scripted(Endpoint):
    """Answers with a text, or with a status and an error's words; keeps what it was asked."""

    answer: Callable[[Request], str | tuple[str, str]]
    requests: list[Request] = field(default_factory=list)

    async def _answer(self, head: str, body: bytes) -> tuple[str, bytes]:
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        self.requests.append(Request(first.split(" ")[1], headers, json.loads(body)))
        said = self.answer(self.requests[-1])
        if isinstance(said, str):
            return "200 OK", completion(said)
        return said[0], json.dumps({"error": {"message": said[1]}}).encode()
