"""How anything is fetched from the web: guarded hop by hop, decoded within bounds.

Hosts that a user has named are reached as everything else on the machine reaches them, through
the environment's proxies if there are. All others are reached at public addresses only and never
through a proxy, as a proxy resolves names itself and would get by the guard.
"""

from __future__ import annotations

import random
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Self
from urllib.request import getproxies_environment

import aiohttp
from yarl import URL

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.streams import Inflater
from article_flows.tasks.reading.web.addresses import (
    AllowedHosts,
    PublicResolver,
    check_literal,
    web_url,
)

AGENT = "article-flows"
"""The name by which robots.txt speaks of us."""
CONNECT_S = 15.0
"""Seconds for a name to be resolved and a connection to be made, TLS included."""
READ_S = 60.0
"""Seconds without a byte after which a server is taken for gone."""
MAX_HOPS = 10
"""Redirects that are followed; browsers follow 20, honest sites need 3."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Response headers grow with cookies: aiohttp's 8 KiB fail on real sites.
_HEADER_BYTES = 32 << 10
_DECODED_AT_ONCE = 256 << 10

_TEMPORARY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
_STATUS_WORDS = {
    401: "asks for a password (401)",
    403: "is forbidden (403)",
    404: "is not there (404)",
    410: "is gone (410)",
    429: "says that there were too many requests (429)",
    451: "is withheld for legal reasons (451)",
}
LONGEST_WAIT_S = 60.0
"""Seconds that a server's Retry-After is followed at most."""

BeforeHop = Callable[[URL], Awaitable[None]]
"""Asked before each request of a chain of redirects; raises `WebFailure` to end it."""


def user_agent() -> str:
    """Return what we call ourselves: name, version, and what it does."""
    return f"{AGENT}/{version(AGENT)} (loads articles that its user has listed; obeys robots.txt)"


