"""What the embedded endpoint does apart from serving HTTP: who is let in, and what is counted."""

import hmac
import os
import time
from typing import Any, Final

from tasks.llm.embedded_answers import Answer, Prepared
from tasks.llm.embedded_gate import Gate
from tasks.llm.embedded_protocol import MODEL_ID, NOTICE, ApiError
from tasks.llm.embedded_stats import Stats
from tasks.llm.faults import Decision, Faults

CHAT_PATH: Final = "/v1/chat/completions"
_HEADERS: Final = {"Content-Type": "application/json", "x-embedded-endpoint": NOTICE}
_MODEL: Final = {
    "id": MODEL_ID,
    "object": "model",
    "created": 1_704_067_200,
    "owned_by": f"article-flows: {NOTICE}",
}
_GARBAGE: Final = b'<html><body><h1>It works!</h1></body></html>{"id": "chatcmpl-'


class Service:
    """The endpoint's state, which a server of either kind of answers calls.

    Args:
        faults: its misbehaviour.
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
        self._gate = Gate(self.faults)
        self._run = os.urandom(6).hex()
        self._calls = 0
        self._answers = 0
        self._active = 0

    def is_chat(self, method: str, path: str) -> bool:
        """Tell whether a request is a chat completion."""
        return path == CHAT_PATH and method == "POST"

    def other(self, method: str, full_path: str, authorization: bytes) -> Any:
        """Give the answer to anything but a chat completion.

        Raises:
            ApiError: 401, or 404 for what is not there.
        """
        path = full_path.rstrip("/")
        if (method, path) == ("GET", "/health"):
            return {"status": "ok", "model": MODEL_ID, "notice": NOTICE}
        if (method, path) == ("GET", "/stats"):
            return self.stats.as_dict(self._active)
        if (method, path) == ("GET", "/stats/prompts"):
            return dict(self.stats.prompts)
        if (method, path) == ("POST", "/stats/reset"):
            self.stats = Stats(max_concurrent_seen=self._active)
            return self.stats.as_dict(self._active)
        self.authorize(authorization)
        if (method, path) == ("GET", "/v1/models"):
            return {"object": "list", "data": [_MODEL]}
        if method == "GET" and path.startswith("/v1/models/"):
            self.check_model(path.removeprefix("/v1/models/"), strict=True)
            return _MODEL
        raise ApiError(404, f"Invalid URL ({method} {full_path})")

    @property
    def asks_for_key(self) -> bool:
        """Whether a call needs a key."""
        return self._authorization is not None

    def authorize(self, sent: bytes) -> None:
        """Raise the ApiError 401 unless the Authorization header is the right one."""
        if self._authorization is None:
            return
        if not hmac.compare_digest(sent, self._authorization):
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")

    def check_model(self, model: str, *, strict: bool | None = None) -> None:
        """Raise the ApiError 404 for a model that is not known; `strict` as set unless told."""
        if (self._strict_model if strict is None else strict) and model != MODEL_ID:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise ApiError(404, message, code="model_not_found", param="model")

    def begin(self) -> int:
        """Count a call that came in; gives its number."""
        self._calls += 1
        self._active += 1
        self.stats.calls += 1
        self.stats.max_concurrent_seen = max(self.stats.max_concurrent_seen, self._active)
        return self._calls

    def end(self) -> None:
        """Count a call as no longer in hand."""
        self._active -= 1

    def admit(self, call: int, prepared: Prepared) -> Decision:
        """Let a call in and say what befalls it, or raise the ApiError that it gets."""
        decision = self.faults.decide(call)
        self._gate.admit(prepared.chat, decision, self._active, self._answers)
        return decision

    def slowed(self, latency: float) -> float:
        """Stretch a latency as the calls in hand demand."""
        return self.faults.slowed(latency, self._active)

    def refused(self, error: ApiError) -> None:
        """Count an answer other than 200."""
        self.stats.calls_per_status[str(error.status)] += 1
        if error.fault:
            self.stats.by_fault[error.fault] += 1

    def delivered(self, prepared: Prepared, answer: Answer, prompt: str | None) -> None:
        """Count a 200 that was written in full; `prompt` is its hash if the answer is good."""
        self._answers += 1
        stats = self.stats
        stats.calls_per_status["200"] += 1
        stats.bill(prepared.chat.prompt_tokens, answer.completion_tokens)
        if prompt is not None:
            stats.prompts[prompt] += 1

    def not_delivered(self) -> None:
        """Count an answer that was made and did not arrive."""
        self.stats.generated_not_delivered += 1
        self.stats.calls_per_status["none"] += 1

    def body_of(self, fault: str | None, tail: bytes) -> bytes:
        """Give the body of a 200 whose end is `tail`."""
        return _GARBAGE if fault == "garbage" else self.head() + tail

    def head(self) -> bytes:
        """Give the beginning of a completion's body: id and time."""
        return (
            f'{{"id":"chatcmpl-{self._run}{self._calls:08x}",'
            f'"object":"chat.completion","created":{int(time.time())}'
        ).encode()

    def headers(self) -> dict[str, str]:
        """Give the headers that every answer has."""
        request_id = f"req_{self._run}{self._calls:08x}"
        return {**_HEADERS, "x-request-id": request_id, **self._gate.headers()}
