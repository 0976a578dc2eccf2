"""The answers of the embedded endpoint: composed once for each distinct request, then kept."""

import re
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

import orjson

from tasks.llm.embedded_fields import sentences_wanted
from tasks.llm.embedded_protocol import ChatRequest
from tasks.llm.embedded_schema import fill
from tasks.llm.extractive import Document, clip
from tasks.llm.tokens import estimate_tokens

Key = TypeVar("Key")
Value = TypeVar("Value")

_FINGERPRINT: Final = "fp_extractive_v1"
_CACHE_LEAST: Final = 1024
_CACHE_STEP: Final = 128
"""OpenAI caches prefixes of at least 1,024 tokens, in steps of 128:
https://platform.openai.com/docs/guides/prompt-caching."""


class LRU(OrderedDict[Key, Value], Generic[Key, Value]):
    """A dictionary of a bounded size that forgets what was asked for longest ago."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def recall(self, key: Key) -> Value | None:
        """Get a value, which makes it the last to be forgotten."""
        value = self.get(key)
        if value is not None:
            self.move_to_end(key)
        return value

    def keep(self, key: Key, value: Value) -> None:
        """Set a value, at the price of the oldest one."""
        self[key] = value
        if len(self) > self._size:
            self.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """The content of a completion; None as the content filter leaves it."""

    content: str | None
    finish_reason: str
    completion_tokens: int


@dataclass(slots=True)
class Prepared:
    """A request that was read, and what is known of its answer so far."""

    chat: ChatRequest
    answer: Answer | None = None
    tails: dict[int, bytes] = field(default_factory=dict)

    def answered(self) -> Answer:
        """Give the answer, which is composed the first time."""
        if self.answer is None:
            self.answer = compose(self.chat)
        return self.answer

    def tail(self, cached_tokens: int) -> bytes:
        """Give what follows id and time in the body of a faultless answer."""
        tail = self.tails.get(cached_tokens)
        if tail is None:
            tail = completion_tail(self.chat, self.answered(), cached_tokens)
            self.tails[cached_tokens] = tail
        return tail


_HEADLINE = re.compile(r"\b(headline|title for)\b|标题", re.IGNORECASE)


def compose(chat: ChatRequest) -> Answer:
    """Answer a request, cut at its max_tokens.

    Raises:
        ApiError: 400 for a schema that cannot be satisfied.
    """
    document = Document(chat.text, chat.title)
    if chat.schema is not None:
        content = orjson.dumps(fill(chat.schema, document, chat.instruction)).decode()
    elif chat.json_object:
        content = orjson.dumps(_any_object(document)).decode()
    else:
        content = _plain(document, chat.instruction)
    tokens = estimate_tokens(content)
    if chat.max_tokens is not None and tokens > chat.max_tokens:
        content = clip(content, chat.max_tokens)
        return Answer(content, "length", estimate_tokens(content))
    return Answer(content, "stop", tokens)


def _plain(document: Document, instruction: str) -> str:
    """What a plain request asks for: a headline if its instruction says so, else a summary."""
    if _HEADLINE.search(instruction):
        return document.headline()
    return document.summary(sentences_wanted(instruction))


def spoil(answer: Answer, fault: str) -> Answer:
    """Do to an answer what a fault does to its content."""
    content = answer.content or ""
    if fault == "content_filter":
        return Answer(None, "content_filter", 0)
    if fault == "empty":
        return Answer("", "stop", 0)
    if fault == "cut":
        half = clip(content, answer.completion_tokens // 2)
        return Answer(half, "length", estimate_tokens(half))
    if fault == "invalid_json":
        return replace(answer, content=content[: 2 * len(content) // 3])
    return answer


def completion_tail(chat: ChatRequest, answer: Answer, cached_tokens: int) -> bytes:
    """Write the body of a completion from its model on."""
    rest = {
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
        "system_fingerprint": _FINGERPRINT,
    }
    return b"," + orjson.dumps(rest)[1:]


class PromptCache:
    """Tells how many tokens of a prompt a real endpoint would have found in its prefix cache."""

    def __init__(self) -> None:
        self._seen: LRU[bytes, bool] = LRU(1024)

    def cached_tokens(self, chat: ChatRequest) -> int:
        """Count the fixed part of the prompt from its second time on, if it is long enough."""
        key, tokens = chat.cacheable
        if tokens < _CACHE_LEAST:
            return 0
        if self._seen.recall(key):
            return tokens - tokens % _CACHE_STEP
        self._seen.keep(key, True)
        return 0


def _any_object(document: Document) -> dict[str, Any]:
    return {
        "headline": document.headline(),
        "summary": document.summary(),
        "keywords": document.keywords(),
        "language": document.language,
    }
