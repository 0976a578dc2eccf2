"""A mock endpoint with one constant answer per schema, at a fifth of the usual cost.

It serves benchmarks, in which the endpoint must never be the bottleneck. It reads nothing of a
request except the requested schema, so it accepts invalid requests and estimates prompt tokens
from the number of bytes. Quotas, faults, latency and statistics are those of the mock endpoint.

Connections are implemented on httptools, because aiohttp's server alone would cost more than that.
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import asynccontextmanager
from functools import partial
from hashlib import blake2b
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

import httptools
import uvloop

from article_flows.tasks.mock_endpoint.__main__ import main as mock_endpoint
from article_flows.tasks.mock_endpoint.answers import GeneratedAnswer, compose
from article_flows.tasks.mock_endpoint.faults import Faults
from article_flows.tasks.mock_endpoint.protocol import MODEL_ID, ChatRequest, parse_chat
from article_flows.tasks.mock_endpoint.server import abort
from article_flows.tasks.mock_endpoint.service import CHAT_PATH, Reply, Service
from benchmarks.servers.counting import CountingService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_TEXT: Final = (
    "The council approved a new bridge over the river on Monday. "
    "Engineers expect that building it takes two years. "
    "Residents of both banks had asked for it since the flood."
)
_FORMAT: Final = b'"response_format":'
_STATUS: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class CannedService(CountingService):
    """The state of the endpoint, with one answer per schema and plain text without one.

    Raises:
        ValueError: An option requires reading the prompt.
    """

    def __init__(
        self, faults: Faults | None = None, api_key: str | None = None, strict_model: bool = False
    ) -> None:
        super().__init__(faults, api_key, strict_model)
        self.requires_key = bool(api_key)
        if self.faults.poison is not None or strict_model:
            raise ValueError("canned answers read no prompt: leave out poison and strict_model")
        self._formats: list[bytes] = []
        self._composed: dict[tuple[int, int], tuple[ChatRequest, GeneratedAnswer]] = {}

    def generate(self, body: bytes) -> tuple[ChatRequest, GeneratedAnswer, str]:
        """Return the answer to a request, composed for the first of its schema and size.

        The answer has the endpoint's model, and respects max_tokens of that first request.
        """
        key = (self._format_of(body), -(-len(body) // 4))
        if key not in self._composed:
            chat = parse_chat(body).model_copy(update={"model": MODEL_ID})
            chat.article, chat.prompt_tokens = ("", _TEXT), key[1]
            self._composed[key] = chat, compose(chat)
        return *self._composed[key], blake2b(body, digest_size=8).hexdigest()

    def _format_of(self, body: bytes) -> int:
        """Return the index of the requested response format, or -1 if there is none."""
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
    """A connection of a client that waits for each response before its next request."""

    def __init__(self, service: CannedService) -> None:
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reply: Reply | None = None
        self._url = b""
        self._authorization = b""
        self._body: list[bytes] = []
        if service.requires_key:
            # Without this callback, the parser saves a call for each header.
            self.on_header = self._read_header
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        # uvloop's transport is not a subclass of asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Count an unfinished call as not delivered."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._end(sent=False)

    def data_received(self, data: bytes) -> None:
        """Parse a request; `on_message_complete` answers it."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._close()

    def on_message_begin(self) -> None:
        """Clear the previous request."""
        self._url, self._authorization, self._body = b"", b"", []

    def on_url(self, url: bytes) -> None:
        """Append a part of the URL."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """Append a part of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer the request, or close the connection if the previous one is unanswered."""
        if self._reply is not None:
            return self._close()
        path, method = self._url.partition(b"?")[0].decode(errors="replace"), self._method()
        authorization = self._authorization.decode(errors="surrogateescape")
        if (method, path) != ("POST", CHAT_PATH):
            return self._send(self._service.handle_other(method, path, authorization))
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        reply = self._reply = self._service.chat(body, authorization)
        if reply.delay_s <= 0:
            return self._deliver(reply)
        self._timer = self._loop.call_later(reply.delay_s, self._deliver, reply)
        return None

    def _read_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"authorization":
            self._authorization = value

    def _method(self) -> str:
        method: bytes = self._parser.get_method()
        return method.decode()

    def _deliver(self, reply: Reply) -> None:
        """Send the reply, or break the connection as its fault demands."""
        match reply.fault:
            case "stall":
                stall_s = self._service.faults.stall_seconds
                self._timer = self._loop.call_later(stall_s, self._reset)
            case "reset":
                self._reset()
            case "truncated":
                self._end(sent=False)
                self._send(reply, truncate_at=len(reply.body) // 2)
                self._close()
            case _:
                self._end(sent=True)
                self._send(reply)

    def _reset(self) -> None:
        if self._transport is not None:
            # connection_lost counts the answer as not delivered.
            abort(self._transport)

    def _end(self, *, sent: bool) -> None:
        if self._reply is not None:
            self._service.finish(self._reply, sent=sent)
        self._reply = None

    def _send(self, reply: Reply, truncate_at: int | None = None) -> None:
        """Write a response, whose body ends at byte ``truncate_at``."""
        if self._transport is None:
            return
        head = "".join([f"{name}: {value}\r\n" for name, value in reply.headers.items()])
        self._transport.write(
            _STATUS[reply.status]
            + head.encode()
            + f"Content-Length: {len(reply.body)}\r\n\r\n".encode()
            + reply.body[:truncate_at]
        )
        if not self._parser.should_keep_alive():
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def canned_server(service: CannedService, listener: socket.socket) -> AsyncIterator[None]:
    """Serve canned answers on a listening socket in the current event loop."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        partial(CannedConnection, service), sock=listener, backlog=1024
    )
    try:
        yield
    finally:
        # Open connections end with the loop or when their client disconnects.
        server.close()


async def _serve(service: Service, listener: socket.socket) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with canned_server(cast(CannedService, service), listener):
        await stop.wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the endpoint with canned answers and the options of the mock endpoint."""

    def serve(service: Service, listener: socket.socket) -> None:
        # Existing objects are permanent and calls leave no cycles: collecting less saves 14 % CPU.
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        uvloop.run(_serve(service, listener))

    return mock_endpoint(argv, make=CannedService, serve=serve)


if __name__ == "__main__":
    sys.exit(main())
