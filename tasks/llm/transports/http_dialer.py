"""Opens connections to one server: name look-up, the fastest address, a proxy's tunnel, TLS."""

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
_NAME_LASTS_S: Final = 10.0
_NEXT_ADDRESS_AFTER_S: Final = 0.25
"""RFC 8305, section 5: the recommended delay before the next address is tried as well."""

_AddressInfo = tuple[int, int, int, str, Any]


class Dialer:
    """Opens connections to one origin, directly or through an HTTP proxy.

    An https origin is reached through a tunnel (CONNECT, RFC 9110 section 9.3.6): the proxy sees
    neither key nor article. For an http origin the connection ends at the proxy.

    Args:
        origin: scheme, host and port.
        proxy: the proxy's URL, with user and password where it wants them; None: no proxy.
        ssl_context: for https; None takes the system's certificates.
        connect_timeout_s: for name look-up, connecting, the tunnel and TLS, together.
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
        self._nearest = proxy or origin
        self._name = _name(origin) + (f" through the proxy {_name(proxy)}" if proxy else "")
        self._connect_timeout_s = connect_timeout_s
        self._ssl: ssl.SSLContext | None = None
        if "https" in (origin.scheme, self._nearest.scheme):
            self._ssl = ssl_context or _default_context()
        self._lookup: asyncio.Task[list[_AddressInfo]] | None = None
        self._looked_up_until = 0.0
        self._turn = 0

    async def open(self, on_lost: Callable[[HttpConnection], None]) -> HttpConnection:
        """A new connection.

        Raises:
            HttpError: there is none to be had.
        """
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                return await self._connect(on_lost)
        except TimeoutError:
            self._looked_up_until = 0.0
            limit = f"{self._connect_timeout_s:g} s"
            raise HttpError("connection", f"no connection within {limit}") from None
        # uvloop raises RuntimeError for some failures of a socket.
        except (OSError, RuntimeError, UnicodeError) as error:
            self._looked_up_until = 0.0
            message = f"cannot connect to {self._name} ({_reason(error)})"
            raise HttpError("connect", message) from None

    def close(self) -> None:
        """Give up looking the name up."""
        if self._lookup is not None:
            self._lookup.cancel()

    async def _connect(self, on_lost: Callable[[HttpConnection], None]) -> HttpConnection:
        addresses = await self._resolve()
        sock = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=_NEXT_ADDRESS_AFTER_S
        )
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # An answer may take minutes, which is longer than some NATs remember a connection.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._proxy is not None and self._origin.scheme == "https":
                return await self._through_tunnel(self._proxy, sock, on_lost)
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: HttpConnection(on_lost), sock=sock, **self._tls(self._nearest)
            )
        except BaseException:
            sock.close()
            raise
        return connection

    async def _through_tunnel(
        self, proxy: URL, sock: socket.socket, on_lost: Callable[[HttpConnection], None]
    ) -> HttpConnection:
        """Have the proxy connect to the origin, then start TLS with the origin."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _ = await loop.create_connection(
            lambda: asyncio.StreamReaderProtocol(reader), sock=sock, **self._tls(proxy)
        )
        connection = HttpConnection(on_lost)
        tls = self._tls(self._origin)
        try:
            transport.write(_tunnel_request(self._origin, proxy))
            await _tunnel_opened(reader)
            secured = await loop.start_tls(
                transport, connection, tls["ssl"], server_hostname=tls["server_hostname"]
            )
        except BaseException:
            transport.abort()
            raise
        if not connection.reusable:  # it ended, or spoke unasked, before it was handed over
            transport.abort()
            raise ConnectionError("closed at once")
        connection.connection_made(cast(asyncio.Transport, secured))
        return connection

    def _tls(self, url: URL) -> dict[str, Any]:
        """Return the arguments of ``create_connection`` for TLS with this server; none for http."""
        if url.scheme != "https":
            return {}
        # A name with a final dot is right for a name server, and wrong in a certificate.
        return {"ssl": self._ssl, "server_hostname": (url.raw_host or "").rstrip(".")}

    async def _resolve(self) -> list[_AddressInfo]:
        """The server's addresses, each time another one first, so that all get their share."""
        lookup = self._lookup
        if lookup is None or (lookup.done() and monotonic() > self._looked_up_until):
            lookup = self._lookup = asyncio.ensure_future(self._look_up())
            self._looked_up_until = monotonic() + _NAME_LASTS_S
        # Shielded: others wait for the same look-up.
        addresses = await asyncio.shield(lookup)
        self._turn += 1
        first = self._turn % len(addresses)
        return addresses[first:] + addresses[:first]

    async def _look_up(self) -> list[_AddressInfo]:
        host, port = self._nearest.raw_host, self._nearest.port
        loop = asyncio.get_running_loop()
        return list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def proxy_authorization(proxy: URL) -> dict[str, str]:
    """The header with the user and the password of a proxy's URL; empty without them."""
    if proxy.user is None and proxy.password is None:
        return {}
    credentials = f"{proxy.user or ''}:{proxy.password or ''}".encode()
    return {"Proxy-Authorization": f"Basic {b64encode(credentials).decode()}"}


def _tunnel_request(origin: URL, proxy: URL) -> bytes:
    target = _name(origin)
    headers = {"Host": target, **proxy_authorization(proxy)}
    lines = [f"CONNECT {target} HTTP/1.1", *map(": ".join, headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


async def _tunnel_opened(reader: asyncio.StreamReader) -> None:
    """Read the proxy's answer to CONNECT; raises ConnectionError if it opens no tunnel."""
    try:
        answer = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise ConnectionError("the proxy gives no whole answer") from None
    _, _, status = answer.partition(b"\r\n")[0].decode(errors="replace").partition(" ")
    if not status.startswith("2"):
        raise ConnectionError(f"the proxy answers {status}")


def _name(url: URL) -> str:
    return f"{url.host_subcomponent}:{url.port}"


def _default_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _reason(error: Exception) -> str:
    """Why there is no connection; TLS and names have their own errnos, not those of strerror."""
    if not isinstance(error, OSError):
        return str(error) or type(error).__name__
    own = isinstance(error, ssl.SSLError | socket.gaierror)
    if own or not error.errno or error.errno < 0:
        return error.strerror or str(error) or type(error).__name__
    return os.strerror(error.errno)
