"""What a provider's answer says about its rate limits: read from the headers, made comparable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, NamedTuple

from tasks.llm.classify import duration


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


def _openai(what: str) -> _Names:
    return (
        f"x-ratelimit-limit-{what}",
        f"x-ratelimit-remaining-{what}",
        f"x-ratelimit-reset-{what}",
    )


def _anthropic(what: str) -> _Names:
    return (
        f"anthropic-ratelimit-{what}-limit",
        f"anthropic-ratelimit-{what}-remaining",
        f"anthropic-ratelimit-{what}-reset",
    )


# OpenAI, Azure, Groq, Together; OpenAI's projects; Cerebras; Anthropic.
_REQUESTS: Final = (
    _openai("requests"),
    _openai("project-requests"),
    _openai("requests-minute"),
    _openai("requests-day"),
    _anthropic("requests"),
)
# Not Anthropic's input-tokens and output-tokens: they are no limits on the sum of the two.
_TOKENS: Final = (
    _openai("tokens"),
    _openai("project-tokens"),
    _openai("tokens-minute"),
    _anthropic("tokens"),
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
    tightest = None
    for names in family:
        if (limit := headers.get(names[0])) is not None:
            window = _window(headers, limit, names)
            if window and (tightest is None or _tightness(window) < _tightness(tightest)):
                tightest = window
    return tightest


def _tightness(window: RateWindow) -> tuple[bool, float, float]:
    """What is used up binds first; otherwise what allows less in the long run."""
    remaining = window.limit if window.remaining is None else window.remaining
    return remaining >= 1, window.limit, remaining


def _window(headers: Mapping[str, str], limit_text: str, names: _Names) -> RateWindow | None:
    limit = _number(limit_text)
    if limit is None or limit < 1:
        return None
    remaining = _number(headers.get(names[1], ""))
    reset_s = _reset_s(headers.get(names[2], ""), headers.get("date", ""))
    if reset_s is not None and reset_s > _LONGEST_RESET_S:
        reset_s = None
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
    return _until(text, date) if "T" in text else _duration(text)


_duration = lru_cache(maxsize=4096)(duration)


@lru_cache(maxsize=256)
def _until(text: str, date: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
        return max(0.0, (moment - parsedate_to_datetime(date)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
