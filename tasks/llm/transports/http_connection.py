"""One HTTP/1.1 connection for one request at a time; httptools parses the responses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, cast

import httptools

from article_flows.tasks.llm.transports import http_response
from article_flows.tasks.llm.transports.http_response import HttpError, Response, too_large_message

_MAX_HEAD_BYTES: Final = 256 << 10
_EXCERPT_BYTES: Final = 4096


class HttpConnection(asyncio.Protocol):
    """A keep-alive connection, without pipelining.

    Args:
        on_lost: Called when the connection is closed, by either side.

    Attributes:
        stall_timeout_factor: Factor on the stall timeout of the request in flight.
        reusable: Whether another request may be sent, as of the last response.
        sent_at: When the last request was sent, in monotonic seconds.
        last_byte_at: When the last byte arrived; before the first, when the request was sent.
    """

    def __init__(self, on_lost: Callable[[HttpConnection], None]) -> None:
        self.reusable = True
        self.stall_timeout_factor = 1.0
        self.sent_at = self.last_byte_at = monotonic()
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._parser: httptools.HttpResponseParser | None = None
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._fields: dict[bytes, bytes] = {}
        self._reset()

    # ---- Called by the pool.

    @property
    def busy(self) -> bool:
        """Whether a request is in flight."""
        return self._waiter is not None

    def send(self, request: bytes) -> asyncio.Future[Response]:
        """Send a complete request; the future gets the response, or HttpError."""
        if self._transport is None or self._waiter is not None:
            raise HttpError("connection", "the connection is closed or in use")
        self._reset()
        self.sent_at = self.last_byte_at = monotonic()
        self._waiter = waiter = self._loop.create_future()
        self._transport.write(request)
        return waiter

    def abort(self, error: HttpError | None = None) -> None:
        """Close the connection at once; a request in flight ends with the error."""
        self.reusable = False
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            if error is None:
                waiter.cancel()
            else:
                waiter.set_exception(error)
        if self._transport is not None:
            self._transport.abort()

    # ---- Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        # A cast, because uvloop's transports are not a subclass.
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        """Parse the data; unsolicited data ends the connection."""
        if self._waiter is None or self._parser is None:
            self.abort()
            return
        self.last_byte_at = monotonic()
        if not self._in_body:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.abort(self._parse_error(error, data))
        if not self._in_body and self._head_size > _MAX_HEAD_BYTES and self._waiter is not None:
            self.abort(HttpError("connection", "the response headers are too long"))

    def eof_received(self) -> None:
        """End the response; it may be incomplete."""
        # connection_lost would be too late: it is called once the whole request is written.
        self._on_connection_end(None)

    def connection_lost(self, error: Exception | None) -> None:
        """End the request in flight and release the connection."""
        self._on_connection_end(error)
        self.reusable = False
        # Breaks the reference cycle with the parser, which holds this object's methods.
        self._parser = None
        self._transport = None
        self._on_lost(self)

    # ---- Called by the parser.

    def on_message_begin(self) -> None:
        """Start a response; after an unsolicited one, the connection is not reused."""
        self._fields = {}
        if self._waiter is None:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header; trailers are ignored."""
        if not self._in_body:
            self._fields.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """Start the body."""
        self._in_body = True

    def on_body(self, data: bytes) -> None:
        """Store a part of the body."""
        self._body.append(data)
        self._body_size += len(data)
        if self._body_size > http_response.MAX_BODY_BYTES and self._waiter is not None:
            self._body.clear()
            self.abort(HttpError("too_large", too_large_message()))

    def on_message_complete(self) -> None:
        """Deliver the response, unless it is an interim one."""
        if self._waiter is None or self._parser is None or self._transport is None:
            return
        if 100 <= self._parser.get_status_code() < 200:
            self._in_body = False
            return
        # A server that responds before it has read the request is about to close.
        unsent = self._transport.get_write_buffer_size()
        self.reusable = self._parser.should_keep_alive() and not unsent
        self._deliver(self._parser.get_status_code())

    # ---- Private.

    def _reset(self) -> None:
        self._head_size = 0
        self._in_body = False
        self._body: list[bytes] = []
        self._body_size = 0

    def _deliver(self, status: int) -> None:
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

    def _on_connection_end(self, error: Exception | None) -> None:
        if self._waiter is None:
            self.abort()
        elif error is not None:
            self.abort(HttpError("connection", str(error) or type(error).__name__))
        elif not self._head_size:
            message = "the server closed the connection without a response"
            self.abort(HttpError("connection", message))
        elif self._parser and self._in_body and self._body_ends_with_connection():
            self._deliver(self._parser.get_status_code())
            self.abort()
        else:
            self.abort(HttpError("truncated", "the response was cut short"))

    def _body_ends_with_connection(self) -> bool:
        chunked = self._fields.get(b"transfer-encoding", b"").lower().endswith(b"chunked")
        return not chunked and b"content-length" not in self._fields

    def _parse_error(self, error: Exception, data: bytes) -> HttpError:
        if self._in_body:
            return HttpError("truncated", f"the response is malformed ({error})")
        excerpt = data[:_EXCERPT_BYTES].decode(errors="replace")
        return HttpError("connection", f"the server does not speak HTTP/1.1: {excerpt}")
