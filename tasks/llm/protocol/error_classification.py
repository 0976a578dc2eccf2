"""Classify HTTP error responses into the errors of `errors`."""

from __future__ import annotations

import email.utils
import html
import math
import re
import time
from collections.abc import Mapping
from typing import Any

import orjson

from article_flows.tasks.llm.protocol.chat import NO_HEADERS
from article_flows.tasks.llm.protocol.errors import (
    EndpointUnavailable,
    LLMError,
    RateLimited,
    RejectedInput,
    Transient,
)

_OUT_OF_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_FILTERED = {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}
_LONG_CODES = {"context_length_exceeded", "string_above_max_length", "exceed_context_size_error"}
_TOO_LONG = re.compile(
    r"context_length_exceeded|string_above_max_length|maximum context length|context window"
    r"|prompt is too long|exceeds? the available context size",
    re.IGNORECASE,
)
# OpenAI answers 429 to a request with more tokens than a whole minute allows: waiting is useless.
_NEVER_FITS = re.compile(r"tokens must be reduced|^HTTP 429: Request too large", re.IGNORECASE)
# Gemini answers 400, not 401, to a bad key.
_BAD_KEY = re.compile(r"api[ _]key (not valid|invalid|expired)|API_KEY_INVALID", re.IGNORECASE)
_IMPLIED_STATUS = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "invalid_request_error": 400,
}
_RETRY_STATUSES = {408, 409, 425}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_MARKUP = re.compile(r"<(style|script)\b.*?(</\1\s*>|\Z)|<[^<>]*>", re.IGNORECASE | re.DOTALL)
_MAX_LINE_LENGTH = 300
_MAX_PAGE_BYTES = 2**16
_MIN_SECRET_LENGTH = 4


def classify(
    status: int, headers: Mapping[str, str], body: bytes, secret: str | None = None
) -> LLMError:
    """Return the error for a response whose status is not 200.

    Args:
        status: The HTTP status.
        headers: The response's headers; names in any case.
        body: An error object in one of the usual wrappings, a web page, or anything else.
        secret: The API key, which some servers echo in their message.

    Example:
        >>> error = classify(429, {"retry-after": "2"}, b'{"error": {"message": "Slow down"}}')
        >>> error, error.retry_after
        (RateLimited('rate_limited: HTTP 429: Slow down'), 2.0)
    """
    error = _classify(status, headers, _error_object(body), body, secret)
    error.headers = limit_headers(headers)
    return error


def classify_wrapped(body: bytes, secret: str | None = None) -> LLMError:
    """Return the error for a 200 without a completion, in which some gateways wrap errors."""
    error = _error_object(body)
    if not (error.get("message") or error.get("code")):
        return Transient("bad_response", "the endpoint's response is not a chat completion")
    return _classify(_implied_status(error), {}, error, body, secret)


def _classify(
    status: int,
    headers: Mapping[str, str],
    error: Mapping[str, Any],
    body: bytes,
    secret: str | None,
) -> LLMError:
    codes = {str(error.get(name) or "") for name in ("code", "type")}
    text = error.get("message") or _page_text(body[:_MAX_PAGE_BYTES].decode(errors="replace"))
    message = f"HTTP {status}: {one_line(text, secret)}".removesuffix(": ")
    if status == 402 or codes & _OUT_OF_QUOTA:
        return EndpointUnavailable(
            "out_of_quota", f"{message}; add credit or raise the limit, then run again"
        )
    if codes & _FILTERED or _flagged(error):
        return RejectedInput("content_filter", message)
    if codes & _LONG_CODES or status == 413 or (status == 429 and _NEVER_FITS.search(message)):
        return RejectedInput("too_long", message)
    if status == 429:
        return RateLimited("rate_limited", message, retry_after=retry_after(headers))
    if status >= 500 or status in _RETRY_STATUSES:
        return Transient("server_error", message, retry_after=retry_after(headers))
    return _permanent_error(status, headers, codes, message, secret)


