"""A pool of HTTP/1.1 connections to one server, for many small requests at low CPU cost."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from math import inf
from time import monotonic
from typing import Final

from yarl import URL

from article_flows.tasks.llm.transports.http_connection import HttpConnection
from article_flows.tasks.llm.transports.http_dialer import (
    CONNECT_TIMEOUT_S,
    Dialer,
    proxy_authorization,
)
from article_flows.tasks.llm.transports.http_response import HttpError, Response

KEEPALIVE_S: Final = 4.0
"""uvicorn, on which vLLM and others run, closes idle connections after 5 s. A request sent on a
connection that is being closed is lost, so the pool closes it a second earlier."""

_CHECKS_PER_TIMEOUT: Final = 10
_MIN_CHECK_INTERVAL_S: Final = 0.01
# Stalled requests aborted per check: at least the first, or this fraction of all connections.
_MIN_STALLS_PER_CHECK: Final = 2
_CONNECTIONS_PER_STALL: Final = 50
_BLOCKED_LOOP_S: Final = 0.5
_REQUEST_WITH_BODY: Final = b"%bContent-Length: %d\r\n\r\n%b"
_DEFAULT_HEADERS: Final = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "User-Agent": "article-flows",
}


class HttpPool:
    """A pool of connections to one server, each for one request at a time.

    The number of connections is not limited: the caller decides how many requests are in flight.
    The connection used last is used next, so that unused ones time out.

    Args:
        base_url: Prefix of every path.
        headers: Sent with every request.
        timeout_s: Seconds from sending a request to the last byte of its response, without the
            time to open a connection.
        stall_timeout_s: Seconds without a byte after which a request is aborted; None for no
            limit. May be set at any time and also applies to requests in flight.
        connect_timeout_s: Seconds for opening a connection; None means 10.
        proxy: An HTTP proxy's URL, with user and password if it requires them.
        ssl_context: For https; None uses the system's certificates.

    Raises:
        ValueError: A URL is invalid, or a header cannot be sent.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        stall_timeout_s: float | None = None,
        connect_timeout_s: float | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        url = _http_url(base_url)
        proxy_url = _http_url(proxy) if proxy else None
        self.stall_timeout_s = stall_timeout_s
        self._timeout_s = timeout_s
        self._prefix = url.raw_path.rstrip("/")
        host = url.host_port_subcomponent or ""
        fields = {"Host": host, **_DEFAULT_HEADERS, **headers}
        if proxy_url is not None and url.scheme == "http":
            # A proxy gets the absolute URL (RFC 9112 section 3.2.2); for https it opens a tunnel.
            self._prefix = f"http://{host}{self._prefix}"
            fields |= proxy_authorization(proxy_url)
        self._header_lines = _encode_headers(fields)
        self._heads: dict[tuple[str, str], bytes] = {}
        self._dialer = Dialer(
            url.origin(), proxy_url, ssl_context, connect_timeout_s or CONNECT_TIMEOUT_S
        )
        self._open: set[HttpConnection] = set()
        self._idle: list[HttpConnection] = []
        self._watchdog: asyncio.TimerHandle | None = None
        self._next_check_at = 0.0
        self._skipped_check = False
        self._all_closed: asyncio.Event | None = None

    async def request(
        self, method: str, path: str, body: bytes | None, *, stall_timeout_factor: float = 1.0
    ) -> Response:
        """Send a request, without retries, and return the response.

        Args:
            method: Such as ``POST``; not ``HEAD`` or ``CONNECT``, whose responses have no body.
            path: Appended to the base URL; already percent-encoded.
            body: Sent with its Content-Length; None sends neither.
            stall_timeout_factor: Factor on ``stall_timeout_s`` for this request.

        Raises:
            HttpError: There is no complete response.
        """
        head = self._heads.get((method, path)) or self._encode_head(method, path)
        request = head + b"\r\n" if body is None else _REQUEST_WITH_BODY % (head, len(body), body)
        connection = self._take_idle() or await self._connect()
        connection.stall_timeout_factor = stall_timeout_factor
        try:
            response = await connection.send(request)
        except (asyncio.CancelledError, HttpError):
            # Otherwise its response would be taken for that of the next request.
            connection.abort()
            raise
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.abort()
        return response

    async def close(self) -> None:
        """Close all connections; requests in flight end with an error. May be called twice."""
        if self._all_closed is None:
            self._all_closed = asyncio.Event()
        self._dialer.close()
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._idle.clear()
        for connection in tuple(self._open):
            connection.abort(HttpError("connection", "the client was closed"))
        if self._open:
            await self._all_closed.wait()

    def _encode_head(self, method: str, path: str) -> bytes:
        target = self._prefix + path
        if not (method.isalpha() and target.isascii() and target.isprintable()):
            raise ValueError("the request line cannot be sent")
        head = f"{method} {target} HTTP/1.1\r\n".encode() + self._header_lines
        self._heads[method, path] = head
        return head

    def _take_idle(self) -> HttpConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and monotonic() - connection.last_byte_at < KEEPALIVE_S:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> HttpConnection:
        connection = await self._dialer.open(self._on_lost)
        if self._all_closed is not None:
            connection.abort()
            raise HttpError("connection", "the client was closed")
        if connection.reusable:  # Otherwise it is lost already, and would never be removed.
            self._open.add(connection)
        if self._watchdog is None:
            self._schedule_check()
        return connection

    def _on_lost(self, connection: HttpConnection) -> None:
        self._open.discard(connection)
        if self._all_closed is not None and not self._open:
            self._all_closed.set()

    # ---- One timer checks all timeouts, because a timer per request would cost too much CPU.

    def _schedule_check(self) -> None:
        timeout_s = min(self._timeout_s, KEEPALIVE_S, self.stall_timeout_s or KEEPALIVE_S)
        interval_s = max(_MIN_CHECK_INTERVAL_S, timeout_s / _CHECKS_PER_TIMEOUT)
        self._next_check_at = monotonic() + interval_s
        self._watchdog = asyncio.get_running_loop().call_later(interval_s, self._check)

    def _check(self) -> None:
        """Abort requests past a timeout, and close idle connections."""
        now = monotonic()
        # After the event loop was blocked, let it first read what has arrived in the meantime.
        was_blocked = now - self._next_check_at > _BLOCKED_LOOP_S
        self._skipped_check = was_blocked and not self._skipped_check
        if not self._skipped_check:
            self._abort_timed_out(now)
        fresh = [
            each for each in self._idle if each.reusable and now - each.last_byte_at < KEEPALIVE_S
        ]
        for connection in set(self._idle).difference(fresh):
            connection.abort()
        self._idle = fresh
        self._watchdog = None
        if self._open:
            self._schedule_check()

    def _abort_timed_out(self, now: float) -> None:
        sent_before = now - self._timeout_s
        stall_timeout_s = self.stall_timeout_s if self.stall_timeout_s is not None else inf
        # Only a few at a time: if all requests stall, the gateway lifts the stall timeout.
        stalls_left = max(_MIN_STALLS_PER_CHECK, len(self._open) // _CONNECTIONS_PER_STALL)
        for connection in tuple(self._open):
            if not connection.busy:
                continue
            limit_s = connection.stall_timeout_factor * stall_timeout_s
            if connection.sent_at <= sent_before:
                error = HttpError("timeout", f"no response within {self._timeout_s:g} s")
            elif stalls_left and connection.last_byte_at <= now - limit_s:
                stalls_left -= 1
                error = HttpError("timeout", f"no data for {limit_s:g} s")
            else:
                continue
            connection.abort(error)


def _http_url(text: str) -> URL:
    url = URL(text)
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise ValueError("not an http or https URL with a host")
    return url


def _encode_headers(headers: Mapping[str, str]) -> bytes:
    """Return header lines; the error for an invalid one does not show its value, a secret."""
    for name, value in headers.items():
        if not (name.isascii() and name.isprintable() and name.strip() and ":" not in name):
            raise ValueError("a header name cannot be sent")
        if not (value.isascii() and (value.isprintable() or not value)):
            raise ValueError(f"the header {name} cannot be sent")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
