"""The HTTP client for pages, files and robots.txt: checks each redirect and limits body sizes.

Hosts that the user has named are reached as usual, through the environment's proxies. All others
are reached at public addresses only and never through a proxy, because a proxy resolves names
itself, which would bypass the address check.
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
    check_literal_host,
    web_url,
)

AGENT = "article-flows"
"""Our name in robots.txt files and in the User-Agent header."""
CONNECT_TIMEOUT_S = 15.0
"""Seconds for resolving a name and connecting, including TLS."""
READ_TIMEOUT_S = 60.0
"""Seconds without a byte after which a request fails."""
MAX_REDIRECTS = 10
"""Redirects that are followed; browsers follow 20, legitimate sites need 3."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Cookies make response headers large: aiohttp's default of 8 KiB fails on real sites.
_MAX_HEADER_BYTES = 32 << 10
_BLOCK_BYTES = 256 << 10

_TEMPORARY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
_STATUS_REASONS = {
    401: "requires a password (401)",
    403: "is forbidden (403)",
    404: "does not exist (404)",
    410: "is gone (410)",
    429: "has received too many requests (429)",
    451: "is withheld for legal reasons (451)",
}
MAX_RETRY_AFTER_S = 60.0
"""Upper limit for the wait that a server requests with Retry-After, in seconds."""

BeforeHop = Callable[[URL], Awaitable[None]]
"""Called before each request of a chain of redirects; raises `WebFailure` to reject it."""


def user_agent() -> str:
    """Return the User-Agent header."""
    return f"{AGENT}/{version(AGENT)} (loads articles that its user has listed; obeys robots.txt)"


