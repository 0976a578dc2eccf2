"""What the mock endpoint does apart from serving HTTP: who is let in, what they get, counts."""

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import orjson

from tasks.mock_endpoint.answers import Answer, completion, compose, spoil
from tasks.mock_endpoint.faults import Faults
from tasks.mock_endpoint.protocol import (
    MODEL_ID,
    NOTICE,
    ApiError,
    ChatRequest,
    error_of,
    parse_chat,
    rate_limited,
)
from tasks.mock_endpoint.quota import Quota
from tasks.mock_endpoint.stats import Stats

CHAT_PATH: Final = "/v1/chat/completions"
HEADERS: Final = {"Content-Type": "application/json", "x-embedded-endpoint": NOTICE}
_MODEL: Final = {
    "id": MODEL_ID,
    "object": "model",
    "created": 1_704_067_200,
    "owned_by": f"article-flows: {NOTICE}",
}
_GARBAGE: Final = b'<html><body><h1>It works!</h1></body></html>{"id": "chatcmpl-'
_CACHE_LEAST: Final = 1024
_CACHE_STEP: Final = 128
"""OpenAI caches prefixes of at least 1,024 tokens, in steps of 128:
https://platform.openai.com/docs/guides/prompt-caching."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a chat completion request gets, for a server to send.

    Attributes:
        status, body, headers: the response.
        delay_s: seconds to wait before it is sent.
        broken: "reset", "stall" or "truncated" for a connection that breaks in place of it.
        usage: prompt and completion tokens to bill for it.
        prompt: hash of the prompt if the answer is a good one.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]
    delay_s: float = 0.0
    broken: str = ""
    usage: tuple[int, int] = field(default=(0, 0))
    prompt: str = ""


class Service:
    """The state of the endpoint, which a server calls.

    Args:
        faults: its misbehavior; none by default.
        api_key: the key to ask for; without one, any will do.
        strict_model: whether to know no model but its own.
    """

    def __init__(
        self, faults: Faults | None = None, api_key: str | None = None, strict_model: bool = False
    ) -> None:
        self.faults = faults or Faults()
        self.stats = Stats()
        self._authorization = f"Bearer {api_key}".encode() if api_key else None
        self._strict_model = strict_model
        self._quota = Quota(self.faults.rpm, self.faults.tpm, burst=self.faults.burst)
        self._run = os.urandom(6).hex()
        self._calls = 0
        self._answers = 0
        self._active = 0
        self._seen_prefixes: set[str] = set()

    def other(self, method: str, full_path: str, authorization: str) -> dict[str, Any]:
        """Return the answer to anything but a chat completion.

        Raises:
            ApiError: 401, or 404 for an unknown path.
        """
        path = full_path.rstrip("/")
        if (method, path) == ("GET", "/health"):
            return {"status": "ok", "model": MODEL_ID, "notice": NOTICE}
        if (method, path) == ("GET", "/stats"):
            return self.stats.as_dict(self._active)
        if (method, path) == ("GET", "/stats/prompts"):
            return self.stats.prompts
        if (method, path) == ("POST", "/stats/reset"):
            self.stats = Stats(max_concurrent_seen=self._active)
            return self.stats.as_dict(self._active)
        self._authorize(authorization)
        if (method, path) == ("GET", "/v1/models"):
            return {"object": "list", "data": [_MODEL]}
        if method == "GET" and path.startswith("/v1/models/"):
            self._check_model(path.removeprefix("/v1/models/"))
            return _MODEL
        raise ApiError(404, f"Invalid URL ({method} {full_path})")

    def chat(self, body: bytes, authorization: str) -> Reply:
        """Take a chat completion request; `ended` must be called once the reply is dealt with."""
        self._calls += 1
        self._active += 1
        self.stats.calls += 1
        self.stats.max_concurrent_seen = max(self.stats.max_concurrent_seen, self._active)
        try:
            self._authorize(authorization)
            return self._reply(body)
        except ApiError as error:
            return self._refusal(error)

    def ended(self, reply: Reply, *, sent: bool) -> None:
        """Count a request as done; `sent` is whether the whole reply was written."""
        self._active -= 1
        if not sent:
            self.stats.generated_not_delivered += 1
        arrived = sent or reply.broken == "truncated"
        self.stats.calls_per_status[str(reply.status) if arrived else "none"] += 1
        if sent and reply.status == 200:
            self._answers += 1
            self.stats.billed_prompt_tokens += reply.usage[0]
            self.stats.billed_completion_tokens += reply.usage[1]
            if reply.prompt:
                self.stats.prompts[reply.prompt] += 1

    def answered(self, body: bytes) -> tuple[ChatRequest, Answer, str]:
        """Read a request and answer it; the third is what tells its prompt from others.

        The benchmarks' canned server has its own way.

        Raises:
            ApiError: 400 for a request that is wrong.
        """
        chat, answer = _answered(body)
        return chat, answer, chat.prompt_hash

    def headers(self) -> dict[str, str]:
        """Return the headers of every response."""
        return {**HEADERS, "x-request-id": f"req_{self._call_id()}", **self._quota.headers()}

    def _reply(self, body: bytes) -> Reply:
        chat, answer, prompt = self.answered(body)
        if self._strict_model:
            self._check_model(chat.model)
        decision, poison = self.faults.decide(self._calls), self.faults.poison
        fault, coin = decision.fault, decision.coin
        self._admit(chat, fault)
        delay_s = self.faults.slowed(decision.latency, self._active)
        name = fault
        if poison is not None and any(poison in part for part in chat.article):
            # The same prompt always fails in the same way.
            name, fault, coin = "poison", "content_filter", int(chat.prompt_hash, 16) / 2**64
        elif fault == "invalid_json" and chat.response_format.type == "text":
            name = fault = None
        if fault in ("http_500", "http_503"):
            return self._refusal(error_of(fault, fault), delay_s)
        if name and fault == "content_filter" and coin < 0.5:
            return self._refusal(error_of(fault, name), delay_s)
        if name and fault:
            self.stats.by_fault[name] += 1
            answer = spoil(answer, fault)
        good = fault is None and answer.finish_reason == "stop"
        cached = self._cached_tokens(chat)
        content = completion(chat, answer, call=self._call_id(), cached_tokens=cached)
        return Reply(
            200,
            _GARBAGE if fault == "garbage" else orjson.dumps(content),
            self.headers(),
            delay_s,
            broken=fault if fault in ("reset", "stall", "truncated") else "",
            usage=(chat.prompt_tokens, answer.completion_tokens),
            prompt=prompt if good else "",
        )

    def _refusal(self, error: ApiError, delay_s: float = 0.0) -> Reply:
        if error.fault:
            self.stats.by_fault[error.fault] += 1
        return Reply(error.status, error.body, {**self.headers(), **error.headers}, delay_s)

    def _admit(self, chat: ChatRequest, fault: str | None) -> None:
        """Raise the ApiError of a limit that the request exceeds, or of a fault that is one."""
        faults = self.faults
        if faults.quota_after is not None and self._answers >= faults.quota_after:
            raise error_of("insufficient_quota", "quota_after")
        if fault == "insufficient_quota":
            raise error_of(fault, fault)
        if fault == "http_429":
            raise rate_limited("Rate limit reached for requests.", faults.retry_after, fault)
        if faults.max_concurrent is not None and self._active > faults.max_concurrent:
            message = f"Too many requests at once: Limit {faults.max_concurrent}."
            raise rate_limited(message, faults.retry_after, "max_concurrent")
        if faults.too_long is not None and chat.prompt_tokens > faults.too_long:
            raise ApiError(
                400,
                f"This model's maximum context length is {faults.too_long} tokens. However, your "
                f"messages resulted in {chat.prompt_tokens} tokens. Please reduce the length of "
                "the messages.",
                code="context_length_exceeded",
                param="messages",
                fault="too_long",
            )
        self._quota.admit(chat.prompt_tokens + (chat.limit or 0))

    def _authorize(self, sent: str) -> None:
        wanted = self._authorization
        if wanted and not hmac.compare_digest(sent.encode(errors="surrogateescape"), wanted):
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")

    def _check_model(self, model: str) -> None:
        if model != MODEL_ID:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise ApiError(404, message, code="model_not_found", param="model")

    def _cached_tokens(self, chat: ChatRequest) -> int:
        """Count the fixed part of a prompt from its second time on, if it is long enough."""
        if chat.fixed_tokens < _CACHE_LEAST:
            return 0
        prefix = f"{chat.instruction}\0{chat.schema_wanted}"
        if prefix in self._seen_prefixes:
            return chat.fixed_tokens - chat.fixed_tokens % _CACHE_STEP
        self._seen_prefixes.add(prefix)
        return 0

    def _call_id(self) -> str:
        return f"{self._run}{self._calls:08x}"


@lru_cache(maxsize=4096)
def _answered(body: bytes) -> tuple[ChatRequest, Answer]:
    chat = parse_chat(body)
    return chat, compose(chat)
