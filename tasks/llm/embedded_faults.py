"""The errors that faults answer with, in the shapes of OpenAI and Azure."""

from tasks.llm.embedded_protocol import ApiError
from tasks.llm.embedded_quota import retry_after

_FILTERED = {"filtered": True, "severity": "medium"}
_PASSED = {"filtered": False, "severity": "safe"}


def server_error(status: int) -> ApiError:
    """An error of the server's own: 500 or 503."""
    if status == 503:
        message = "That model is currently overloaded with other requests. Please retry later."
        return ApiError(503, message, kind="server_error", code="overloaded")
    message = "The server had an error while processing your request. Sorry about that!"
    return ApiError(500, message, kind="server_error")


def rate_limited(seconds: float, message: str) -> ApiError:
    """Too many requests, with the time to wait; 0 leaves the caller to guess it."""
    return ApiError(
        429,
        message,
        kind="requests",
        code="rate_limit_exceeded",
        headers=retry_after(seconds) if seconds > 0 else None,
    )


def insufficient_quota() -> ApiError:
    """The money has run out: 429, but no wait helps."""
    return ApiError(
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        kind="insufficient_quota",
        code="insufficient_quota",
    )


def raise_error(fault: str | None, coin: float) -> None:
    """Raise the ApiError of a fault that has one; `coin` is Decision's."""
    if fault in ("http_500", "http_503"):
        raise server_error(int(fault.removeprefix("http_")))
    if fault == "content_filter" and coin < 0.5:
        raise content_filtered()


def content_filtered() -> ApiError:
    """Azure's refusal of a prompt."""
    return ApiError(
        400,
        "The response was filtered due to the prompt triggering the content management policy. "
        "Please modify your prompt and retry.",
        code="content_filter",
        param="prompt",
        extra={
            "status": 400,
            "innererror": {
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_result": {"violence": _FILTERED, "hate": _PASSED},
            },
        },
    )


def too_long(limit: int, tokens: int) -> ApiError:
    """A prompt beyond the context of the model."""
    return ApiError(
        400,
        f"This model's maximum context length is {limit} tokens. However, your messages resulted "
        f"in {tokens} tokens. Please reduce the length of the messages.",
        code="context_length_exceeded",
        param="messages",
    )
