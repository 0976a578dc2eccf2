"""Parse the body of a 200 response, in the dialects of the usual servers."""

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

_MAX_TOKENS = 10**9
"""A larger count is garbled."""
_MAX_NAME_LENGTH = 200
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def parse_completion(
    body: bytes, secret: str | None = None, headers: Mapping[str, str] = NO_HEADERS
) -> Completion:
    """Parse a ``chat.completion`` object.

    Args:
        body: The body of a response with status 200.
        secret: The API key, to be kept out of error messages.
        headers: The response's ``x-ratelimit-*`` headers, for the completion or the error.

    Raises:
        LLMError: The response has no usable completion.

    Example:
        >>> body = b'{"choices": [{"message": {"content": "Fine."}, "finish_reason": "stop"}]}'
        >>> parse_completion(body).text
        'Fine.'
    """
    document = _parse_object(body)
    usage = parse_usage(document.get("usage"))
    try:
        choice = document["choices"][0]
        finish_reason = choice.get("finish_reason")
        message = choice["message"]
        text = _text_of(message.get("content"), secret)
        refusal = message.get("refusal")
    except (LookupError, TypeError, AttributeError):
        raise _with_usage(classify_wrapped(body, secret), usage, headers) from None
    error: LLMError | None = None
    if finish_reason == "content_filter":
        error = RejectedInput("content_filter", "the endpoint withheld the answer")
    elif finish_reason == "error":
        error = Transient("server_error", "the endpoint failed while answering")
    elif refusal and not text:
        message = one_line(refusal, secret)
        error = RejectedInput("content_filter", f"the model refused: {message}")
    if error is not None:
        raise _with_usage(error, usage, headers)
    return Completion(
        text,
        _name(finish_reason, secret) or "stop",
        usage,
        _name(document.get("model"), secret),
        headers,
    )


def _with_usage(error: LLMError, usage: Usage, headers: Mapping[str, str]) -> LLMError:
    error.usage = usage
    error.headers = headers
    return error


def parse_usage(usage: object) -> Usage:
    """Read the tokens of a ``usage`` object; missing and garbled counts become zero."""
    if not isinstance(usage, dict):
        return NO_USAGE
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    prompt = _count(usage.get("prompt_tokens"))
    return Usage(prompt, min(cached, prompt), _count(usage.get("completion_tokens")))


def _count(value: object) -> int:
    if type(value) is int:
        return value if 0 < value <= _MAX_TOKENS else 0
    try:
        number = float(value)  # type: ignore[arg-type]  # other types raise TypeError
    except (TypeError, ValueError):
        return 0
    return int(number) if math.isfinite(number) and 0 < number <= _MAX_TOKENS else 0


def _parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object; anything else gives an empty one."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        # orjson rejects half a surrogate pair, which models send when they stop inside an emoji.
        try:
            document = json.loads(body.decode(errors="replace"))
        except (ValueError, RecursionError):
            return {}
    return document if isinstance(document, dict) else {}


def _name(value: object, secret: str | None) -> str:
    return _clean(value, secret)[:_MAX_NAME_LENGTH] if isinstance(value, str) else ""


def _clean(text: str, secret: str | None) -> str:
    """Remove characters that tables, terminals or databases reject, and the key if echoed."""
    # This check is cheaper, and hardly any text has unprintable characters but line breaks.
    if not text.replace("\n", "").isprintable():
        text = _CONTROL_CHARACTERS.sub("", well_formed(text))
    return text.replace(secret, "***") if secret else text


def _text_of(content: object, secret: str | None) -> str | None:
    """Return the text of a message, which some servers send in parts.

    Raises:
        TypeError: The content is not text.
    """
    if isinstance(content, list):
        parts = [part if isinstance(part, str) else part.get("text") for part in content]
        content = "".join(part for part in parts if isinstance(part, str))
    if content is None:
        return None
    if not isinstance(content, str):
        raise TypeError("content is neither text nor a list of parts")
    return _clean(content, secret)
