"""One HTTP/1.1 connection that carries one request at a time; httptools reads the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, cast

import httptools

from article_flows.tasks.llm.transports import http_response
from article_flows.tasks.llm.transports.http_response import HttpError, Response, too_large

_LARGEST_HEAD: Final = 256 << 10
_EXCERPT: Final = 4096


class HttpConnection(asyncio.Protocol):
    """A kept-alive connection; not for two requests at once.

    Args:
        on_lost: told when the connection is gone, whoever ended it.

    Attributes:
        patience: how many times as long as usual the request under way may go without a byte.
        reusable: whether another request may be sent, as of the last answer.
        sent_at: when the last request was sent, by ``time.monotonic``.
        heard_at: when the last byte came, or the request was sent if none has come yet.
    """

    def __init__(self, on_lost: Callable[[HttpConnection], None]) -> None:
        self.reusable = True
        self.patience = 1.0
        self.sent_at = self.heard_at = monotonic()
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._parser: httptools.HttpResponseParser | None = None
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._fields: dict[bytes, bytes] = {}
        self._start_over()

    # ---- For the pool.

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._waiter is not None

    def send(self, request: bytes) -> asyncio.Future[Response]:
        """Send one whole request; the future holds the answer, or raises HttpError."""
        if self._transport is None or self._waiter is not None:
            raise HttpError("connection", "the connection is closed or in use")
        self._start_over()
        self.sent_at = self.heard_at = monotonic()
        self._waiter = waiter = self._loop.create_future()
        self._transport.write(request)
        return waiter

    def cut(self, error: HttpError | None = None) -> None:
        """Close the connection at once; a request under way ends with the error."""
        self.reusable = False
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            if error is None:
                waiter.cancel()
            else:
                waiter.set_exception(error)
        if self._transport is not None:
            self._transport.abort()

    # ---- For the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        # cast: uvloop's transports are no subclass.
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        """Read on; data that nobody has asked for ends the connection."""
        if self._waiter is None or self._parser is None:
            self.cut()
            return
        self.heard_at = monotonic()
        if not self._in_body:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.cut(self._garbled(error, data))
        if not self._in_body and self._head_size > _LARGEST_HEAD and self._waiter is not None:
            self.cut(HttpError("connection", "the answer's headers have no end"))

    def eof_received(self) -> None:
        """Take the end of the connection for that of the answer, or for its breaking off."""
        # Not left to connection_lost, which comes only once all of the request is written.
        self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        """End the request under way and forget the connection."""
        self._end(error)
        self.reusable = False
        # The parser holds this object's methods: without this, only the collector frees both.
        self._parser = None
        self._transport = None
        self._on_lost(self)

    # ---- For the parser.

    def on_message_begin(self) -> None:
        """Begin anew after an interim answer; notice an answer to no request."""
        self._fields = {}
        if self._waiter is None:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, but for those that come after the body."""
        if not self._in_body:
            self._fields.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """Keep what comes from here on out of the head."""
        self._in_body = True

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body."""
        self._body.append(data)
        self._body_size += len(data)
        if self._body_size > http_response.LARGEST_BODY and self._waiter is not None:
            self._body.clear()
            self.cut(HttpError("too_large", too_large()))

    def on_message_complete(self) -> None:
        """Hand the answer over, unless it is an interim one."""
        if self._waiter is None or self._parser is None or self._transport is None:
            return
        if 100 <= self._parser.get_status_code() < 200:
            self._in_body = False
            return
        # A server that answers before it has read the request is about to close.
        unsent = self._transport.get_write_buffer_size()
        self.reusable = self._parser.should_keep_alive() and not unsent
        self._hand_over(self._parser.get_status_code())

    # ---- Inside.

    def _start_over(self) -> None:
        self._head_size = 0
        self._in_body = False
        self._body: list[bytes] = []
        self._body_size = 0

    def _hand_over(self, status: int) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            self.reusable = False
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        try:
            response = Response(status, self._fields, body)
        except HttpError as error:
            waiter.set_exception(error)
        else:
            waiter.set_result(response)

    def _end(self, error: Exception | None) -> None:
        """The server, or the network, has ended the connection."""
        if self._waiter is None:
            self.cut()
        elif error is not None:
            self.cut(HttpError("connection", str(error) or type(error).__name__))
        elif not self._head_size:
            self.cut(HttpError("connection", "the server hung up without an answer"))
        elif self._parser and self._in_body and self._ends_with_connection():
            self._hand_over(self._parser.get_status_code())
            self.cut()
        else:
            self.cut(HttpError("truncated", "the answer broke off"))

    def _ends_with_connection(self) -> bool:
        """Whether no header says where the body ends, so that only the end of all can."""
        chunked = self._fields.get(b"transfer-encoding", b"").lower().endswith(b"chunked")
        return not chunked and b"content-length" not in self._fields

    def _garbled(self, error: Exception, data: bytes) -> HttpError:
        if self._in_body:
            return HttpError("truncated", f"the answer is garbled ({error})")
        said = data[:_EXCERPT].decode(errors="replace")
        return HttpError("connection", f"the server speaks no HTTP/1.1: {said}")
