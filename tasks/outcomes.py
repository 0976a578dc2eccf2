"""An outcome: what became of one text, an answer or a failure, and what it cost."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tasks.journal import read_journal
from tasks.llm.answers import Answer, Unanswered
from tasks.llm.errors import PERMANENT_CLASSES

logger = logging.getLogger(__name__)


@dataclass(slots=True)
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


def read_outcomes(journals: Iterable[Path], *, retry_refused: bool = False) -> dict[str, Outcome]:
    """The outcomes in some journals that stand, by content hash.

    A failure that may pass with time does not: its article is asked about again, as one that was
    refused for good is with ``retry_refused``.
    """
    outcomes: dict[str, Outcome] = {}
    for path in journals:
        for payload in read_journal(path):
            try:
                outcome = Outcome.decode(payload)
            except (ValueError, TypeError):
                logger.warning("%s: a record of another version is left out", path)
                continue
            if outcome.answered or (outcome.permanent and not retry_refused):
                outcomes[outcome.content_hash] = outcome
    return outcomes
