"""An outcome: what became of one text, an answer or a failure, and what it cost."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import orjson

from tasks.llm.errors import PERMANENT_CLASSES
from tasks.llm.gateway import Answer, Unanswered


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one text.

    ``fields`` is None for a failure, which has ``error_class`` and ``message`` instead. Tokens
    and ``cost_usd`` (US dollars; None where the price is unknown) are of all attempts;
    ``answered_at`` is in seconds since the epoch, ``latency_s`` in seconds.
    """

    content_hash: str
    fields: dict[str, Any] | None
    error_class: str | None
    message: str | None
    finish_reason: str | None
    model: str | None
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: float | None
    attempts: int
    latency_s: float | None
    answered_at: float

    @property
    def answered(self) -> bool:
        """True for an answer, False for a failure."""
        return self.fields is not None

    @property
    def permanent(self) -> bool:
        """True for a failure that time does not heal."""
        return self.error_class in PERMANENT_CLASSES

    def encode(self) -> bytes:
        """As JSON, for the journal."""
        return orjson.dumps(self)

    @classmethod
    def decode(cls, payload: bytes) -> Outcome:
        """From the journal's JSON; raises ValueError or TypeError if it is another version's."""
        return cls(**orjson.loads(payload))

    def copied(self) -> Outcome:
        """The same for another article of the same text, which cost nothing."""
        return dataclasses.replace(
            self,
            prompt_tokens=0,
            cached_tokens=0,
            completion_tokens=0,
            cost_usd=None if self.cost_usd is None else 0.0,
            attempts=0,
        )

    @classmethod
    def of_answer(cls, content_hash: str, answer: Answer) -> Outcome:
        """From the gateway's answer."""
        return cls(
            content_hash=content_hash,
            fields=answer.fields,
            error_class=None,
            message=None,
            finish_reason=answer.finish_reason,
            model=answer.model,
            prompt_tokens=answer.usage.prompt,
            cached_tokens=answer.usage.cached,
            completion_tokens=answer.usage.completion,
            cost_usd=answer.cost_usd,
            attempts=answer.attempts,
            latency_s=answer.latency_s,
            answered_at=time.time(),
        )

    @classmethod
    def of_failure(cls, content_hash: str, failure: Unanswered) -> Outcome:
        """From the gateway's last word on an article."""
        return cls(
            content_hash=content_hash,
            fields=None,
            error_class=failure.error.error_class,
            message=failure.error.message,
            finish_reason=None,
            model=None,
            prompt_tokens=failure.usage.prompt,
            cached_tokens=failure.usage.cached,
            completion_tokens=failure.usage.completion,
            cost_usd=failure.cost_usd,
            attempts=failure.attempts,
            latency_s=None,
            answered_at=time.time(),
        )
