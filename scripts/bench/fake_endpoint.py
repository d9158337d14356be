"""Part of the RadFact benchmark: a chat endpoint on loopback that answers by rule after a fixed latency, and fails when asked to.

POST …/chat/completions answers the last question of the conversation: an object with ``hypothesis`` (JSON or YAML) is entailed by those
reference phrases whose words overlap with its own by a Jaccard index of at least one half; any other text is a report, split after full
stops. GET /counters gives calls, the most at once, bytes and injected failures since the last GET /reset. A failure is a pure function of
the question and of how often it has come, so that every run meets the same ones.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
from collections import Counter
from typing import Any

WORD = re.compile(r"[a-z0-9]+")
SENTENCE = re.compile(r"(?<=[.])\s+")
RETRY = ("Your answer could not be used", "La respuesta no se puede usar")


class Endpoint:
    """The server's state: how slowly and how badly it answers, and what it has seen."""

    def __init__(self, latency: float, malformed: float, refused: float, invented: float) -> None:
        self.latency = latency
        self.failures = {"malformed": malformed, "refused": refused, "invented": invented}
        self.counters: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.open_calls = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive until the client closes it."""
        try:
            while request := await self._request(reader):
                status, body = await self._answer(*request)
                head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                more = "Retry-After: 0.2\r\n" if status.startswith("429") else ""
                writer.write(f"{head}{more}\r\n".encode() + body)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> tuple[str, bytes] | None:
        """Head and body of the next request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
        length = re.search(r"content-length: *(\d+)", head, re.IGNORECASE)
        body = await reader.readexactly(int(length[1])) if length else b""
        return head, body

    async def _answer(self, head: str, body: bytes) -> tuple[str, bytes]:
        path = head.split(" ", 2)[1]
        if path.endswith("/counters"):
            return "200 OK", json.dumps(self.counters).encode()
        if path.endswith("/reset"):
            self.counters.clear()
            self.seen.clear()
            return "200 OK", b"{}"
        self.open_calls += 1
        self.counters["calls"] += 1
        self.counters["bytes"] += len(body)
        self.counters["most_at_once"] = max(self.counters["most_at_once"], self.open_calls)
        question = last_question(json.loads(body)["messages"])
        failure = self._failure(question)
        try:
            await asyncio.sleep(self.latency)
        finally:
            self.open_calls -= 1
        if failure == "refused":
            return "429 Too Many Requests", b'{"error": {"message": "slow down"}}'
        return "200 OK", completion(reply(question, failure))

    def _failure(self, question: str) -> str | None:
        """The failure due for this question, if any: each kind takes its share of the unit interval."""
        self.seen[question] += 1
        digest = hashlib.sha256(f"{question} {self.seen[question]}".encode()).digest()
        draw = int.from_bytes(digest[:8], "big") / 2**64
        for kind, share in self.failures.items():
            if draw < share:
                self.counters[kind] += 1
                return kind
            draw -= share
        return None


def last_question(messages: list[dict[str, Any]]) -> str:
    """The last message of the user that asks something, rather than complaining of an answer."""
    return next(m["content"] for m in reversed(messages) if m["role"] == "user" and not m["content"].startswith(RETRY))


def reply(question: str, failure: str | None = None) -> str:
    """What the endpoint says, in JSON, which is YAML as well."""
    if failure == "malformed":
        return "I am afraid that I cannot say."
    query = _mapping(question)
    if "hypotheses" in query:
        return json.dumps({"verdicts": [verdict(query["reference"], hypothesis) for hypothesis in query["hypotheses"]]})
    if "hypothesis" in query:
        found = verdict(query["reference"], query["hypothesis"])
        return json.dumps({**found, "evidence": ["Nobody wrote this."], "status": "entailment"} if failure == "invented" else found)
    sentences = [sentence.strip() for sentence in SENTENCE.split(question) if sentence.strip()]
    return json.dumps({"sentence_list": [{"orig": sentence, "new": [sentence]} for sentence in sentences]})


def verdict(reference: list[str], hypothesis: str) -> dict[str, Any]:
    """The overlap rule."""
    words = set(WORD.findall(hypothesis.lower()))
    evidence = [phrase for phrase in reference if _jaccard(words, set(WORD.findall(phrase.lower()))) >= 0.5]
    return {"phrase": hypothesis, "evidence": evidence, "status": "entailment" if evidence else "not_entailment"}


def completion(content: str) -> bytes:
    """A chat completion of one choice."""
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    body = {"id": "fake", "object": "chat.completion", "created": 0, "model": "fake", "choices": [choice], "usage": usage}
    return json.dumps(body).encode()


def _jaccard(first: set[str], second: set[str]) -> float:
    return len(first & second) / len(first | second) if first or second else 0.0


def _mapping(question: str) -> dict[str, Any]:
    """The question as an object, from JSON or YAML; an empty one where it is plain text."""
    try:
        parsed = json.loads(question)
    except ValueError:
        parsed = _yaml(question) if "hypothesis:" in question else {}
    return parsed if isinstance(parsed, dict) else {}


def _yaml(question: str) -> Any:
    import yaml

    return yaml.safe_load(question)


async def main() -> None:
    """Serve until killed; the first line of output is the port."""
    parser = argparse.ArgumentParser(description="a chat endpoint on loopback that answers by rule")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds per call")
    for kind in ("malformed", "refused", "invented"):
        parser.add_argument(f"--{kind}", type=float, default=0.0, help=f"share of calls that are {kind}")
    options = parser.parse_args()
    endpoint = Endpoint(options.latency, options.malformed, options.refused, options.invented)
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0, limit=2**22, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
