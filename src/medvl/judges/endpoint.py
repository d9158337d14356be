"""A judge behind any OpenAI-compatible endpoint: vLLM, llama.cpp, Ollama, OpenAI, Azure.

As many workers as may call at once take questions from one queue, so that no worker waits while another has questions left. Overload
(429, 5xx, time-outs, lost connections) is waited out, see ``throttle``; a reply that cannot be used is complained of at once by the worker
that got it. Answers come in the form of a JSON schema where the server can hold the model to it.

The ``openai`` client makes address, keys and errors; the body of a request is bytes of our own, because the client would validate and
render the same examples anew for every call. It follows no redirect, and to loopback it goes through no proxy.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn
from urllib.parse import urlsplit

from medvl.judges.judge import EntailmentQuery, SplitReport, Verdict
from medvl.judges.language_model import Exchange, LanguageModelJudge
from medvl.judges.progress import progress_bar
from medvl.judges.replies import SCHEMAS
from medvl.judges.throttle import Throttle, pause_after
from medvl.records import PrivacyPolicy
from medvl.runtime.errors import UserError
from medvl.runtime.privacy import PrivacyError, is_loopback, require_may_leave

if TYPE_CHECKING:
    from openai import AsyncOpenAI

StructuredOutput = Literal["auto", "json_schema", "none"]
LOST = "endpoint"  # the failure of a question that the server did not answer, while it answered others


class EndpointError(UserError):
    """The endpoint is down, refuses us, or is not what it should be."""


class _TryAgain(Exception):
    """A call that was refused or lost, and may go through later."""

    def __init__(self, problem: str, *, after: float | None = None, overloaded: bool = False, down: bool = False) -> None:
        super().__init__(problem)
        self.after, self.overloaded, self.down = after, overloaded, down


class _NotThis(Exception):
    """A request that the server finds wrong, or answers with something else."""


class _NoSchema(_NotThis):
    """A request that the server finds wrong, perhaps for its schema."""


class EndpointJudge(LanguageModelJudge):
    """Asks a chat model over HTTP; see the module.

    Attributes:
        base_url: where the endpoint is.
        local: whether it is on this machine's loopback.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key_env: str | None = None,
        azure_api_version: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        structured: StructuredOutput = "auto",
        revision: str = "",
        batch: int = 1,
        retries: int = 2,
        concurrency: int = 16,
        timeout: float = 300.0,
        attempts: int = 8,
        cache: Path | str | None = None,
        prompt_folder: Path | str | None = None,
        allow_remote: Mapping[str, Literal["zero_retention"]] | None = None,
        progress: bool = True,
    ) -> None:
        """Name the endpoint; nothing is sent yet.

        Args:
            base_url: e.g. ``http://127.0.0.1:8000/v1``; for Azure the resource, ``https://<name>.openai.azure.com``.
            model: the model's name there; for Azure the deployment.
            api_key_env: name of the environment variable that holds the key.
            azure_api_version: makes this an Azure endpoint, e.g. ``2024-10-21``.
            parameters: of every request, as the endpoint names them; temperature 0 and at most 2,048 tokens by default.
            structured: ``auto`` asks for JSON by schema until the server refuses that; ``json_schema`` insists; ``none`` never asks.
            revision: another word for the cache where another model serves under the same name.
            batch, retries, cache, prompt_folder: see ``LanguageModelJudge``.
            concurrency: the most calls at once.
            timeout: seconds for one call.
            attempts: how often a refused or lost call is made in all.
            allow_remote: datasets that may go to this endpoint elsewhere, each with the terms on which; recorded in ``allowances``.
            progress: show a bar on a terminal.

        Raises:
            EndpointError: if the address is not an HTTP address, or the key is not in the environment.
        """
        if urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).hostname:
            raise EndpointError(f"base_url={base_url!r} is not an address such as http://127.0.0.1:8000/v1")
        if concurrency < 1 or attempts < 1:
            raise EndpointError(f"concurrency and attempts must be at least 1, got {concurrency} and {attempts}")
        self.parameters = {"temperature": 0.0, "max_tokens": 2048} if parameters is None else dict(parameters)
        settings = {"parameters": self.parameters, "structured": structured, "revision": revision}
        super().__init__(
            f"endpoint:{model}", model, settings=settings, retries=retries, batch=batch, cache=cache, prompt_folder=prompt_folder
        )
        self.base_url, self.local = base_url.rstrip("/"), is_loopback(base_url)
        self.azure_api_version, self.structured = azure_api_version, structured
        self.concurrency, self.timeout, self.attempts, self.progress = concurrency, timeout, attempts, progress
        self.allow_remote = dict(allow_remote or {})
        self._key_of_endpoint = _api_key(api_key_env)
        self._admitted = self.local
        self._with_schema = structured != "none"
        self._last_success = -1.0

    def admit(self, policy: PrivacyPolicy, *, dataset: str) -> None:
        """Refuse data that must not go to an endpoint elsewhere; nothing is sent, nor is a socket opened.

        Raises:
            PrivacyError: naming dataset, endpoint and ``judge.allow_remote``, unless the endpoint is on loopback, the policy is
                ``public``, or the user allows the dataset; the last is kept in ``allowances``.
        """
        if self.local:
            return
        terms = self.allow_remote.get(dataset)
        mend = f"Use an endpoint on this machine, or, if it keeps nothing, allow it: judge.allow_remote={{{dataset}: zero_retention}}"
        allowed = terms == "zero_retention"
        require_may_leave(policy, what=f"dataset {dataset}", to=self.base_url, allowed=allowed, mend=mend)
        if policy != "public":
            self.allowances[dataset] = f"{policy} dataset to {self.base_url}, as {terms}"
        self._admitted = True

    def entail(self, queries: Sequence[EntailmentQuery]) -> list[Verdict]:
        """One verdict per query.

        Raises:
            PrivacyError: if the endpoint is elsewhere and nothing was admitted.
            EndpointError: if it is down or refuses us; all answers so far are in the cache.
        """
        self._require_admitted()
        return super().entail(queries)

    def split(self, reports: Sequence[str], *, language: str = "en") -> list[SplitReport]:
        """One split report per report; raises as ``entail``."""
        self._require_admitted()
        return super().split(reports, language=language)

    def ask(self, prompts: Sequence[str], *, usable: Callable[[str], bool] | None = None) -> list[str | None]:
        """One reply per prompt; raises as ``entail``."""
        self._require_admitted()
        return super().ask(prompts, usable=usable)

    def complete(self, exchanges: Sequence[Exchange], finished: Callable[[Exchange], None]) -> None:
        """Ask the endpoint; raises as ``entail``."""
        _run(self._complete(exchanges, finished))

    def _require_admitted(self) -> None:
        if not self._admitted:
            raise PrivacyError(f"{self.base_url} is not on this machine and no dataset was admitted to it: call admit(policy, dataset=…)")

    async def _complete(self, exchanges: Sequence[Exchange], finished: Callable[[Exchange], None]) -> None:
        queue = deque(exchanges)
        throttle = Throttle(min(self.concurrency, len(queue)))
        self._last_success = -1.0
        async with self._client() as client:
            with progress_bar(len(queue), f"asking {self.model}", shown=self.progress) as advance:

                async def work() -> None:
                    while queue:
                        exchange = queue.popleft()
                        await self._exchange(client, throttle, exchange)
                        finished(exchange)
                        advance()

                try:
                    async with asyncio.TaskGroup() as workers:
                        for _ in range(throttle.most):
                            workers.create_task(work())
                except BaseExceptionGroup as group:  # the first error is the one to tell; the others are its like
                    raise group.exceptions[0] from None

    async def _exchange(self, client: AsyncOpenAI, throttle: Throttle, exchange: Exchange) -> None:
        """Ask until the exchange is finished."""
        began = time.monotonic()
        refusals, has_schema = 0, exchange.question.prompt.task in SCHEMAS
        with_schema = has_schema and self._with_schema
        while not exchange.finished:
            async with throttle:
                started = time.monotonic()
                try:
                    raw, usage = await self._call(client, exchange, with_schema=with_schema)
                except _TryAgain as problem:
                    pause = pause_after(refusals, said=problem.after)
                    throttle.refused(started, pause, everyone=problem.overloaded)
                    refusals += 1
                    if refusals == self.attempts:
                        return self._give_up(exchange, str(problem), down_since=began if problem.down else None)
                except _NoSchema:
                    with_schema, pause = False, 0.0
                except _NotThis as problem:
                    return self._give_up(exchange, str(problem))
                else:
                    self._last_success, pause = time.monotonic(), 0.0
                    self._with_schema &= with_schema or not has_schema  # what the server refuses is not tried again
                    throttle.succeeded()
                    exchange.take(raw, usage)
            await asyncio.sleep(pause)

    def _give_up(self, exchange: Exchange, problem: str, *, down_since: float | None = None) -> None:
        """This question alone is lost where others are answered; where none is (since ``down_since``), the endpoint is to blame."""
        if self._last_success < (0.0 if down_since is None else down_since):
            kept = f"; {self.cache} holds the answers so far, run again to go on" if self.cache else ""
            raise EndpointError(f"{self.base_url} (model {self.model!r}): {problem}{kept}")
        exchange.failure = LOST

    async def _call(self, client: AsyncOpenAI, exchange: Exchange, *, with_schema: bool) -> tuple[str, dict[str, int]]:
        """One request: the reply's text and its tokens.

        Raises:
            _TryAgain, _NotThis, EndpointError: if there is none.
        """
        import openai

        options: Any = {"headers": {"Content-Type": "application/json"}}
        self.counters["calls"] += 1
        try:
            content = self._body(exchange, with_schema=with_schema)
            return _reply(await client.post("/chat/completions", cast_to=str, content=content, options=options))
        except openai.APIStatusError as error:
            self._judge_status(error, with_schema=with_schema)
        except openai.APITimeoutError:
            raise _TryAgain(f"no answer within {self.timeout:g} s", overloaded=True, down=True) from None
        except openai.APIConnectionError as error:
            why = error.__cause__ or error
            raise _TryAgain(f"cannot be reached ({type(why).__name__}: {why}); is the server running?", down=True) from None

    def _judge_status(self, error: Any, *, with_schema: bool) -> NoReturn:
        """What an HTTP status says: try again, without schema, another question, or not at all."""
        said = _message(error)
        if error.status_code in (408, 409, 425, 429) or error.status_code >= 500:
            after = _retry_after(error.response.headers)
            raise _TryAgain(f"status {error.status_code}: {said}", after=after, overloaded=True, down=error.status_code != 429)
        if error.status_code in (400, 422) and with_schema and self.structured == "auto":
            raise _NoSchema
        if error.status_code in (400, 413, 422):
            hint = " (if it is the schema, judge.structured=auto asks without)" if with_schema else ""
            raise _NotThis(f"status {error.status_code}: {said}{hint}")
        raise EndpointError(f"{self.base_url} (model {self.model!r}): status {error.status_code}: {said}{self._mend(error.status_code)}")

    def _mend(self, status: int) -> str:
        """Which setting to look at."""
        if status in (401, 403):
            return " (is the key right? judge.api_key_env names the environment variable that holds it)"
        if status != 404:
            return ""
        if self.azure_api_version is not None:
            return " (look at judge.base_url, the resource, judge.model, the deployment, and judge.azure_api_version)"
        return " (look at judge.base_url, which usually ends in /v1, and judge.model, its name there)"

    def _body(self, exchange: Exchange, *, with_schema: bool) -> bytes:
        prompt = exchange.question.prompt
        head: dict[str, Any] = {"model": self.model, **self.parameters}
        if with_schema:
            schema = {"name": prompt.task, "strict": True, "schema": SCHEMAS[prompt.task]}
            head["response_format"] = {"type": "json_schema", "json_schema": schema}
        opened = json.dumps(head, ensure_ascii=False).encode().removesuffix(b"}")
        return opened + b', "messages": ' + prompt.conversation_bytes(exchange.question.text, exchange.unusable) + b"}"

    def _client(self) -> AsyncOpenAI:
        import openai

        http = openai.DefaultAsyncHttpxClient(timeout=self.timeout, follow_redirects=False, trust_env=not self.local)
        common: dict[str, Any] = {"api_key": self._key_of_endpoint, "max_retries": 0, "timeout": self.timeout, "http_client": http}
        if self.azure_api_version is None:
            return openai.AsyncOpenAI(base_url=self.base_url, **common)
        return openai.AsyncAzureOpenAI(
            azure_endpoint=self.base_url, azure_deployment=self.model, api_version=self.azure_api_version, **common
        )


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, from plain code or from inside a running loop (a notebook's)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    errors: list[BaseException] = []

    def in_own_loop() -> None:
        try:
            asyncio.run(work)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=in_own_loop, daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def _reply(body: str) -> tuple[str, dict[str, int]]:
    try:
        content = json.loads(body)
        choice = content["choices"][0]
        text = choice["message"]["content"] or ""
        usage = content.get("usage") or {}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise _NotThis("what it answers is not a chat completion") from None
    if not isinstance(text, str):
        raise _NotThis("what it answers is not a chat completion of text")
    return text, {name: usage[name] for name in ("prompt_tokens", "completion_tokens") if isinstance(usage.get(name), int)}


def _message(error: Any) -> str:
    """The server's own words, in one short line."""
    body = error.body if isinstance(error.body, dict) else {}
    return " ".join(str(body.get("message") or error.message).split())[:300]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from ``Retry-After`` or ``retry-after-ms``; a date is left to the back-off."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    return None


def _api_key(variable: str | None) -> str:
    """The key from the environment; a placeholder where none is named, so that no other key is sent by mistake."""
    if variable is None:
        return "none"
    if not os.environ.get(variable):
        raise EndpointError(f"the environment has no {variable}, which judge.api_key_env names: export {variable}=…")
    return os.environ[variable]
