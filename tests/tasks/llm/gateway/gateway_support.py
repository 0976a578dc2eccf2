"""Shared by the tests of the gateway and its transports: clients and scripted servers."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import openai
import orjson
import pytest
from aiohttp import web

from article_flows.tasks.llm.gateway.gateway import Gateway
from article_flows.tasks.llm.limits.retry_policy import RetryPolicy
from article_flows.tasks.llm.protocol.chat import ChatTemplate, Completion
from article_flows.tasks.llm.protocol.errors import InvalidResponse, LLMError
from article_flows.tasks.llm.protocol.prices import Price
from article_flows.tasks.llm.protocol.request import Request, Result
from article_flows.tasks.llm.protocol.results import Answer, Parse, RequestFailed, RunStopped
from article_flows.tasks.llm.transports.base import Transport
from article_flows.tasks.llm.transports.http_transport import HttpTransport
from article_flows.tasks.llm.transports.openai_transport import OpenAITransport

KEY = "sk-proj-0123456789abcdef"
FAST = RetryPolicy(base_s=0.001, cap_s=0.01)
PATIENT = RetryPolicy(
    max_attempts=30, base_s=0.001, cap_s=0.01, max_invalid_responses=20, min_reasks=500
)
PRICE = Price.per_million(1.0, 2.0, 0.5)
TEMPLATE = ChatTemplate("extractive-v1", "Summarise the article.", 200)
JSON_TEMPLATE = ChatTemplate(
    "extractive-v1", "Answer in JSON.", 200, response_format={"type": "json_object"}
)

Make = Callable[..., Transport]
Ending = Answer | RequestFailed | RunStopped


def over_http(base_url: str, key: str | None = KEY, timeout_s: float = 5.0) -> Transport:
    return HttpTransport(base_url, key, timeout_s)


def over_openai(base_url: str, key: str | None = KEY, timeout_s: float = 5.0) -> Transport:
    client = openai.AsyncOpenAI(
        base_url=base_url, api_key=key or "none", max_retries=0, timeout=timeout_s
    )
    return OpenAITransport(client)


EVERY: list[Make] = [over_http, over_openai]


@asynccontextmanager
async def opened(transport: Transport) -> AsyncIterator[Transport]:
    try:
        yield transport
    finally:
        await transport.close()


async def error_of(make: Make, base_url: str, **more: Any) -> LLMError:
    """Return the error of a request; its traceback, as logged, must not contain the key."""
    async with opened(make(base_url, **more)) as transport:
        with pytest.raises(LLMError) as caught:
            await transport.complete(TEMPLATE, article(1))
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert KEY not in shown
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500
    return caught.value


@asynccontextmanager
async def gateway_to(
    base_url: str,
    *,
    make: Make = over_http,
    max_in_flight: int = 8,
    price: Price | None = PRICE,
    retry: RetryPolicy = FAST,
    timeout_s: float = 5.0,
    **more: Any,
) -> AsyncIterator[Gateway]:
    gateway = Gateway(
        make(base_url, timeout_s=timeout_s),
        max_in_flight=max_in_flight,
        price=price,
        retry=retry,
        **more,
    )
    try:
        yield gateway
    finally:
        await gateway.close()


def article(n: int) -> str:
    return f"<article>\nTitle: Number {n}\n\nThe council approved bridge number {n}.\n</article>"


def plain(completion: Completion) -> dict[str, Any]:
    """Return the text unchanged, as a recipe with a single plain field does."""
    if completion.finish_reason == "length":
        raise InvalidResponse("cut_off", "the answer was cut off")
    if not completion.text:
        raise InvalidResponse("empty", "the answer was empty")
    return {"summary": completion.text}


def as_json(completion: Completion) -> dict[str, Any]:
    try:
        return dict(orjson.loads(completion.text or ""))
    except ValueError as error:
        raise InvalidResponse("invalid_json", "the answer is not JSON") from error


class NoReceiver:
    """A receiver for requests that are never sent."""

    def receive(self, request: Request, result: Result) -> None:
        raise AssertionError("nothing is sent here")


async def stats_of(base_url: str, *, reset: bool = False) -> Any:
    """Return the mock endpoint's counts, after resetting them if requested."""
    method, path = ("POST", "/stats/reset") if reset else ("GET", "/stats")
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, base_url.removesuffix("/v1") + path) as response,
    ):
        return await response.json()


def completion_body(content: Any = "Fine.", **more: Any) -> dict[str, Any]:
    """A chat.completion; ``more`` replaces keys, and None removes one."""
    body = {
        "model": "m-1",
        "choices": [{"message": {"content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10},
        **more,
    }
    return {key: value for key, value in body.items() if value is not None}


OK = (200, completion_body())


@dataclass
class Seen:
    """A request as a scripted server received it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Script:
    """A server that sends its replies in turn, repeating the last, and records the requests.

    A reply is (status, body), (status, body, headers) or a handler.
    """

    replies: list[Any]
    base_url: str = ""
    seen: list[Seen] = field(default_factory=list)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.method, request.raw_path, headers, body))
        reply = self.replies[min(len(self.seen), len(self.replies)) - 1]
        if callable(reply):
            handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] = reply
            return await handler(request)
        status, document, *rest = reply
        data = document if isinstance(document, bytes) else orjson.dumps(document)
        return web.Response(status=status, body=data, headers=rest[0] if rest else None)


@asynccontextmanager
async def scripted(*replies: Any) -> AsyncIterator[Script]:
    """Run a scripted server on a free loopback port."""
    script = Script(list(replies))
    runner = web.ServerRunner(
        web.Server(script.handle, access_log=None, handler_cancellation=True), shutdown_timeout=0.2
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    script.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield script
    finally:
        await runner.cleanup()


class OneResult:
    """A receiver whose result can be awaited."""

    def __init__(self) -> None:
        self.result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def receive(self, request: Request, result: Result) -> None:
        self.result.set_result(result)


async def ask(gateway: Gateway, template: ChatTemplate, user: str, parse: Parse) -> Answer:
    """Return an article's answer or raise its error; cancelling also cancels the worker."""
    one = OneResult()
    request = Request(template, user, parse, one)
    gateway.submit([request])
    try:
        result = await one.result
    except asyncio.CancelledError:
        request.settled = True
        if request.worker is not None and request.in_flight:
            request.worker.cancel()
            await asyncio.wait([request.worker])
        raise
    if isinstance(result, Answer):
        return result
    raise result


async def ending(
    gateway: Gateway,
    user: str = "x",
    template: ChatTemplate = TEMPLATE,
    parse: Parse = plain,
) -> Ending:
    try:
        return await ask(gateway, template, user, parse)
    except (RequestFailed, RunStopped) as error:
        return error


async def endings(gateway: Gateway, count: int, **more: Any) -> list[Ending]:
    """Request ``count`` articles concurrently."""
    return await asyncio.gather(*(ending(gateway, article(n), **more) for n in range(count)))


def of_kind(results: list[Ending], kind: type[Any]) -> list[Any]:
    return [result for result in results if isinstance(result, kind)]
