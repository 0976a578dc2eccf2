"""The embedded endpoint itself: from an HTTP request to an answer, or to a fault."""

import asyncio
import hmac
import os
import time
from hashlib import blake2b
from typing import Any, Final

import orjson
from aiohttp import web

from tasks.llm import embedded_faults as errors
from tasks.llm.embedded_answers import LRU, Prepared, PromptCache, completion_tail, spoil
from tasks.llm.embedded_gate import Gate
from tasks.llm.embedded_protocol import MODEL_ID, NOTICE, ApiError, parse_chat
from tasks.llm.embedded_stats import Stats
from tasks.llm.embedded_wire import reset, truncate
from tasks.llm.faults import Decision, Faults

CHAT_PATH: Final = "/v1/chat/completions"
_ANSWERS_KEPT: Final = 8192
"""A few KB each."""
_LARGEST_REQUEST: Final = 64 * 2**20
_HEADERS: Final = {"Content-Type": "application/json", "x-embedded-endpoint": NOTICE}
_MODEL: Final = {
    "id": MODEL_ID,
    "object": "model",
    "created": 1_704_067_200,
    "owned_by": f"article-flows: {NOTICE}",
}
_GARBAGE: Final = b'<html><body><h1>It works!</h1></body></html>{"id": "chatcmpl-'


class Endpoint:
    """The endpoint's state, and the handler of its requests.

    Args:
        faults: its misbehaviour.
        api_key: the key to ask for; without one, any will do.
        strict_model: whether to know no model but its own.
    """

    def __init__(
        self, faults: Faults | None = None, api_key: str | None = None, strict_model: bool = False
    ) -> None:
        self.faults = faults or Faults()
        self.stats = Stats()
        self._authorization = f"Bearer {api_key}".encode() if api_key else None
        self._strict_model = strict_model
        self._prepared: LRU[bytes, Prepared] = LRU(_ANSWERS_KEPT)
        self._prompt_cache = PromptCache()
        self._gate = Gate(self.faults)
        self._run = os.urandom(6).hex()
        self._calls = 0
        self._answers = 0
        self._active = 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> tuple[web.ServerRunner, int]:
        """Listen; gives what to clean up in the end, and the port (a free one for 0).

        Raises:
            OSError: the port is taken.
        """
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
        if request.path == CHAT_PATH and request.method == "POST":
            return await self._chat(request)
        try:
            return self._respond(orjson.dumps(self._other(request)))
        except ApiError as error:
            return self._respond(error.body, error.status, error.headers)

    def _other(self, request: web.BaseRequest) -> Any:
        path, method = request.path.rstrip("/"), request.method
        if (method, path) == ("GET", "/health"):
            return {"status": "ok", "model": MODEL_ID, "notice": NOTICE}
        if (method, path) == ("GET", "/stats"):
            return self.stats.as_dict()
        if (method, path) == ("GET", "/stats/prompts"):
            return dict(self.stats.prompts)
        if (method, path) == ("POST", "/stats/reset"):
            self.stats = Stats(max_concurrent_seen=self._active)
            return self.stats.as_dict()
        self._authorize(request)
        if (method, path) == ("GET", "/v1/models"):
            return {"object": "list", "data": [_MODEL]}
        if method == "GET" and path.startswith("/v1/models/"):
            self._check_model(path.removeprefix("/v1/models/"), strict=True)
            return _MODEL
        raise ApiError(404, f"Invalid URL ({method} {request.path})")

    async def _chat(self, request: web.BaseRequest) -> web.StreamResponse:
        self._calls += 1
        self._active += 1
        self.stats.calls += 1
        self.stats.max_concurrent_seen = max(self.stats.max_concurrent_seen, self._active)
        try:
            self._authorize(request)
            prepared = self._prepare(await request.read())
            decision = self.faults.decide(self._calls)
            self._gate.admit(prepared.chat, decision, self._active, self._answers)
            return await self._answer(request, prepared, decision)
        except ApiError as error:
            self.stats.calls_per_status[str(error.status)] += 1
            if error.fault:
                self.stats.by_fault[error.fault] += 1
            return self._respond(error.body, error.status, error.headers)
        finally:
            self._active -= 1

    def _authorize(self, request: web.BaseRequest) -> None:
        if self._authorization is None:
            return
        sent = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(sent, self._authorization):
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")

    def _prepare(self, raw: bytes) -> Prepared:
        key = blake2b(raw, digest_size=16).digest()
        prepared = self._prepared.recall(key)
        if prepared is None:
            prepared = Prepared(parse_chat(raw))
            self._check_model(prepared.chat.model, strict=self._strict_model)
            self._prepared.keep(key, prepared)
        return prepared

    def _check_model(self, model: str, *, strict: bool) -> None:
        if strict and model != MODEL_ID:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise ApiError(404, message, code="model_not_found", param="model")

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
        if fault in ("http_500", "http_503"):
            raise errors.server_error(int(fault.removeprefix("http_")))
        if fault in ("content_filter", "poison"):
            if coin < 0.5:
                raise errors.content_filtered()
            fault = "content_filter"
        if fault in ("reset", "stall", "truncated"):
            return await self._fail_to_deliver(request, prepared, fault)
        return await self._deliver(request, prepared, fault)

    async def _take_time(self, latency: float) -> None:
        latency = self.faults.slowed(latency, self._active)
        if latency <= 0:
            return
        try:
            await asyncio.sleep(latency)
        except asyncio.CancelledError:
            self._not_delivered()
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
        body = _GARBAGE if fault == "garbage" else self._head() + tail
        response = self._respond(body)
        try:
            await response.prepare(request)
            await response.write_eof()
        except (ConnectionError, asyncio.CancelledError):
            self._not_delivered()
            raise
        self._answers += 1
        stats = self.stats
        stats.calls_per_status["200"] += 1
        stats.bill(chat.prompt_tokens, answer.completion_tokens)
        if fault is None and answer.finish_reason == "stop":
            stats.prompts[chat.prompt_hash] += 1
        return response

    async def _fail_to_deliver(
        self, request: web.BaseRequest, prepared: Prepared, fault: str
    ) -> web.StreamResponse:
        """Break the connection before, or in the middle of, an answer that was paid for."""
        if fault == "truncated":
            tail = prepared.tail(self._prompt_cache.cached_tokens(prepared.chat))
            self.stats.generated_not_delivered += 1
            self.stats.calls_per_status["200"] += 1
            return await truncate(request, self._head() + tail, self._headers())
        self._not_delivered()
        if fault == "stall":
            await asyncio.sleep(self.faults.stall_seconds)
        return reset(request)

    def _not_delivered(self) -> None:
        self.stats.generated_not_delivered += 1
        self.stats.calls_per_status["none"] += 1

    def _head(self) -> bytes:
        return (
            f'{{"id":"chatcmpl-{self._run}{self._calls:08x}",'
            f'"object":"chat.completion","created":{int(time.time())}'
        ).encode()

    def _headers(self) -> dict[str, str]:
        request_id = f"req_{self._run}{self._calls:08x}"
        return {**_HEADERS, "x-request-id": request_id, **self._gate.headers()}

    def _respond(
        self, body: bytes, status: int = 200, headers: dict[str, str] | None = None
    ) -> web.Response:
        return web.Response(
            body=body, status=status, headers={**self._headers(), **(headers or {})}
        )


def _request_factory(loop: asyncio.AbstractEventLoop) -> Any:
    """Make requests that may be larger than aiohttp's default of 1 MiB."""

    def make(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=_LARGEST_REQUEST
        )

    return make
