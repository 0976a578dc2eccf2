"""From the body of a 200 to a completion and what it was billed, whatever dialect it is in."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import orjson

from article_flows.tasks.llm.protocol.chat import (
    NO_HEADERS,
    NO_USAGE,
    Completion,
    Usage,
    well_formed,
)
from article_flows.tasks.llm.protocol.error_classification import classify_wrapped, one_line
from article_flows.tasks.llm.protocol.errors import LLMError, RejectedInput, Transient

_MOST_TOKENS = 10**9
"""What no call has: a count beyond it is garbled."""
_LONGEST_WORD = 200
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def parse_completion(
    body: bytes, secret: str | None = None, headers: Mapping[str, str] = NO_HEADERS
) -> Completion:
    """The few fields that matter of a ``chat.completion`` object; raises LLMError.

    Args:
        body: of an answer with status 200.
        secret: the API key, kept out of error messages.
        headers: the ``x-ratelimit-*`` ones of the answer, for the completion or the error.
    """
    document = _document(body)
    usage = parse_usage(document.get("usage"))
    try:
        choice = document["choices"][0]
        finish_reason = choice.get("finish_reason")
        message = choice["message"]
        text = _text_of(message.get("content"), secret)
        refusal = message.get("refusal")
    except (LookupError, TypeError, AttributeError):
        raise _billed(classify_wrapped(body, secret), usage, headers) from None
    error: LLMError | None = None
    if finish_reason == "content_filter":
        error = RejectedInput("content_filter", "the endpoint withheld the answer")
    elif finish_reason == "error":
        error = Transient("server_error", "the endpoint gave up in mid-answer")
    elif refusal and not text:
        said = one_line(refusal, secret)
        error = RejectedInput("content_filter", f"the model refused: {said}")
    if error is not None:
        raise _billed(error, usage, headers)
    return Completion(
        text,
        _word(finish_reason, secret) or "stop",
        usage,
        _word(document.get("model"), secret),
        headers,
    )


def _billed(error: LLMError, usage: Usage, headers: Mapping[str, str]) -> LLMError:
    """The error with what came beside it."""
    error.usage = usage
    error.headers = headers
    return error


def parse_usage(usage: object) -> Usage:
    """Tokens from a ``usage`` object; what a server leaves out or garbles counts as zero."""
    if not isinstance(usage, dict):
        return NO_USAGE
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    prompt = _count(usage.get("prompt_tokens"))
    return Usage(prompt, min(cached, prompt), _count(usage.get("completion_tokens")))


def _count(value: object) -> int:
    if type(value) is int:
        return value if 0 < value <= _MOST_TOKENS else 0
    try:
        number = float(value)  # type: ignore[arg-type]  # what cannot be one raises TypeError
    except (TypeError, ValueError):
        return 0
    return int(number) if math.isfinite(number) and 0 < number <= _MOST_TOKENS else 0


def _document(body: bytes) -> dict[str, Any]:
    """The answer's JSON; empty if it is none, or no object."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        # orjson refuses half of a surrogate pair, which models that stop inside an emoji send.
        try:
            document = json.loads(body.decode(errors="replace"))
        except (ValueError, RecursionError):
            return {}
    return document if isinstance(document, dict) else {}


def _word(value: object, secret: str | None) -> str:
    return _clean(value, secret)[:_LONGEST_WORD] if isinstance(value, str) else ""


def _clean(text: str, secret: str | None) -> str:
    """Text that any table, terminal and database takes, without the key, whoever echoes it."""
    # Nearly no text has anything to clean but its line breaks: this alone tells, and is cheaper.
    if not text.replace("\n", "").isprintable():
        text = _CONTROLS.sub("", well_formed(text))
    return text.replace(secret, "***") if secret else text


def _text_of(content: object, secret: str | None) -> str | None:
    """The text of a message, which some servers send in parts; TypeError if it is no text."""
    if isinstance(content, list):
        parts = [part if isinstance(part, str) else part.get("text") for part in content]
        content = "".join(part for part in parts if isinstance(part, str))
    if content is None:
        return None
    if not isinstance(content, str):
        raise TypeError("content is neither text nor parts of it")
    return _clean(content, secret)
