"""What can go wrong with a call, by what is done about it.

| error           | what happens                                                          |
|-----------------|-----------------------------------------------------------------------|
| RateLimited     | everyone waits; costs no attempt                                      |
| EndpointUnavailable | the run stops at once; what is done stays done                        |
| Transient       | retried with backoff, a few attempts                                  |
| InvalidResponse  | asked again within the re-ask budget, then the article has failed     |
| RejectedInput | the article has failed at once                                        |
"""

from __future__ import annotations

from collections.abc import Mapping

from article_flows.tasks.llm.protocol.chat import NO_HEADERS, NO_USAGE, Usage


class LLMError(Exception):
    """A call without a usable answer.

    Attributes:
        error_class: a short name for counting and filtering, such as ``content_filter``.
        message: one line for the user; never holds the API key.
        usage: the tokens that the call was billed for all the same.
        stalled: whether the call was given up for its silence before its deadline.
        retry_after: seconds that the endpoint asked to wait, if it did.
        headers: the answer's ``x-ratelimit-*`` headers, by lower-case name; empty without one.
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
    """No call can succeed until somebody acts: key, quota, model, address."""


class Transient(LLMError):
    """The same call may succeed in a moment: 5xx, reset, timeout, truncated body."""


class InvalidResponse(LLMError):
    """An answer came (and was billed), but it is not what the recipe asks for."""


class RejectedInput(LLMError):
    """The endpoint will not answer this article: content filter, too long, bad request."""


PERMANENT_CLASSES = frozenset({"content_filter", "too_long", "bad_request"})
"""Error classes that time does not heal: such rows are not asked again by a later run.

``request_refused`` is not one of them: a bad request before the endpoint has answered anything,
which may be the fault of the recipe, the key or the server as well as the article's.
"""
