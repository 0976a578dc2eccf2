"""Open connections to one server: DNS, Happy Eyeballs, proxy tunnels and TLS."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, cast

import aiohappyeyeballs
from yarl import URL

from article_flows.tasks.llm.transports.http_connection import HttpConnection
from article_flows.tasks.llm.transports.http_response import HttpError

CONNECT_TIMEOUT_S: Final = 10.0
_DNS_TTL_S: Final = 10.0
_HAPPY_EYEBALLS_DELAY_S: Final = 0.25
"""The delay before the next address is tried as well, as RFC 8305 section 5 recommends."""

_AddressInfo = tuple[int, int, int, str, Any]


class Dialer:
    """A factory of connections to one origin, directly or through an HTTP proxy.

    An https origin is reached through a tunnel (CONNECT, RFC 9110 section 9.3.6), so the proxy sees
    neither key nor article. For an http origin the connection ends at the proxy.

    Args:
        origin: Scheme, host and port.
        proxy: The proxy's URL, with user and password if it requires them; None for no proxy.
        ssl_context: For https; None uses the system's certificates.
        connect_timeout_s: Seconds for DNS, connecting, the tunnel and TLS together.
    """

    def __init__(
        self,
        origin: URL,
        proxy: URL | None,
        ssl_context: ssl.SSLContext | None,
        connect_timeout_s: float,
    ) -> None:
        self._origin = origin
        self._proxy = proxy
        self._next_hop = proxy or origin
        via = f" through the proxy {_authority(proxy)}" if proxy else ""
        self._description = _authority(origin) + via
        self._connect_timeout_s = connect_timeout_s
        self._ssl: ssl.SSLContext | None = None
        if "https" in (origin.scheme, self._next_hop.scheme):
            self._ssl = ssl_context or _default_ssl_context()
        self._lookup: asyncio.Task[list[_AddressInfo]] | None = None
        self._lookup_expires_at = 0.0
        self._connections = 0

    async def open(self, on_lost: Callable[[HttpConnection], None]) -> HttpConnection:
        """Open a connection.

        Raises:
            HttpError: No connection could be opened.
        """
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                return await self._connect(on_lost)
        except TimeoutError:
            self._lookup_expires_at = 0.0
            limit = f"{self._connect_timeout_s:g} s"
            raise HttpError("connection", f"no connection within {limit}") from None
        # uvloop raises RuntimeError for some socket errors.
        except (OSError, RuntimeError, UnicodeError) as error:
            self._lookup_expires_at = 0.0
            message = f"cannot connect to {self._description} ({_reason(error)})"
            raise HttpError("connect", message) from None

    def close(self) -> None:
        """Cancel a DNS lookup in progress."""
        if self._lookup is not None:
            self._lookup.cancel()

    async def _connect(self, on_lost: Callable[[HttpConnection], None]) -> HttpConnection:
        addresses = await self._resolve()
        sock = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY_S
        )
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A response may take minutes, longer than some NATs keep an idle connection.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._proxy is not None and self._origin.scheme == "https":
                return await self._open_tunnel(self._proxy, sock, on_lost)
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: HttpConnection(on_lost), sock=sock, **self._tls_arguments(self._next_hop)
            )
        except BaseException:
            sock.close()
            raise
        return connection

    async def _open_tunnel(
        self, proxy: URL, sock: socket.socket, on_lost: Callable[[HttpConnection], None]
    ) -> HttpConnection:
        """Open a tunnel through the proxy, then start TLS with the origin."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _ = await loop.create_connection(
            lambda: asyncio.StreamReaderProtocol(reader), sock=sock, **self._tls_arguments(proxy)
        )
        connection = HttpConnection(on_lost)
        tls = self._tls_arguments(self._origin)
        try:
            transport.write(_tunnel_request(self._origin, proxy))
            await _read_tunnel_response(reader)
            secured = await loop.start_tls(
                transport, connection, tls["ssl"], server_hostname=tls["server_hostname"]
            )
        except BaseException:
            transport.abort()
            raise
        if not connection.reusable:  # Already closed, or the server sent unsolicited data.
            transport.abort()
            raise ConnectionError("closed at once")
        connection.connection_made(cast(asyncio.Transport, secured))
        return connection

    def _tls_arguments(self, url: URL) -> dict[str, Any]:
        """Return the arguments of ``create_connection`` for TLS; none for http."""
        if url.scheme != "https":
            return {}
        # A trailing dot is valid in DNS, but not in a certificate.
        return {"ssl": self._ssl, "server_hostname": (url.raw_host or "").rstrip(".")}

    async def _resolve(self) -> list[_AddressInfo]:
        """Return the server's addresses, rotated by one with each connection to balance load."""
        lookup = self._lookup
        if lookup is None or (lookup.done() and monotonic() > self._lookup_expires_at):
            lookup = self._lookup = asyncio.ensure_future(self._look_up())
            self._lookup_expires_at = monotonic() + _DNS_TTL_S
        # Shielded, because others wait for the same lookup.
        addresses = await asyncio.shield(lookup)
        self._connections += 1
        first = self._connections % len(addresses)
        return addresses[first:] + addresses[:first]

    async def _look_up(self) -> list[_AddressInfo]:
        host, port = self._next_hop.raw_host, self._next_hop.port
        loop = asyncio.get_running_loop()
        return list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def proxy_authorization(proxy: URL) -> dict[str, str]:
    """Return the header for the user and password in a proxy's URL; empty without them."""
    if proxy.user is None and proxy.password is None:
        return {}
    credentials = f"{proxy.user or ''}:{proxy.password or ''}".encode()
    return {"Proxy-Authorization": f"Basic {b64encode(credentials).decode()}"}


def _tunnel_request(origin: URL, proxy: URL) -> bytes:
    target = _authority(origin)
    headers = {"Host": target, **proxy_authorization(proxy)}
    lines = [f"CONNECT {target} HTTP/1.1", *map(": ".join, headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


async def _read_tunnel_response(reader: asyncio.StreamReader) -> None:
    """Read the response to CONNECT; raise ConnectionError if the proxy opens no tunnel."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise ConnectionError("the proxy sent no complete response") from None
    _, _, status = head.partition(b"\r\n")[0].decode(errors="replace").partition(" ")
    if not status.startswith("2"):
        raise ConnectionError(f"the proxy answers {status}")


def _authority(url: URL) -> str:
    return f"{url.host_subcomponent}:{url.port}"


def _default_ssl_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _reason(error: Exception) -> str:
    """Describe an error; the errnos of TLS and DNS errors are not those of strerror."""
    if not isinstance(error, OSError):
        return str(error) or type(error).__name__
    has_own_errno = isinstance(error, ssl.SSLError | socket.gaierror)
    if has_own_errno or not error.errno or error.errno < 0:
        return error.strerror or str(error) or type(error).__name__
    return os.strerror(error.errno)