class WebClient:
    """Fetches from the web in one event loop; enter it to open it.

    Args:
        allow_hosts: private hosts that may be fetched from: ``host`` or ``host:port``.
        connections: most that are open at once.
        total_s: seconds a whole answer may take, redirects not counted; None: as long as it comes.
        read_s: seconds without a byte.
    """

    def __init__(
        self,
        allow_hosts: Collection[str] = (),
        connections: int = 100,
        total_s: float | None = None,
        read_s: float = READ_S,
    ) -> None:
        self._allowed = AllowedHosts(allow_hosts)
        self._connections = connections
        self._timeout = aiohttp.ClientTimeout(
            total=total_s, connect=None, sock_connect=CONNECT_S, sock_read=read_s
        )
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        for trusted in (True, False):
            self._sessions[trusted] = self._session(trusted)
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in self._sessions.values():
            await session.close()

    def _session(self, trusted: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._connections, resolver=None if trusted else PublicResolver()
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            trust_env=trusted,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": user_agent()},
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
        )

    @asynccontextmanager
    async def get(
        self, url: str, headers: dict[str, str], before_hop: BeforeHop | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for a URL, follow its redirects, give the answer before its body is read.

        Raises WebFailure for what keeps it from being fetched, statuses from 400 on included.
        """
        chain: set[str] = set()
        with told_failures():
            target = web_url(url).with_fragment(None)
        while True:
            chain.add(str(target))
            if before_hop:
                await before_hop(target)
            trusted = target in self._allowed
            with told_failures("" if trusted else _proxy_hint(), redirected=len(chain) > 1):
                if not trusted:
                    check_literal(target)
                response = await self._sessions[trusted].get(
                    target, headers=headers, allow_redirects=False
                )
            async with response:
                if response.status not in _REDIRECTS or "Location" not in response.headers:
                    if response.status >= 400:
                        raise failure_of_status(response.status, response.headers)
                    yield response
                    return
                target = _next_hop(response, chain)


def _next_hop(response: aiohttp.ClientResponse, chain: Collection[str]) -> URL:
    try:
        location = URL(response.headers["Location"].strip())
        target = web_url(str(response.url.join(location))).with_fragment(None)
    except ValueError as error:
        raise WebFailure("redirects to what is no valid URL") from error
    except UserError as error:
        raise WebFailure(f"redirects to what {error}") from error
    if str(target) in chain:
        raise WebFailure("redirects in a circle")
    if len(chain) > MAX_HOPS:
        raise WebFailure(f"redirects more than {MAX_HOPS} times")
    return target


def _proxy_hint() -> str:
    """What to say where a host is not reached and proxies are set that were not used."""
    if not getproxies_environment().keys() - {"no"}:
        return ""
    return (
        "; proxies of the environment are used only for hosts that are named: --allow-host NAME, "
        "or --allow-host '*' for all"
    )


async def decoded(
    response: aiohttp.ClientResponse, max_bytes: int, as_sent: bool = False
) -> AsyncIterator[bytes]:
    """Stream an answer's body, unpacked unless `as_sent`; never more than 256 KiB in a piece.

    Raises WebFailure when it breaks off, comes to more than `max_bytes` unpacked (a small body may
    unpack to a thousand times its size), or is packed in a way that was not asked for.
    """
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    unpack: _Unpacker | None = None
    if coding in ("gzip", "x-gzip", "deflate") and not as_sent:
        unpack = _Unpacker(is_gzip=coding != "deflate")
    elif coding not in ("", "identity") and not as_sent:
        raise WebFailure(f"is encoded as {coding[:40]}, which was not asked for")
    size = 0
    with told_failures():
        async for packed in response.content.iter_any():
            for piece in unpack(packed) if unpack else (packed,):
                size += len(piece)
                if size > max_bytes:
                    raise WebFailure(f"has more than {max_bytes:,} bytes")
                yield piece
    if unpack and size and not unpack.complete:
        raise WebFailure("broke off within its compressed body", temporary=True)


class _Unpacker:
    """Unpacks gzip (of several members too) and deflate (with and without zlib's header).

    aiohttp does so too, but passes over that a body is cut.
    """

    def __init__(self, *, is_gzip: bool) -> None:
        self._is_gzip = is_gzip
        self._member: Inflater | None = None

    @property
    def complete(self) -> bool:
        return self._member is not None and self._member.eof

    def __call__(self, packed: bytes) -> Iterator[bytes]:
        while packed or not (self._member is None or self._member.needs_input):
            if self._member is None:
                has_header = bool(packed) and packed[0] & 15 == zlib.DEFLATED
                self._member = Inflater(31 if self._is_gzip else 15 if has_header else -15)
            elif self._member.eof:
                if not (self._is_gzip and packed.startswith(b"\x1f")):
                    return
                self._member = Inflater(31)
            try:
                piece = self._member.decompress(packed, _DECODED_AT_ONCE)
            except zlib.error:
                raise WebFailure("has a broken compressed body") from None
            packed = self._member.unused_data
            if piece:
                yield piece


@dataclass(eq=False)
class WebFailure(Exception):
    """Why a URL was not fetched, as the rest of a sentence that begins with it.

    Attributes:
        temporary: a later attempt may do better.
        wait_s: seconds to wait before it, where the server has said so.
        status: of the HTTP answer, where it was one.
        unreachable: the host of the URL was not connected to, whatever was to be had of it.
    """

    reason: str
    temporary: bool = False
    wait_s: float | None = None
    status: int = 0
    unreachable: bool = False

    def __str__(self) -> str:
        return self.reason


def failure_of_status(status: int, headers: Mapping[str, str]) -> WebFailure:
    """Return what a status from 400 on means."""
    words = _STATUS_WORDS.get(status) or (
        f"has an error of its server ({status})" if status >= 500 else f"is refused ({status})"
    )
    return WebFailure(words, status in _TEMPORARY_STATUS, _retry_after(headers), status)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After, seconds or a date; None where there is none that can be read."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), LONGEST_WAIT_S)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), LONGEST_WAIT_S)


def pause_s(
    failure: WebFailure, attempt: int, attempts: int, base_s: float, longest_s: float
) -> float:
    """Return seconds to wait before attempt `attempt` + 1 (from 1).

    The server's word if it gave one, else exponential backoff with full jitter, so that many
    clients that failed together do not come back together.

    Raises:
        WebFailure: the one that is given, if there is to be no other attempt.
    """
    if not failure.temporary or attempt >= attempts:
        failure.reason += f" ({attempt} attempts)" if attempt > 1 else ""
        raise failure
    backoff = random.uniform(0, min(longest_s, base_s * 2 ** (attempt - 1)))
    return backoff if failure.wait_s is None else failure.wait_s + random.uniform(0, base_s)


@contextmanager
def told_failures(hint: str = "", redirected: bool = False) -> Iterator[None]:
    """Turn the client's errors into `WebFailure`; `hint` ends those of connecting.

    `redirected`: to another host, perhaps; the one of the URL was reached.
    """
    try:
        yield
    except (UserError, aiohttp.ClientError, OSError) as error:
        failure = _failure_of(error, hint)
        failure.unreachable = failure.unreachable and not redirected
        raise failure from error


def _failure_of(error: Exception, hint: str) -> WebFailure:
    match error:
        case UserError():
            return WebFailure(str(error), unreachable=True)
        case aiohttp.ConnectionTimeoutError():
            words = f"cannot be connected to in time{hint}"
            return WebFailure(words, temporary=True, unreachable=True)
        case TimeoutError():
            return WebFailure("does not answer in time", temporary=True)
        case aiohttp.InvalidURL():
            return WebFailure("is no valid URL")
        case aiohttp.ClientConnectorDNSError():
            words = f"has a host whose name is not known{hint}"
            return WebFailure(words, temporary=True, unreachable=True)
        case aiohttp.ClientConnectorCertificateError():
            return WebFailure("has a certificate that is not valid", unreachable=True)
        case aiohttp.ClientConnectorError():
            untrusted = isinstance(error.os_error, ssl.SSLError)
            words = error.strerror or type(error.os_error).__name__
            words = f"cannot be connected to: {words}{hint}"
            return WebFailure(words, temporary=not untrusted, unreachable=True)
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return WebFailure("broke the connection", temporary=True)
        case aiohttp.ClientPayloadError():
            return WebFailure("broke off within its body", temporary=True)
        case aiohttp.ClientResponseError():
            return WebFailure("answers something that is no HTTP", temporary=True)
    words = getattr(error, "strerror", None) or type(error).__name__
    return WebFailure(f"fails on the way: {words}", temporary=True)
