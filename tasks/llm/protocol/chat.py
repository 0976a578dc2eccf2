"""One chat request and its completion, apart from how they travel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import orjson

from article_flows.tasks.llm.protocol.token_estimate import estimate_tokens

LimitField = Literal["max_tokens", "max_completion_tokens"]

_MESSAGE_TOKENS = 12
"""Tokens that roles, separators and the fence add to a request's two messages."""


NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Usage(NamedTuple):
    """Tokens that a call was billed for; ``cached`` are those of ``prompt`` read from a cache."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0

    def __add__(self, other: Usage) -> Usage:  # type: ignore[override]  # a sum, no longer tuple
        return Usage(
            self.prompt + other.prompt,
            self.cached + other.cached,
            self.completion + other.completion,
        )


NO_USAGE = Usage()


class Completion(NamedTuple):
    """What the endpoint sent back.

    Attributes:
        text: None when the endpoint sent no content.
        finish_reason: ``stop``, ``length`` or what else the endpoint says.
        usage: what the call was billed for.
        model: as the endpoint names it, which may be longer than what was asked for.
        headers: the answer's ``x-ratelimit-*`` headers, by lower-case name.
    """

    text: str | None
    finish_reason: str
    usage: Usage
    model: str
    headers: Mapping[str, str] = NO_HEADERS


@dataclass(frozen=True)
class ChatTemplate:
    """The part of a request that is the same for every article of a run.

    The system message comes first and never changes, so that a provider's prompt cache can
    hold it. The template is encoded once; a request adds only the user message.
    """

    model: str
    system: str
    max_output_tokens: int
    temperature: float | None = None
    response_format: dict[str, Any] | None = None
    limit_field: LimitField = "max_tokens"
    _head: bytes = field(init=False, repr=False, compare=False, default=b"")
    constant_tokens: int = field(init=False, repr=False, compare=False, default=0)
    """An estimate for all of a request but the article."""

    def __post_init__(self) -> None:
        opening = orjson.dumps({**self.options(), "messages": [self._system_message()]})
        object.__setattr__(self, "_head", opening[:-2] + b',{"role":"user","content":')
        schema = orjson.dumps(self.response_format).decode() if self.response_format else ""
        tokens = estimate_tokens(self.system) + estimate_tokens(schema) + _MESSAGE_TOKENS
        object.__setattr__(self, "constant_tokens", tokens)

    @property
    def head_bytes(self) -> int:
        """Length of what every request of the run begins with, encoded."""
        return len(self._head)

    def options(self) -> dict[str, Any]:
        """The request's keys other than ``messages``."""
        options: dict[str, Any] = {"model": self.model, self.limit_field: self.max_output_tokens}
        if self.temperature is not None:
            options["temperature"] = self.temperature
        if self.response_format is not None:
            options["response_format"] = self.response_format
        return options

    def messages(self, user: str) -> list[dict[str, str]]:
        """The two messages of a request."""
        return [self._system_message(), {"role": "user", "content": well_formed(user)}]

    def encode(self, user: str) -> bytes:
        """The JSON body of the request for one user message."""
        try:
            content = orjson.dumps(user)
        except orjson.JSONEncodeError:
            content = orjson.dumps(well_formed(user))
        return b"%b%b}]}" % (self._head, content)

    def with_limit(self, max_output_tokens: int) -> ChatTemplate:
        """The same template with another cap on the answer's tokens."""
        return replace(self, max_output_tokens=max_output_tokens)

    def _system_message(self) -> dict[str, str]:
        return {"role": "system", "content": well_formed(self.system)}


def well_formed(text: str) -> str:
    """The text with U+FFFD for every lone surrogate, which no UTF-8 and so no request can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def limit_field_for(base_url: str) -> LimitField:
    """The name that an endpoint has for the cap on output tokens.

    OpenAI and Azure refuse ``max_tokens`` for their newer models; other servers (llama.cpp,
    Ollama, older vLLM) know only ``max_tokens``.
    """
    host = urlsplit(base_url).hostname or ""
    newer = host.endswith((".openai.azure.com", ".api.openai.com")) or host == "api.openai.com"
    return "max_completion_tokens" if newer else "max_tokens"
