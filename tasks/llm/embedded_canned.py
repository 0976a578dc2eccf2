"""Canned answers: a constant, well-formed answer to whatever is asked, at a fifth of the cost.

For benchmarks, where the endpoint must never be what limits. A request is not read beyond the
schema that it asks for, so a broken one is not refused, and its prompt tokens are counted from
its bytes. Everything else is as it is with real answers: quotas, faults, latency, statistics.

The connection is handled by hand on httptools, as aiohttp's server alone takes longer than that.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from hashlib import blake2b
from http import HTTPStatus
from typing import Final, cast

import httptools
import orjson

from tasks.llm import embedded_faults as errors
from tasks.llm.embedded_answers import Prepared, completion_tail, spoil
from tasks.llm.embedded_protocol import MODEL_ID, ApiError, parse_chat
from tasks.llm.embedded_service import Service
from tasks.llm.embedded_wire import abort

_TEXT: Final = (
    "The council approved a new bridge over the river on Monday. "
    "Engineers expect that building it takes two years. "
    "Residents of both banks had asked for it since the flood."
)
_FORMAT: Final = b'"response_format":'
_STATUS: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class CannedAnswers:
    """The one answer to each schema; plain text where none is asked for."""

    def __init__(self) -> None:
        self._formats: list[bytes] = []
        self._prepared: dict[tuple[int, int], Prepared] = {}

    def to(self, body: bytes) -> Prepared:
        """Give the answer to a request, which is composed the first time.

        Its model is the endpoint's own, and its max_tokens that of the first such request.

        Raises:
            ApiError: 400 for a schema that cannot be satisfied.
        """
        key = (self._format_of(body), -(-len(body) // 4))
        prepared = self._prepared.get(key)
        if prepared is None:
            chat = parse_chat(body)
            article = replace(chat, model=MODEL_ID, title="", text=_TEXT, prompt_tokens=key[1])
            prepared = self._prepared[key] = Prepared(article)
        return prepared

    def _format_of(self, body: bytes) -> int:
        """The number of the response format that a request asks for; -1 for none."""
        start = body.find(_FORMAT)
        if start < 0:
            return -1
        start += len(_FORMAT)
        for number, known in enumerate(self._formats):
            if body.startswith(known, start):
                return number
        text = body[start:].decode(errors="replace").lstrip()
        try:
            _, length = json.JSONDecoder().raw_decode(text)
        except ValueError:
            return -1
        self._formats.append(text[:length].encode())
        return len(self._formats) - 1


class CannedConnection(asyncio.Protocol):
    """One connection of a client that waits for each answer before it asks again."""

    def __init__(self, endpoint: Service, answers: CannedAnswers) -> None:
        self._endpoint = endpoint
        self._answers = answers
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._calling = False
        self._url = b""
        self._authorization = b""
        self._body: list[bytes] = []
        if endpoint.asks_for_key:
            # A parser that has no such callback saves one call for each header.
            self.on_header = self._read_header
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's is one in all but its class.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Count a call whose caller did not wait for the answer."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._calling:
            self._endpoint.not_delivered()
            self._end()

    def data_received(self, data: bytes) -> None:
        """Parse; the answer is given in on_message_complete."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._close()

    def on_message_begin(self) -> None:
        """Forget the last request."""
        self._url, self._authorization, self._body = b"", b"", []

    def on_url(self, url: bytes) -> None:
        """Add a piece of the URL."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """Add a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer the request, or close the connection on one that came too early."""
        if self._calling:
            return self._close()
        path, method = self._url.partition(b"?")[0].decode(errors="replace"), self._method()
        if self._endpoint.is_chat(method, path):
            return self._chat(self._body[0] if len(self._body) == 1 else b"".join(self._body))
        try:
            found = self._endpoint.other(method, path, self._authorization)
        except ApiError as error:
            return self._send(error.body, error.status, error.headers)
        return self._send(orjson.dumps(found))

    def _read_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"authorization":
            self._authorization = value

    def _method(self) -> str:
        method: bytes = self._parser.get_method()
        return method.decode()

    def _chat(self, body: bytes) -> None:
        endpoint = self._endpoint
        call = endpoint.begin()
        self._calling = True
        try:
            endpoint.authorize(self._authorization)
            prepared = self._answers.to(body)
            decision = endpoint.admit(call, prepared)
        except ApiError as error:
            return self._refuse(error)
        chat, fault = prepared.chat, decision.fault
        if fault == "invalid_json" and chat.schema is None and not chat.json_object:
            fault = None
        prompt = blake2b(body, digest_size=8).hexdigest()
        latency = endpoint.slowed(decision.latency)
        if latency <= 0:
            return self._answer(prepared, prompt, fault, decision.coin)
        self._timer = self._loop.call_later(
            latency, self._answer, prepared, prompt, fault, decision.coin
        )
        return None

    def _answer(self, prepared: Prepared, prompt: str, fault: str | None, coin: float) -> None:
        """Send the answer, or let the call suffer its fault."""
        endpoint, self._timer = self._endpoint, None
        if fault is not None:
            endpoint.stats.by_fault[fault] += 1
            try:
                errors.raise_error(fault, coin)
            except ApiError as error:
                return self._refuse(error)
        if fault in ("reset", "stall"):
            return self._fail_to_deliver(fault)
        try:
            answer = prepared.answered()
        except ApiError as error:
            return self._refuse(error)
        if fault is None:
            body = endpoint.head() + prepared.tail(0)
        else:
            answer = spoil(answer, fault)
            body = endpoint.body_of(fault, completion_tail(prepared.chat, answer, 0))
        if fault == "truncated":
            endpoint.stats.generated_not_delivered += 1
            endpoint.stats.calls_per_status["200"] += 1
            self._end()
            self._send(body, cut_at=len(body) // 2)
            return self._close()
        good = fault is None and answer.finish_reason == "stop"
        endpoint.delivered(prepared, answer, prompt if good else None)
        self._end()
        return self._send(body)

    def _refuse(self, error: ApiError) -> None:
        self._endpoint.refused(error)
        self._end()
        self._send(error.body, error.status, error.headers)

    def _fail_to_deliver(self, fault: str) -> None:
        """Break the connection in place of an answer, at once or after a stall."""
        if fault == "stall":
            self._timer = self._loop.call_later(
                self._endpoint.faults.stall_seconds, self._fail_to_deliver, "reset"
            )
            return
        if self._transport is not None:
            # What connection_lost counts: an answer that did not arrive.
            abort(self._transport)

    def _end(self) -> None:
        self._calling = False
        self._endpoint.end()

    def _send(
        self,
        body: bytes,
        status: int = 200,
        headers: dict[str, str] | None = None,
        cut_at: int | None = None,
    ) -> None:
        """Write a response, or as much of it as ``cut_at`` allows."""
        if self._transport is None:
            return
        lines = {**self._endpoint.headers(), **(headers or {})}
        head = "".join([f"{name}: {value}\r\n" for name, value in lines.items()])
        self._transport.write(
            _STATUS[status]
            + head.encode()
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body[:cut_at]
        )
        if not self._parser.should_keep_alive():
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class CannedListener:
    """What stops a server of canned answers."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server

    async def cleanup(self) -> None:
        """Stop listening. Connections end with the loop, or when their client hangs up."""
        self._server.close()


async def listen_canned(endpoint: Service, host: str, port: int) -> tuple[CannedListener, int]:
    """Serve an endpoint with canned answers; gives what to clean up, and the port.

    Raises:
        OSError: the port is taken.
    """
    answers = CannedAnswers()
    server = await asyncio.get_running_loop().create_server(
        lambda: CannedConnection(endpoint, answers), host, port, backlog=1024
    )
    bound: int = server.sockets[0].getsockname()[1]
    return CannedListener(server), bound
