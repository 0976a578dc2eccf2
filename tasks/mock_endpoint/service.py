"""The mock endpoint without HTTP: authorization, limits, faults and replies."""

import hmac
import os
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from article_flows.tasks.llm.protocol.token_estimate import estimate_tokens
from article_flows.tasks.mock_endpoint.answers import (
    GeneratedAnswer,
    apply_fault,
    completion,
    compose,
)
from article_flows.tasks.mock_endpoint.faults import Faults
from article_flows.tasks.mock_endpoint.protocol import (
    MODEL_ID,
    NOTICE,
    ApiError,
    ChatRequest,
    parse_chat,
)
from article_flows.tasks.mock_endpoint.quota import Quota

CHAT_PATH: Final = "/v1/chat/completions"
BREAKING: Final = ("reset", "stall", "truncated")
"""Faults that break the connection before or during the reply."""
_MODEL: Final = {
    "id": MODEL_ID,
    "object": "model",
    "created": 1_704_067_200,
    "owned_by": f"article-flows: {NOTICE}",
}
_GET_REPLIES: Final[dict[str, dict[str, Any]]] = {
    "/health": {"status": "ok", "model": MODEL_ID, "notice": NOTICE},
    "/v1/models": {"object": "list", "data": [_MODEL]},
    f"/v1/models/{MODEL_ID}": _MODEL,
}
_GARBAGE: Final = b'<html><body><h1>It works!</h1></body></html>{"id": "chatcmpl-'
_MIN_CACHED_TOKENS: Final = 1024
_CACHE_STEP: Final = 128
"""OpenAI caches prefixes of at least 1,024 tokens, in steps of 128:
https://platform.openai.com/docs/guides/prompt-caching."""


class Reply(NamedTuple):
    """A reply for the server to send.

    Attributes:
        status: The HTTP status.
        body: The encoded body.
        headers: The HTTP headers.
        delay_s: Seconds to wait before sending.
        fault: The fault or limit that caused it, if any.
        usage: Prompt and completion tokens billed.
        prompt: A hash of the prompt if the answer is complete and without faults; else empty.
    """

    status: int
    body: bytes
    headers: dict[str, str]
    delay_s: float = 0.0
    fault: str = ""
    usage: tuple[int, int] = (0, 0)
    prompt: str = ""


