"""The embedded endpoint itself: from an HTTP request to an answer, or to a fault."""

import asyncio
from hashlib import blake2b
from typing import Any, Final, Literal, Protocol

import orjson
from aiohttp import web

from tasks.llm import embedded_faults as errors
from tasks.llm.embedded_answers import LRU, Prepared, PromptCache, completion_tail, spoil
from tasks.llm.embedded_canned import listen_canned
from tasks.llm.embedded_protocol import ApiError, parse_chat
from tasks.llm.embedded_service import Service
from tasks.llm.embedded_wire import reset, truncate
from tasks.llm.faults import Decision, Faults

_ANSWERS_KEPT: Final = 8192
"""A few KB each."""
_LARGEST_REQUEST: Final = 64 * 2**20
AnswerKind = Literal["extractive", "canned"]


class Listener(Protocol):
    """What listens, and can be told to stop."""

    async def cleanup(self) -> None:
        """Stop listening and end all connections."""


class Endpoint(Service):
    """The endpoint, and the handler of its requests on aiohttp's server.

    Args:
        faults: its misbehaviour.
        api_key: the key to ask for; without one, any will do.
        strict_model: whether to know no model but its own.
        answers: "extractive", or "canned" for constant ones at a fifth of the cost
            (see embedded_canned).

    Raises:
        ValueError: canned answers with an option that needs the prompt to be read.
    """

    def __init__(
        self,
        faults: Faults | None = None,
        api_key: str | None = None,
        strict_model: bool = False,
        answers: AnswerKind = "extractive",
    ) -> None:
        super().__init__(faults, api_key, strict_model)
        if answers == "canned" and (self.faults.poison is not None or strict_model):
            raise ValueError("canned answers read no prompt: leave out poison and strict_model")
        self._answer_kind = answers
        self._prepared: LRU[bytes, Prepared] = LRU(_ANSWERS_KEPT)
        self._prompt_cache = PromptCache()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> tuple[Listener, int]:
        """Listen; gives what to clean up in the end, and the port (a free one for 0).

        Raises:
            OSError: the port is taken.
        """
        if self._answer_kind == "canned":
            return await listen_canned(self, host, port)
        server = web.Server(
            self.handle,
            request_factory=_request_factory(asyncio.get_running_loop()),
            handler_cancellation=True,
            access_log=None,
        )
        runner = web.ServerRunner(server, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, backlog=1024).start()
        except OSError:
            await runner.cleanup()
            raise
        return runner, runner.addresses[0][1]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request."""
        if self.is_chat(request.method, request.path):
            return await self._chat(request)
        try:
            found = self.other(request.method, request.path, _authorization_of(request))
            return self._respond(orjson.dumps(found))
        except ApiError as error:
            return self._respond(error.body, error.status, error.headers)

    async def _chat(self, request: web.BaseRequest) -> web.StreamResponse:
        call = self.begin()
        try:
            self.authorize(_authorization_of(request))
            prepared = self._prepare(await request.read())
            return await self._answer(request, prepared, self.admit(call, prepared))
        except ApiError as error:
            self.refused(error)
            return self._respond(error.body, error.status, error.headers)
        finally:
            self.end()

    def _prepare(self, raw: bytes) -> Prepared:
        key = blake2b(raw, digest_size=16).digest()
        prepared = self._prepared.recall(key)
        if prepared is None:
            prepared = Prepared(parse_chat(raw))
            self.check_model(prepared.chat.model)
            self._prepared.keep(key, prepared)
        return prepared

    async def _answer(
        self, request: web.BaseRequest, prepared: Prepared, decision: Decision
    ) -> web.StreamResponse:
        """Answer a call that was let in, or let it suffer the fault that was drawn for it."""
        chat, fault, coin = prepared.chat, decision.fault, decision.coin
        poison = self.faults.poison
        if poison is not None and (poison in chat.text or poison in chat.title):
            # The same prompt always fails in the same way.
            fault, coin = "poison", int(chat.prompt_hash, 16) / 2**64
        await self._take_time(decision.latency)
        if fault is None:
            return await self._deliver(request, prepared)
        if fault == "invalid_json" and chat.schema is None and not chat.json_object:
            return await self._deliver(request, prepared)
        self.stats.by_fault[fault] += 1
        fault = "content_filter" if fault == "poison" else fault
        errors.raise_error(fault, coin)
        if fault in ("reset", "stall", "truncated"):
            return await self._fail_to_deliver(request, prepared, fault)
        return await self._deliver(request, prepared, fault)

    async def _take_time(self, latency: float) -> None:
        latency = self.slowed(latency)
        if latency <= 0:
            return
        try:
            await asyncio.sleep(latency)
        except asyncio.CancelledError:
            self.not_delivered()
            raise

    async def _deliver(
        self, request: web.BaseRequest, prepared: Prepared, fault: str | None = None
    ) -> web.StreamResponse:
        """Send an answer, spoilt if a fault says so, and count it once it is written."""
        chat, answer = prepared.chat, prepared.answered()
        cached = self._prompt_cache.cached_tokens(chat)
        if fault is None:
            tail = prepared.tail(cached)
        else:
            answer = spoil(answer, fault)
            tail = completion_tail(chat, answer, cached)
        response = self._respond(self.body_of(fault, tail))
        try:
            await response.prepare(request)
            await response.write_eof()
        except (ConnectionError, asyncio.CancelledError):
            self.not_delivered()
            raise
        good = fault is None and answer.finish_reason == "stop"
        self.delivered(prepared, answer, chat.prompt_hash if good else None)
        return response

    async def _fail_to_deliver(
        self, request: web.BaseRequest, prepared: Prepared, fault: str
    ) -> web.StreamResponse:
        """Break the connection before, or in the middle of, an answer that was paid for."""
        if fault == "truncated":
            tail = prepared.tail(self._prompt_cache.cached_tokens(prepared.chat))
            self.stats.generated_not_delivered += 1
            self.stats.calls_per_status["200"] += 1
            return await truncate(request, self.head() + tail, self.headers())
        self.not_delivered()
        if fault == "stall":
            await asyncio.sleep(self.faults.stall_seconds)
        return reset(request)

    def _respond(
        self, body: bytes, status: int = 200, headers: dict[str, str] | None = None
    ) -> web.Response:
        return web.Response(body=body, status=status, headers={**self.headers(), **(headers or {})})


def _authorization_of(request: web.BaseRequest) -> bytes:
    return request.headers.get("Authorization", "").encode(errors="surrogateescape")


def _request_factory(loop: asyncio.AbstractEventLoop) -> Any:
    """Make requests that may be larger than aiohttp's default of 1 MiB."""

    def make(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=_LARGEST_REQUEST
        )

    return make
