"""Read the rate limits that a provider reports in response headers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, NamedTuple

from article_flows.tasks.llm.protocol.error_classification import duration


class RateWindow(NamedTuple):
    """One limit as the provider reports it.

    Attributes:
        limit: Units per minute (some providers: per day); more than 0.
        remaining: Units left, 0 or more; None if not reported.
        reset_s: Seconds until the whole limit is available again; None if not reported.
    """

    limit: float
    remaining: float | None = None
    reset_s: float | None = None


class RateHeaders(NamedTuple):
    """The tightest limit on requests and the tightest on tokens; None if not reported."""

    requests: RateWindow | None
    tokens: RateWindow | None


_Names = tuple[str, str, str]
"""The headers of one limit: limit, remaining, reset."""


def _names(limit: str) -> _Names:
    return limit, limit.replace("-limit", "-remaining"), limit.replace("-limit", "-reset")


# OpenAI, Azure, Groq, Together; OpenAI's projects; Cerebras; Anthropic.
_REQUESTS: Final = (
    _names("x-ratelimit-limit-requests"),
    _names("x-ratelimit-limit-project-requests"),
    _names("x-ratelimit-limit-requests-minute"),
    _names("x-ratelimit-limit-requests-day"),
    _names("anthropic-ratelimit-requests-limit"),
)
# Without Anthropic's input-tokens and output-tokens, which do not limit the sum of the two.
_TOKENS: Final = (
    _names("x-ratelimit-limit-tokens"),
    _names("x-ratelimit-limit-project-tokens"),
    _names("x-ratelimit-limit-tokens-minute"),
    _names("anthropic-ratelimit-tokens-limit"),
)
_MAX_RESET_S: Final = 25 * 3600.0
"""No quota covers more than a day; some servers send a date as seconds since 1970."""


def rate_headers(headers: Mapping[str, str]) -> RateHeaders | None:
    """Read the rate limits in the headers of a response.

    A reset given as a date (RFC 3339, as Anthropic does) is relative to the response's own Date
    header, so that a wrong local clock does no harm; without that header it is unknown.

    Args:
        headers: By lower-case name. Values that cannot be parsed are ignored, as are limits
            below 1 and resets more than a day away.

    Returns:
        The limits, or None if there is no valid one.

    Example:
        >>> rate_headers({"x-ratelimit-limit-requests": "500", "x-ratelimit-reset-requests": "6s"})
        RateHeaders(requests=RateWindow(limit=500.0, remaining=None, reset_s=6.0), tokens=None)
    """
    requests = _tightest(headers, _REQUESTS)
    tokens = _tightest(headers, _TOKENS)
    return RateHeaders(requests, tokens) if requests or tokens else None


def _tightest(headers: Mapping[str, str], family: tuple[_Names, ...]) -> RateWindow | None:
    windows = [_window(headers, names) for names in family if names[0] in headers]
    return min(filter(None, windows), key=_tightness, default=None)


def _tightness(window: RateWindow) -> tuple[bool, float, float]:
    """Sort exhausted limits first, then the lowest limit."""
    remaining = window.limit if window.remaining is None else window.remaining
    return remaining >= 1, window.limit, remaining


def _window(headers: Mapping[str, str], names: _Names) -> RateWindow | None:
    limit = _number(headers[names[0]])
    if limit is None or limit < 1:
        return None
    remaining = _number(headers.get(names[1], ""))
    reset_s = _reset_s(headers.get(names[2], ""), headers.get("date", ""))
    return RateWindow(limit, None if remaining is None else max(0.0, remaining), reset_s)


@lru_cache(maxsize=4096)
def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if -1e18 < value < 1e18 else None


def _reset_s(text: str, date: str) -> float | None:
    # The "T" between date and time distinguishes RFC 3339 from a duration.
    reset_s = _seconds_until(text, date) if "T" in text else _duration(text)
    return None if reset_s is None or reset_s > _MAX_RESET_S else reset_s


_duration = lru_cache(maxsize=4096)(duration)


@lru_cache(maxsize=256)
def _seconds_until(text: str, date: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
        return max(0.0, (moment - parsedate_to_datetime(date)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
