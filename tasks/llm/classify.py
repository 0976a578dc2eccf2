"""From an HTTP status and body to one of the five errors."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from typing import Any

import orjson

from tasks.llm.errors import EndpointRefused, LLMError, RateLimited, Transient, UnusableArticle

_OUT_OF_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_FILTERED = {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}
_TOO_LONG = re.compile(
    r"context_length_exceeded|string_above_max_length|maximum context length|context window"
    r"|prompt is too long|exceeds? the available context size",
    re.IGNORECASE,
)
_RETRY_STATUSES = {408, 409, 425}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EXCERPT = 300


def classify(status: int, headers: Mapping[str, str], body: bytes) -> LLMError:
    """The error for an HTTP answer other than 200."""
    error = _error_of(body)
    code = str(error.get("code") or "")
    kind = str(error.get("type") or "")
    message = _one_line(error.get("message") or body.decode(errors="replace"), status)
    wait = retry_after(headers)
    if status == 402 or {code, kind} & _OUT_OF_QUOTA:
        return EndpointRefused(
            "out_of_quota", f"{message}; add credit or raise the limit, then run again"
        )
    if status == 429:
        return RateLimited("rate_limited", message, retry_after=wait)
    if status in (401, 403):
        return EndpointRefused("bad_key", f"{message}; check OPENAI_API_KEY or the Secret block")
    if status == 404:
        return _not_found(code, message)
    if status >= 500 or status in _RETRY_STATUSES:
        return Transient("server_error", message, retry_after=wait)
    if {code, kind} & _FILTERED:
        return UnusableArticle("content_filter", message)
    if status == 413 or _TOO_LONG.search(f"{code} {message}"):
        return UnusableArticle("too_long", message)
    return UnusableArticle("bad_request", message)


def _not_found(code: str, message: str) -> EndpointRefused:
    if "model" in code or "model" in message.lower():
        return EndpointRefused("no_such_model", f"{message}; name another with --model")
    return EndpointRefused(
        "no_such_url", f"{message}; is --base-url right? it usually ends with /v1"
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After (seconds or a date), or from the x-ratelimit headers."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    stated = headers.get("retry-after")
    if (seconds := _number(stated)) is not None:
        return seconds
    if stated and (date := email.utils.parsedate_tz(stated)):
        return max(0.0, email.utils.mktime_tz(date) - time.time())
    resets = [
        duration(headers.get(f"x-ratelimit-reset-{what}", ""))
        for what in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{what}") == "0"
    ]
    return max((reset for reset in resets if reset is not None), default=None)


def duration(text: str) -> float | None:
    """Seconds in a duration such as ``20ms``, ``6m0s`` or ``1.5``; None if it is not one."""
    if (seconds := _number(text)) is not None:
        return seconds
    if not text or _DURATION.sub("", text).strip():
        return None
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION.findall(text))


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is None or 0 <= value < float("inf") else None


def _error_of(body: bytes) -> dict[str, Any]:
    """The OpenAI error object, whichever of the usual wrappings the server has for it."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(document, dict):
        return {}
    error = document.get("error", document)
    if isinstance(error, str):
        return {"message": error}
    if not isinstance(error, dict):
        return {}
    return error if "message" in error else {"message": error.get("detail"), **error}


def _one_line(message: object, status: int) -> str:
    text = " ".join(str(message or "").split())[:_EXCERPT]
    return f"HTTP {status}: {text}" if text else f"HTTP {status}"
