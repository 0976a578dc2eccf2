"""The answers of the mock endpoint: what a completion says, and what faults do to it."""

import re
import time
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from tasks.llm.tokens import estimate_tokens
from tasks.mock_endpoint.extractive.document import Document, clip
from tasks.mock_endpoint.field_values import sentences_wanted
from tasks.mock_endpoint.protocol import ChatRequest
from tasks.mock_endpoint.schema_filler import fill

_HEADLINE: Final = re.compile(r"\b(headline|title for)\b|标题", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """The content of a completion; None as the content filter leaves it."""

    content: str | None
    finish_reason: str
    completion_tokens: int


def compose(chat: ChatRequest) -> Answer:
    """Answer a request, cut at its max_tokens.

    Raises:
        ApiError: 400 for a schema that cannot be satisfied.
    """
    title, text = chat.article
    document = Document(text, title)
    if chat.schema_wanted is not None:
        content = orjson.dumps(fill(chat.schema_wanted, document, chat.instruction)).decode()
    elif chat.response_format.type == "json_object":
        content = orjson.dumps(
            {
                "headline": document.headline(),
                "summary": document.summary(),
                "keywords": document.keywords(),
                "language": document.language,
            }
        ).decode()
    elif _HEADLINE.search(chat.instruction):
        content = document.headline()
    else:
        content = document.summary(sentences_wanted(chat.instruction))
    tokens = estimate_tokens(content)
    if chat.limit is not None and tokens > chat.limit:
        return _cut(content, chat.limit)
    return Answer(content, "stop", tokens)


def spoil(answer: Answer, fault: str) -> Answer:
    """Do to an answer what a fault does to its content."""
    content = answer.content or ""
    match fault:
        case "content_filter":
            return Answer(None, "content_filter", 0)
        case "empty":
            return Answer("", "stop", 0)
        case "cut":
            return _cut(content, answer.completion_tokens // 2)
        case "invalid_json":
            return replace(answer, content=content[: 2 * len(content) // 3])
        case _:
            return answer


def completion(
    chat: ChatRequest, answer: Answer, *, call: str, cached_tokens: int
) -> dict[str, Any]:
    """Return the body of a chat completion."""
    return {
        "id": f"chatcmpl-{call}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": chat.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.content, "refusal": None},
                "logprobs": None,
                "finish_reason": answer.finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": chat.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "total_tokens": chat.prompt_tokens + answer.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "system_fingerprint": "fp_extractive_v1",
    }


def _cut(content: str, tokens: int) -> Answer:
    """Return an answer that ends where the model ran out of tokens."""
    part = clip(content, tokens)
    return Answer(part, "length", estimate_tokens(part))
