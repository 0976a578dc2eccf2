"""What can go wrong with a fetch, in words, and whether to try again."""

from __future__ import annotations

import random
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from tasks.errors import UserError

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


class WebFailure(Exception):
    """Why a URL was not fetched, as the rest of a sentence that begins with it.

    Attributes:
        temporary: a later attempt may do better.
        wait_s: seconds to wait before it, where the server has said so.
        status: of the HTTP answer, where it was one.
        unreachable: the host of the URL was not connected to, whatever was to be had of it.
    """

    def __init__(
        self,
        reason: str,
        temporary: bool = False,
        wait_s: float | None = None,
        status: int = 0,
        unreachable: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.temporary = temporary
        self.wait_s = wait_s
        self.status = status
        self.unreachable = unreachable


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