def _permanent_error(
    status: int, headers: Mapping[str, str], codes: set[str], message: str, secret: str | None
) -> LLMError:
    if status in (401, 403) or (status == 400 and _BAD_KEY.search(message)):
        return EndpointUnavailable(
            "bad_key", f"{message}; check OPENAI_API_KEY or the Secret block"
        )
    if 300 <= status < 400:
        target = one_line(headers.get("location") or "nowhere", secret)
        return EndpointUnavailable(
            "no_such_url",
            f"HTTP {status}: the endpoint redirects to {target}; check --base-url",
        )
    if status in (404, 405):
        if any("model" in text.lower() for text in (*codes, message)):
            return EndpointUnavailable("no_such_model", f"{message}; name another with --model")
        return EndpointUnavailable(
            "no_such_url", f"{message}; check --base-url, which usually ends with /v1"
        )
    if _TOO_LONG.search(message):
        return RejectedInput("too_long", message)
    return RejectedInput("bad_request", message)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how long to wait before the next request, in seconds.

    Reads ``retry-after-ms``, ``Retry-After`` (seconds or an HTTP date, RFC 9110 section 10.2.3),
    then ``x-ratelimit-reset-*`` of exhausted quotas.

    Returns:
        Seconds, or None if the server did not say.
    """
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if (seconds := _number(value)) is not None:
        return seconds
    if value and (date := _seconds_since_epoch(value)) is not None:
        return max(0.0, date - time.time())
    resets = [
        duration(headers.get(f"x-ratelimit-reset-{unit}", ""))
        for unit in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{unit}") == "0"
    ]
    return max((reset for reset in resets if reset is not None), default=None)


def limit_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the rate limit headers by lower-case name.

    These are ``x-ratelimit-*`` and ``anthropic-ratelimit-*``, with the ``date`` that resets are
    relative to. Without any, the shared empty mapping `NO_HEADERS` is returned.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    if not any(map(_is_limit, lowered)):
        return NO_HEADERS
    return {name: value for name, value in lowered.items() if _is_limit(name) or name == "date"}


def _is_limit(name: str) -> bool:
    return "ratelimit-" in name


def duration(text: str) -> float | None:
    """Return the seconds in a duration such as ``20ms``, ``6m0s`` or ``1.5``; None if invalid."""
    if (seconds := _number(text)) is not None:
        return seconds
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        return None
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    return seconds if math.isfinite(seconds) else None


def one_line(text: object, secret: str | None = None) -> str:
    """Return the text as one line of at most 300 printable characters, without the API key.

    A secret of fewer than 4 characters is ignored, as it cannot be a key.
    """
    line = str(text)
    if secret and len(secret) >= _MIN_SECRET_LENGTH:
        line = line.replace(secret, "***")
    line = "".join(character if character.isprintable() else " " for character in line)
    return " ".join(line.split())[:_MAX_LINE_LENGTH].rstrip()


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is None or 0 <= value < math.inf else None


def _seconds_since_epoch(text: str) -> float | None:
    """Parse an HTTP date, which is in GMT even if it does not say so."""
    try:
        date = email.utils.parsedate_tz(text)
        return email.utils.mktime_tz((*date[:9], date[9] or 0)) if date else None
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _error_object(body: bytes) -> dict[str, Any]:
    """Return the OpenAI error object, unwrapped from the layouts of the usual servers."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if isinstance(document, list) and document:
        document = document[0]  # Gemini wraps the object in a list.
    if not isinstance(document, dict):
        return {}
    error = document.get("error") or document.get("detail") or document
    if isinstance(error, str):
        return {"message": error}
    if isinstance(error, list):
        return {"message": "; ".join(_validation_message(item) for item in error)}
    if not isinstance(error, dict):
        return {}
    return error if error.get("message") else {**error, "message": error.get("detail")}


def _validation_message(item: object) -> str:
    """Format one of FastAPI's validation errors without its ``input``: it may be the article."""
    if not isinstance(item, dict):
        return str(item)
    location = item.get("loc")
    path = ".".join(str(part) for part in location) if isinstance(location, list) else ""
    return f"{path}: {item.get('msg')}".removeprefix(": ")


def _flagged(error: Mapping[str, Any]) -> bool:
    """Return whether this is OpenRouter's 403 for an article flagged by moderation."""
    metadata = error.get("metadata")
    return isinstance(metadata, dict) and "flagged_input" in metadata


def _implied_status(error: Mapping[str, Any]) -> int:
    """Return the HTTP status that corresponds to an error in a 200."""
    for name in ("code", "status", "type"):
        value = error.get(name)
        if isinstance(value, str) and value in _IMPLIED_STATUS:
            return _IMPLIED_STATUS[value]
        number = _number(str(value))
        if number is not None and 400 <= number < 600:
            return int(number)
    return 500


def _page_text(text: str) -> str:
    """Return the title of a web page, else its text; other text is returned unchanged."""
    if not text.lstrip().startswith("<"):
        return text
    title = _TITLE.search(text)
    shown = title.group(1) if title and title.group(1).strip() else _MARKUP.sub(" ", text)
    return html.unescape(shown)