class WebClient:
    """An HTTP client for one event loop; use it as an async context manager.

    Args:
        allow_hosts: Private hosts that may be fetched from: ``host`` or ``host:port``.
        connections: Limit of open connections; 0 for none.
        total_s: Timeout of one response, without redirects before it, in seconds; None for none.
        read_s: Timeout between two reads, in seconds.
    """

    def __init__(
        self,
        allow_hosts: Collection[str] = (),
        connections: int = 100,
        total_s: float | None = None,
        read_s: float = READ_TIMEOUT_S,
    ) -> None:
        self._allowed = AllowedHosts(allow_hosts)
        self._connections = connections
        self._timeout = aiohttp.ClientTimeout(
            total=total_s, connect=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=read_s
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
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )

    @asynccontextmanager
    async def get(
        self, url: str, headers: dict[str, str], before_hop: BeforeHop | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Request a URL, follow redirects, and yield the response before its body is read.

        Raises:
            WebFailure: The URL cannot be fetched; includes statuses from 400.
        """
        visited: set[str] = set()
        with as_web_failure():
            target = web_url(url).with_fragment(None)
        while True:
            visited.add(str(target))
            if before_hop:
                await before_hop(target)
            trusted = target in self._allowed
            with as_web_failure("" if trusted else _proxy_hint(), redirected=len(visited) > 1):
                if not trusted:
                    check_literal_host(target)
                response = await self._sessions[trusted].get(
                    target, headers=headers, allow_redirects=False
                )
            async with response:
                if response.status not in _REDIRECTS or "Location" not in response.headers:
                    if response.status >= 400:
                        raise failure_for_status(response.status, response.headers)
                    yield response
                    return
                target = _redirect_target(response, visited)


def _redirect_target(response: aiohttp.ClientResponse, visited: Collection[str]) -> URL:
    try:
        location = URL(response.headers["Location"].strip())
        target = web_url(str(response.url.join(location))).with_fragment(None)
    except ValueError as error:
        raise WebFailure("redirects to an invalid URL") from error
    except UserError as error:
        raise WebFailure(f"redirects to a location that {error}") from error
    if str(target) in visited:
        raise WebFailure("redirects in a circle")
    if len(visited) > MAX_REDIRECTS:
        raise WebFailure(f"redirects more than {MAX_REDIRECTS} times")
    return target


def _proxy_hint() -> str:
    """Return the end of a message about an unreachable host, if proxies are set but not used."""
    if not getproxies_environment().keys() - {"no"}:
        return ""
    return (
        "; proxies of the environment are only used for named hosts: --allow-host NAME, "
        "or --allow-host '*' for all"
    )


async def decoded_body(
    response: aiohttp.ClientResponse, max_bytes: int, as_sent: bool = False
) -> AsyncIterator[bytes]:
    """Stream the body of a response in blocks of at most 256 KiB.

    Args:
        response: A response whose body was not read yet.
        max_bytes: Limit after decompression: bodies can expand a thousandfold.
        as_sent: Do not decompress it.

    Raises:
        WebFailure: The body is truncated or too large, or its coding was not requested.
    """
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    decompress: _Decompressor | None = None
    if coding in ("gzip", "x-gzip", "deflate") and not as_sent:
        decompress = _Decompressor(is_gzip=coding != "deflate")
    elif coding not in ("", "identity") and not as_sent:
        raise WebFailure(f"is encoded as {coding[:40]}, which was not requested")
    size = 0
    with as_web_failure():
        async for packed in response.content.iter_any():
            for piece in decompress(packed) if decompress else (packed,):
                size += len(piece)
                if size > max_bytes:
                    raise WebFailure(f"has more than {max_bytes:,} bytes")
                yield piece
    if decompress and size and not decompress.complete:
        raise WebFailure("ended in the middle of its compressed body", temporary=True)


class _Decompressor:
    """A decompressor of gzip with any number of members, and deflate with or without a header.

    Unlike aiohttp's, it detects truncated bodies.
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
                piece = self._member.decompress(packed, _BLOCK_BYTES)
            except zlib.error:
                raise WebFailure("has a corrupt compressed body") from None
            packed = self._member.unused_data
            if piece:
                yield piece


@dataclass(eq=False)
class WebFailure(Exception):
    """The reason why a URL was not fetched.

    Attributes:
        reason: The rest of a sentence that begins with the URL.
        temporary: A later attempt may succeed.
        wait_s: Seconds to wait before the next attempt, if the server has requested it.
        status: HTTP status; 0 if there was no response.
        unreachable: No connection to the URL's own host was made.
    """

    reason: str
    temporary: bool = False
    wait_s: float | None = None
    status: int = 0
    unreachable: bool = False

    def __str__(self) -> str:
        return self.reason


def failure_for_status(status: int, headers: Mapping[str, str]) -> WebFailure:
    """Return the failure for an HTTP status from 400."""
    reason = _STATUS_REASONS.get(status) or (
        f"has a server error ({status})" if status >= 500 else f"is refused ({status})"
    )
    return WebFailure(reason, status in _TEMPORARY_STATUS, _retry_after(headers), status)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds in Retry-After, a number or a date (RFC 9110 §10.2.3); None if invalid."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), MAX_RETRY_AFTER_S)


def retry_delay_s(
    failure: WebFailure, attempt: int, attempts: int, base_s: float, max_s: float
) -> float:
    """Return the seconds to wait before the next attempt.

    The wait that the server has requested, with jitter; else exponential backoff with full jitter
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

    Args:
        failure: Why the last attempt failed.
        attempt: Number of the last attempt, from 1.
        attempts: Maximum number of attempts.
        base_s: Initial backoff, in seconds.
        max_s: Maximum backoff, in seconds.

    Raises:
        WebFailure: `failure`, if there should be no other attempt.
    """
    if not failure.temporary or attempt >= attempts:
        failure.reason += f" ({attempt} attempts)" if attempt > 1 else ""
        raise failure
    backoff = random.uniform(0, min(max_s, base_s * 2 ** (attempt - 1)))
    return backoff if failure.wait_s is None else failure.wait_s + random.uniform(0, base_s)


@contextmanager
def as_web_failure(hint: str = "", redirected: bool = False) -> Iterator[None]:
    """Turn errors of the client into `WebFailure`.

    Args:
        hint: Appended to the reason if connecting fails.
        redirected: The request follows a redirect, so the URL's own host was reached.
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
            reason = f"cannot be connected to in time{hint}"
            return WebFailure(reason, temporary=True, unreachable=True)
        case TimeoutError():
            return WebFailure("did not respond in time", temporary=True)
        case aiohttp.InvalidURL():
            return WebFailure("is not a valid URL")
        case aiohttp.ClientConnectorDNSError():
            reason = f"has an unknown host name{hint}"
            return WebFailure(reason, temporary=True, unreachable=True)
        case aiohttp.ClientConnectorCertificateError():
            return WebFailure("has an invalid certificate", unreachable=True)
        case aiohttp.ClientConnectorError():
            untrusted = isinstance(error.os_error, ssl.SSLError)
            cause = error.strerror or type(error.os_error).__name__
            reason = f"cannot be connected to: {cause}{hint}"
            return WebFailure(reason, temporary=not untrusted, unreachable=True)
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return WebFailure("closed the connection", temporary=True)
        case aiohttp.ClientPayloadError():
            return WebFailure("ended in the middle of its body", temporary=True)
        case aiohttp.ClientResponseError():
            return WebFailure("sent an invalid HTTP response", temporary=True)
    cause = getattr(error, "strerror", None) or type(error).__name__
    return WebFailure(f"failed in transit: {cause}", temporary=True)
