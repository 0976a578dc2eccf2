"""Compose the completions of the mock endpoint, and apply faults to them."""

import time
from typing import Any, NamedTuple

import orjson

from article_flows.tasks.llm.protocol.token_estimate import estimate_tokens
from article_flows.tasks.mock_endpoint.extractive import Document, clip
from article_flows.tasks.mock_endpoint.protocol import ChatRequest
from article_flows.tasks.mock_endpoint.schema_filler import fill, requested_sentences


class GeneratedAnswer(NamedTuple):
    """The content of a completion, and its estimated tokens.

    ``content`` is None if the content filter withheld it.
    """

    content: str | None
    finish_reason: str
    tokens: int


def compose(chat: ChatRequest) -> GeneratedAnswer:
    """Answer a request within its max_tokens.

    Raises:
        ApiError: 400 for a schema that cannot be satisfied.
    """
    title, text = chat.article
    document = Document(text, title)
    if chat.requested_schema is not None:
        content = orjson.dumps(fill(chat.requested_schema, document, chat.instruction)).decode()
    elif chat.response_format.type == "json_object":
        answer = {"summary": document.summary(), "keywords": document.keywords()}
        content = orjson.dumps(answer).decode()
    else:
        content = document.summary(requested_sentences(chat.instruction))
    tokens = estimate_tokens(content)
    if chat.max_tokens is not None and tokens > chat.max_tokens:
        return _truncate(content, chat.max_tokens)
    return GeneratedAnswer(content, "stop", tokens)


def apply_fault(answer: GeneratedAnswer, fault: str) -> GeneratedAnswer:
    """Return the answer with the effect of a fault on its content."""
    content = answer.content or ""
    match fault:
        case "content_filter":
            return GeneratedAnswer(None, "content_filter", 0)
        case "empty":
            return GeneratedAnswer("", "stop", 0)
        case "cut":
            return _truncate(content, answer.tokens // 2)
        case "invalid_json":
            return answer._replace(content=content[: 2 * len(content) // 3])
        case _:
            return answer


def _truncate(content: str, tokens: int) -> GeneratedAnswer:
    part = clip(content, tokens)
    return GeneratedAnswer(part, "length", estimate_tokens(part))


def completion(
    chat: ChatRequest, answer: GeneratedAnswer, *, call: str, cached_tokens: int
) -> dict[str, Any]:
    """Return the body of a chat completion."""
    message = {"role": "assistant", "content": answer.content, "refusal": None}
    reason = answer.finish_reason
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return {
        "id": f"chatcmpl-{call}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": chat.model,
        "choices": [choice],
        "usage": {
            "prompt_tokens": chat.prompt_tokens,
            "completion_tokens": answer.tokens,
            "total_tokens": chat.prompt_tokens + answer.tokens,
            "prompt_tokens_details": {"cached_tokens": cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "system_fingerprint": "fp_extractive_v1",
    }
