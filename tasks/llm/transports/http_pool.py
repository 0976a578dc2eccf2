"""A pool of HTTP/1.1 connections to one server, for many small requests at little CPU each."""

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
"""uvicorn, which vLLM and others run on, closes an idle connection after 5 s; a request sent into
one that is being closed is lost, so they are dropped here a second earlier."""

_ROUNDS_PER_LIMIT: Final = 10
_SILENT_A_ROUND: Final = 2
_SILENT_SHARE: Final = 50
_SHORTEST_TICK_S: Final = 0.01
_LATE_S: Final = 0.5
_WITH_BODY: Final = b"%bContent-Length: %d\r\n\r\n%b"
_PLAIN: Final = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "article-flows"}


class HttpPool:
    """Requests to one base URL, each over a connection of its own while it is under way.

    There is no bound on connections and no queue for them: the caller decides how many requests
    are under way. The connection used last is used next, so that a pool shrinks when it can.

    Args:
        base_url: what every path is added to.
        headers: sent with every request.
        timeout_s: seconds from sending a request to the last byte of its answer. Opening a
            connection is not part of it.
        stall_s: seconds without a byte after which a request is given up; None for no such
            limit. May be set at any time, and holds for requests under way as well.
        connect_timeout_s: seconds for opening a connection; None is 10.
        proxy: an HTTP proxy's URL, with user and password where it wants them.
        ssl_context: for https; None takes the system's certificates.

    Raises:
        ValueError: a URL is none, or a header cannot be sent.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        stall_s: float | None = None,
        connect_timeout_s: float | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        url = _http_url(base_url)
        proxy_url = _http_url(proxy) if proxy else None
        self.stall_s = stall_s
        self._timeout_s = timeout_s
        self._prefix = url.raw_path.rstrip("/")
        host = url.host_port_subcomponent or ""
        fields = {"Host": host, **_PLAIN, **headers}
        if proxy_url is not None and url.scheme == "http":
            # The proxy is told the whole URL (RFC 9112 section 3.2.2); for https it opens a tunnel.
            self._prefix = f"http://{host}{self._prefix}"
            fields |= proxy_authorization(proxy_url)
        self._fields = _encoded(fields)
        self._heads: dict[tuple[str, str], bytes] = {}
        self._dialer = Dialer(
            url.origin(), proxy_url, ssl_context, connect_timeout_s or CONNECT_TIMEOUT_S
        )
        self._open: set[HttpConnection] = set()
        self._idle: list[HttpConnection] = []
        self._watchdog: asyncio.TimerHandle | None = None
        self._next_round_at = 0.0
        self._forgave = False
        self._closed: asyncio.Event | None = None

    async def request(
        self, method: str, path: str, body: bytes | None, *, patience: float = 1.0
    ) -> Response:
        """One exchange.

        Args:
            method: such as ``POST``; not ``HEAD`` or ``CONNECT``, whose answers have no body.
            path: added to the base URL; percent-encoded where it must be.
            body: sent with its Content-Length; None sends neither.
            patience: times ``stall_s`` before it is given up for silence.

        Raises:
            HttpError: there is no answer. Nothing is tried twice.
        """
        head = self._heads.get((method, path)) or self._head(method, path)
        request = head + b"\r\n" if body is None else _WITH_BODY % (head, len(body), body)
        connection = self._take_idle() or await self._connect()
        connection.patience = patience
        try:
            response = await connection.send(request)
        except (asyncio.CancelledError, HttpError):
            # An answer still to come would be taken for that of the next request.
            connection.cut()
            raise
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.cut()
        return response

    async def close(self) -> None:
        """Close every connection; requests under way end with an error. May be called twice."""
        if self._closed is None:
            self._closed = asyncio.Event()
        self._dialer.close()
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._idle.clear()
        for connection in tuple(self._open):
            connection.cut(HttpError("connection", "the client was closed"))
        if self._open:
            await self._closed.wait()

    def _head(self, method: str, path: str) -> bytes:
        target = self._prefix + path
        if not (method.isalpha() and target.isascii() and target.isprintable()):
            raise ValueError("a request line that cannot be sent")
        head = f"{method} {target} HTTP/1.1\r\n".encode() + self._fields
        self._heads[method, path] = head
        return head

    def _take_idle(self) -> HttpConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and monotonic() - connection.heard_at < KEEPALIVE_S:
                return connection
            connection.cut()
        return None

    async def _connect(self) -> HttpConnection:
        connection = await self._dialer.open(self._lost)
        if self._closed is not None:
            connection.cut()
            raise HttpError("connection", "the client was closed")
        if connection.reusable:  # else it is lost already, and would never be taken off again
            self._open.add(connection)
        if self._watchdog is None:
            self._watch()
        return connection

    def _lost(self, connection: HttpConnection) -> None:
        self._open.discard(connection)
        if self._closed is not None and not self._open:
            self._closed.set()

    # ---- One timer for all; a timer per request would cost more than the limits are worth.

    def _watch(self) -> None:
        """Look again soon, for as long as there are connections."""
        limit_s = min(self._timeout_s, KEEPALIVE_S, self.stall_s or KEEPALIVE_S)
        pause = max(_SHORTEST_TICK_S, limit_s / _ROUNDS_PER_LIMIT)
        self._next_round_at = monotonic() + pause
        self._watchdog = asyncio.get_running_loop().call_later(pause, self._go_round)

    def _go_round(self) -> None:
        """Cut the requests that are over a limit, and drop idle connections."""
        now = monotonic()
        # A loop that was blocked has not read what has come meanwhile: let it read first.
        self._forgave = now - self._next_round_at > _LATE_S and not self._forgave
        if not self._forgave:
            self._cut_late(now)
        fresh = [one for one in self._idle if one.reusable and now - one.heard_at < KEEPALIVE_S]
        for connection in set(self._idle).difference(fresh):
            connection.cut()
        self._idle = fresh
        self._watchdog = None
        if self._open:
            self._watch()

    def _cut_late(self, now: float) -> None:
        sent_before = now - self._timeout_s
        stall_s = self.stall_s if self.stall_s is not None else inf
        # A few at a time: where all are silent, whoever set the limit can see that and lift it.
        silent_left = max(_SILENT_A_ROUND, len(self._open) // _SILENT_SHARE)
        for connection in tuple(self._open):
            if not connection.busy:
                continue
            if connection.sent_at <= sent_before:
                error = HttpError("timeout", f"no answer within {self._timeout_s:g} s")
            elif silent_left and connection.heard_at <= now - connection.patience * stall_s:
                silent_left -= 1
                error = HttpError("timeout", f"no byte for {connection.patience * stall_s:g} s")
            else:
                continue
            connection.cut(error)


def _http_url(text: str) -> URL:
    url = URL(text)
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise ValueError("not an http or https URL with a host")
    return url


def _encoded(headers: Mapping[str, str]) -> bytes:
    """Header lines; the ValueError for one that cannot be sent does not show its value."""
    for name, value in headers.items():
        if not (name.isascii() and name.isprintable() and name.strip() and ":" not in name):
            raise ValueError("a header's name that cannot be sent")
        if not (value.isascii() and (value.isprintable() or not value)):
            raise ValueError(f"the header {name} cannot be sent")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
