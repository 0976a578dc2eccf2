"""The errors of a request, one class per reaction.

| error               | reaction                                                     |
|---------------------|--------------------------------------------------------------|
| RateLimited         | all requests pause; costs no attempt                         |
| EndpointUnavailable | the run stops at once; finished work is kept                 |
| Transient           | retried with backoff, up to a few attempts                   |
| InvalidResponse     | retried within the re-ask budget, then the article fails     |
| RejectedInput       | the article fails at once                                    |
"""

from __future__ import annotations

from collections.abc import Mapping

from article_flows.tasks.llm.protocol.chat import NO_HEADERS, NO_USAGE, Usage


class LLMError(Exception):
    """A request without a valid answer.

    Attributes:
        error_class: A short name for counting and filtering, such as ``content_filter``.
        message: One line for the user; never contains the API key.
        usage: The tokens billed for the request in spite of the error.
        retry_after: Seconds that the endpoint asked to wait, if it did.
        headers: The response's ``x-ratelimit-*`` headers by lower-case name; empty if none.
        stalled: Whether the stall timeout ended the request before its deadline.
    """

    def __init__(
        self,
        error_class: str,
        message: str,
        *,
        usage: Usage = NO_USAGE,
        retry_after: float | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        super().__init__(f"{error_class}: {message}")
        self.error_class = error_class
        self.message = message
        self.usage = usage
        self.retry_after = retry_after
        self.stalled = False
        self.headers = headers


class RateLimited(LLMError):
    """The endpoint asks to slow down (429)."""


class EndpointUnavailable(LLMError):
    """No request can succeed until the user acts: wrong key, quota, model or URL."""


class Transient(LLMError):
    """The same request may succeed later: 5xx, connection reset, timeout, truncated body."""


class InvalidResponse(LLMError):
    """An answer, which is billed, that does not match the recipe's fields."""


class RejectedInput(LLMError):
    """The endpoint does not answer this article: content filter, too long, bad request."""


PERMANENT_ERROR_CLASSES = frozenset({"content_filter", "too_long", "bad_request"})
"""Error classes that a later run does not retry.

``request_refused`` is not among them: it is a bad request before the endpoint has answered any, so
the recipe, the key or the server may be at fault instead of the article.
"""
