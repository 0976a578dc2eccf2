"""A chat request and its completion, independent of the transport."""

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
"""Tokens that roles, separators and the fence around the article add to two messages."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Usage(NamedTuple):
    """Tokens billed for a request.

    Attributes:
        prompt: Prompt tokens, including cached ones.
        cached: Those of ``prompt`` that came from the provider's cache.
        completion: Completion tokens.

    Example:
        >>> Usage(100, 0, 10) + Usage(50, 25, 5)
        Usage(prompt=150, cached=25, completion=15)
    """

    prompt: int = 0
    cached: int = 0
    completion: int = 0

    def __add__(self, other: Usage) -> Usage:  # type: ignore[override]  # adds instead of concatenating
        return Usage(
            self.prompt + other.prompt,
            self.cached + other.cached,
            self.completion + other.completion,
        )


NO_USAGE = Usage()


class Completion(NamedTuple):
    """The parts of a chat completion that are used.

    Attributes:
        text: The content; None if the endpoint sent none.
        finish_reason: ``stop``, ``length`` or another value as the endpoint reports it.
        usage: The tokens billed.
        model: As the endpoint reports it, which may be longer than the requested name.
        headers: The response's ``x-ratelimit-*`` headers by lower-case name.
    """

    text: str | None
    finish_reason: str
    usage: Usage
    model: str
    headers: Mapping[str, str] = NO_HEADERS


@dataclass(frozen=True)
class ChatTemplate:
    """The part of a request that all articles of a run share.

    The system message comes first and never changes, so that providers can cache it. The template
    is encoded once; each request adds only the user message.

    Args:
        model: The model's name.
        system: The system message.
        max_output_tokens: The output limit, in tokens.
        temperature: None leaves it to the endpoint.
        response_format: As in the OpenAI API; None for plain text.
        limit_field: The endpoint's name for the output limit.

    Example:
        >>> ChatTemplate("gpt-4o-mini", "Summarize.", 200).messages("An article.")
        [{'role': 'system', 'content': 'Summarize.'}, {'role': 'user', 'content': 'An article.'}]
    """

    model: str
    system: str
    max_output_tokens: int
    temperature: float | None = None
    response_format: dict[str, Any] | None = None
    limit_field: LimitField = "max_tokens"
    _head: bytes = field(init=False, repr=False, compare=False, default=b"")
    constant_tokens: int = field(init=False, repr=False, compare=False, default=0)
    """Estimated tokens of everything in a request but the article."""

    def __post_init__(self) -> None:
        opening = orjson.dumps({**self.options(), "messages": [self._system_message()]})
        object.__setattr__(self, "_head", opening[:-2] + b',{"role":"user","content":')
        schema = orjson.dumps(self.response_format).decode() if self.response_format else ""
        tokens = estimate_tokens(self.system) + estimate_tokens(schema) + _MESSAGE_TOKENS
        object.__setattr__(self, "constant_tokens", tokens)

    @property
    def head_bytes(self) -> int:
        """Length of the encoded part that every request starts with, in bytes."""
        return len(self._head)

    def options(self) -> dict[str, Any]:
        """Return the request's keys other than ``messages``."""
        options: dict[str, Any] = {"model": self.model, self.limit_field: self.max_output_tokens}
        if self.temperature is not None:
            options["temperature"] = self.temperature
        if self.response_format is not None:
            options["response_format"] = self.response_format
        return options

    def messages(self, user: str) -> list[dict[str, str]]:
        """Return the two messages of a request."""
        return [self._system_message(), {"role": "user", "content": well_formed(user)}]

    def encode(self, user: str) -> bytes:
        """Return the JSON body of the request with this user message."""
        try:
            content = orjson.dumps(user)
        except orjson.JSONEncodeError:
            content = orjson.dumps(well_formed(user))
        return b"%b%b}]}" % (self._head, content)

    def with_output_limit(self, max_output_tokens: int) -> ChatTemplate:
        """Return a copy with another limit on output tokens."""
        return replace(self, max_output_tokens=max_output_tokens)

    def _system_message(self) -> dict[str, str]:
        return {"role": "system", "content": well_formed(self.system)}


def well_formed(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot encode, by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def output_limit_field(base_url: str) -> LimitField:
    """Return an endpoint's name for the limit on output tokens.

    OpenAI and Azure reject ``max_tokens`` for newer models; other servers (llama.cpp, Ollama, older
    vLLM) accept only ``max_tokens``.
    """
    host = urlsplit(base_url).hostname or ""
    is_openai = host.endswith((".openai.azure.com", ".api.openai.com")) or host == "api.openai.com"
    return "max_completion_tokens" if is_openai else "max_tokens"