class Service:
    """The state of the endpoint, which decides its replies.

    Args:
        faults: Faults and limits; by default none.
        api_key: The required key; without one, any key passes.
        strict_model: Whether to reject all models but its own.

    Attributes:
        active: Chat completion requests in progress.
    """

    def __init__(
        self, faults: Faults | None = None, api_key: str | None = None, strict_model: bool = False
    ) -> None:
        self.faults = faults or Faults()
        self._authorization = f"Bearer {api_key}".encode() if api_key else None
        self._strict_model = strict_model
        self._quota = Quota(self.faults.rpm, self.faults.tpm, burst=self.faults.burst)
        self._run = os.urandom(6).hex()
        self.active = self._calls = self._answers = 0
        self._seen_prefixes: set[str] = set()

    def handle_other(self, method: str, path: str, authorization: str) -> Reply:
        """Reply to anything but a chat completion request."""
        try:
            if path != "/health":
                self._authorize(authorization)
            if method == "GET" and path in _GET_REPLIES:
                return Reply(200, orjson.dumps(_GET_REPLIES[path]), self.headers())
            if path.startswith("/v1/models/"):
                self._check_model(path.removeprefix("/v1/models/"))
            return self._error_reply(ApiError(404, f"Invalid URL ({method} {path})"))
        except ApiError as error:
            return self._error_reply(error)

    def chat(self, body: bytes, authorization: str) -> Reply:
        """Reply to a chat completion request; call `finish` once the reply is sent or dropped."""
        self._calls += 1
        self.active += 1
        try:
            self._authorize(authorization)
            return self._reply(body)
        except ApiError as error:
            return self._error_reply(error)

    def finish(self, reply: Reply, *, sent: bool) -> None:
        """Count a request as done; `sent` says whether the whole reply was written."""
        self.active -= 1
        self._answers += sent and reply.status == 200

    def generate(self, body: bytes) -> tuple[ChatRequest, GeneratedAnswer, str]:
        """Parse a request and return it with its answer and the hash of its prompt."""
        return _answered(body)

    def headers(self) -> dict[str, str]:
        """Return the headers of every response."""
        return {
            "Content-Type": "application/json",
            "x-mock-endpoint": NOTICE,
            "x-request-id": f"req_{self._call_id()}",
            **self._quota.headers(),
        }

    def _reply(self, body: bytes) -> Reply:
        chat, answer, prompt = self.generate(body)
        if self._strict_model:
            self._check_model(chat.model)
        fault, coin, latency = self.faults.decide(self._calls)
        self._admit(chat, fault)
        delay_s = self.faults.slowed(latency, self.active)
        poison = self.faults.poison
        if poison is not None and any(poison in part for part in chat.article):
            # The same prompt always fails in the same way.
            fault, coin = "poison", int(chat.prompt_hash, 16) / 2**64
        elif fault == "invalid_json" and chat.response_format.type == "text":
            fault = None
        effect = "content_filter" if fault == "poison" else fault
        if effect in ("http_500", "http_503") or (effect == "content_filter" and coin < 0.5):
            return self._error_reply(ApiError.of_fault(effect, fault or ""), delay_s)
        if effect:
            answer = apply_fault(answer, effect)
        is_good = fault is None and answer.finish_reason == "stop"
        cached = self._cached_tokens(chat)
        content = completion(chat, answer, call=self._call_id(), cached_tokens=cached)
        return Reply(
            200,
            _GARBAGE if fault == "garbage" else orjson.dumps(content),
            self.headers(),
            delay_s,
            fault=fault or "",
            usage=(chat.prompt_tokens, answer.tokens),
            prompt=prompt if is_good else "",
        )

    def _error_reply(self, error: ApiError, delay_s: float = 0.0) -> Reply:
        headers = {**self.headers(), **error.headers}
        return Reply(error.status, error.body, headers, delay_s, fault=error.fault)

    def _admit(self, chat: ChatRequest, fault: str | None) -> None:
        """Raise ApiError if a limit is exceeded, or if the fault is a 429."""
        faults = self.faults
        if faults.quota_after is not None and self._answers >= faults.quota_after:
            raise ApiError.of_fault("insufficient_quota", "quota_after")
        if fault == "insufficient_quota":
            raise ApiError.of_fault(fault)
        if fault == "http_429":
            raise ApiError.of_fault(fault, wait_s=faults.retry_after)
        if faults.max_concurrent is not None and self.active > faults.max_concurrent:
            raise ApiError.of_fault("http_429", "max_concurrent", faults.retry_after)
        if faults.too_long is not None and chat.prompt_tokens > faults.too_long:
            raise ApiError.of_fault("too_long")
        self._quota.admit(chat.prompt_tokens + (chat.max_tokens or 0))

    def _authorize(self, sent: str) -> None:
        expected = self._authorization
        if expected and not hmac.compare_digest(sent.encode(errors="surrogateescape"), expected):
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")

    def _check_model(self, model: str) -> None:
        if model != MODEL_ID:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise ApiError(404, message, code="model_not_found", param="model")

    def _cached_tokens(self, chat: ChatRequest) -> int:
        """Return the cached tokens: those of a long enough prefix that was seen before."""
        tokens = estimate_tokens(chat.instruction) + chat.schema_tokens
        prefix = (
            f"{chat.instruction}\0{chat.requested_schema}" if tokens >= _MIN_CACHED_TOKENS else ""
        )
        if prefix in self._seen_prefixes:
            return tokens - tokens % _CACHE_STEP
        if prefix:
            self._seen_prefixes.add(prefix)
        return 0

    def _call_id(self) -> str:
        return f"{self._run}{self._calls:08x}"


@lru_cache(maxsize=4096)
def _answered(body: bytes) -> tuple[ChatRequest, GeneratedAnswer, str]:
    chat = parse_chat(body)
    return chat, compose(chat), chat.prompt_hash
