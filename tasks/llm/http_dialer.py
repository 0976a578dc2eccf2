"""Opening connections to one server: its name looked up, the fastest address taken, TLS."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

import aiohappyeyeballs
from yarl import URL

from tasks.llm.http_connection import HttpConnection
from tasks.llm.http_response import HttpError

CONNECT_TIMEOUT_S: Final = 10.0
_NAME_LASTS_S: Final = 10.0
_NEXT_ADDRESS_AFTER_S: Final = 0.25
"""RFC 8305, section 5: the recommended delay before the next address is tried as well."""

_AddressInfo = tuple[int, int, int, str, Any]


class Dialer:
    """Opens connections to one origin.

    Args:
        origin: scheme, host and port.
        ssl_context: for https; None takes the system's certificates.
        connect_timeout_s: for looking the name up, connecting and TLS, together.
    """

    def __init__(
        self, origin: URL, ssl_context: ssl.SSLContext | None, connect_timeout_s: float
    ) -> None:
        # A name with a final dot is right for a name server, and wrong in a certificate.
        self._host = origin.raw_host or ""
        self._port = origin.port or 0
        self._name = f"{origin.host_subcomponent}:{self._port}"
        self._connect_timeout_s = connect_timeout_s
        self._ssl = (ssl_context or _default_context()) if origin.scheme == "https" else None
        self._addresses: list[_AddressInfo] = []
        self._addresses_until = 0.0
        self._turn = 0
        self._lookup: asyncio.Task[list[_AddressInfo]] | None = None

    async def open(self, on_lost: Callable[[HttpConnection], None]) -> HttpConnection:
        """A new connection.

        Raises:
            HttpError: there is none to be had.
        """
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                return await self._connect(on_lost)
        except TimeoutError:
            self._addresses = []
            limit = f"{self._connect_timeout_s:g} s"
            raise HttpError("connection", f"no connection within {limit}") from None
        # uvloop raises RuntimeError for some failures of a socket.
        except (OSError, RuntimeError, UnicodeError) as error:
            self._addresses = []
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
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: HttpConnection(on_lost),
                sock=sock,
                ssl=self._ssl,
                server_hostname=self._host.rstrip(".") if self._ssl else None,
            )
        except BaseException:
            sock.close()
            raise
        return connection

    async def _resolve(self) -> list[_AddressInfo]:
        """The server's addresses, each time another one first, so that all get their share."""
        addresses = self._addresses
        if not addresses or monotonic() > self._addresses_until:
            if self._lookup is None:
                self._lookup = asyncio.ensure_future(self._look_up())
                self._lookup.add_done_callback(self._looked_up)
            # Shielded: others wait for the same look-up. Its own result, as it may have ended
            # without its callback having run, and a connection that failed forgets the addresses.
            addresses = await asyncio.shield(self._lookup)
        self._turn += 1
        first = self._turn % len(addresses)
        return addresses[first:] + addresses[:first]

    async def _look_up(self) -> list[_AddressInfo]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        return list(found)

    def _looked_up(self, lookup: asyncio.Task[list[_AddressInfo]]) -> None:
        self._lookup = None
        if not lookup.cancelled() and lookup.exception() is None:
            self._addresses = lookup.result()
            self._addresses_until = monotonic() + _NAME_LASTS_S


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
