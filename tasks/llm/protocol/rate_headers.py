"""What a provider's answer says about its rate limits: read from the headers, made comparable."""

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
        limit: what a minute (for some a day) allows; more than 0.
        remaining: what is left of it now, 0 or more; None if not said.
        reset_s: seconds until all of it is there again; None if not said.
    """

    limit: float
    remaining: float | None = None
    reset_s: float | None = None


class RateHeaders(NamedTuple):
    """The tightest limit on requests and the tightest on tokens; None where nothing is said."""

    requests: RateWindow | None
    tokens: RateWindow | None


_Names = tuple[str, str, str]


def _names(limit: str) -> _Names:
    """The headers of a limit: what is allowed, what remains, and when all is there again."""
    return limit, limit.replace("-limit", "-remaining"), limit.replace("-limit", "-reset")


# OpenAI, Azure, Groq, Together; OpenAI's projects; Cerebras; Anthropic.
_REQUESTS: Final = (
    _names("x-ratelimit-limit-requests"),
    _names("x-ratelimit-limit-project-requests"),
    _names("x-ratelimit-limit-requests-minute"),
    _names("x-ratelimit-limit-requests-day"),
    _names("anthropic-ratelimit-requests-limit"),
)
# Not Anthropic's input-tokens and output-tokens: they are no limits on the sum of the two.
_TOKENS: Final = (
    _names("x-ratelimit-limit-tokens"),
    _names("x-ratelimit-limit-project-tokens"),
    _names("x-ratelimit-limit-tokens-minute"),
    _names("anthropic-ratelimit-tokens-limit"),
)
_LONGEST_RESET_S: Final = 25 * 3600.0
"""No quota is for longer than a day; some servers send a date as seconds since 1970."""


def rate_headers(headers: Mapping[str, str]) -> RateHeaders | None:
    """Read the rate limits in an answer's headers; None if there are none that make sense.

    A reset that is a date (RFC 3339, as Anthropic's) is counted from the answer's own Date, so
    that a clock that goes wrong here does no harm; without a Date it is not known.

    Args:
        headers: by lower-case name. Limits without a positive number are ignored, and so is any
            other value that cannot be read; so is a reset that is over a day away.
    """
    requests = _tightest(headers, _REQUESTS)
    tokens = _tightest(headers, _TOKENS)
    return RateHeaders(requests, tokens) if requests or tokens else None


def _tightest(headers: Mapping[str, str], family: tuple[_Names, ...]) -> RateWindow | None:
    windows = [_window(headers, names) for names in family if names[0] in headers]
    return min(filter(None, windows), key=_tightness, default=None)


def _tightness(window: RateWindow) -> tuple[bool, float, float]:
    """What is used up binds first; otherwise what allows less in the long run."""
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
    # A "T" between day and hour is all that tells RFC 3339 from a duration.
    reset_s = _until(text, date) if "T" in text else _duration(text)
    return None if reset_s is None or reset_s > _LONGEST_RESET_S else reset_s


_duration = lru_cache(maxsize=4096)(duration)


@lru_cache(maxsize=256)
def _until(text: str, date: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
        return max(0.0, (moment - parsedate_to_datetime(date)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
