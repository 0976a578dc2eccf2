"""An outcome: what became of one text, an answer or a failure, and what it cost."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from tasks.journal_leftovers import Leftover
from tasks.llm.answers import Answer, Unanswered
from tasks.llm.errors import PERMANENT_CLASSES

logger = logging.getLogger(__name__)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


_FACTS: dict[str, tuple[Callable[[object], bool], Any]] = {
    "error_class": (_is_text, None),
    "message": (_is_text, None),
    "finish_reason": (_is_text, None),
    "model": (_is_text, None),
    "prompt_tokens": (_is_count, 0),
    "cached_tokens": (_is_count, 0),
    "completion_tokens": (_is_count, 0),
    "cost_usd": (_is_number, None),
    "attempts": (_is_count, 0),
    "latency_s": (_is_number, None),
    "answered_at": (_is_number, None),
}
"""What a record tells beside its text and its answer: how to know it, and what if it does not."""


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
        """From the journal's JSON, also that of an older or newer version.

        What this version does not know is ignored; what is missing, or is not of its type, is as
        if it were not known, and costs nothing.

        Raises:
            ValueError: it does not say which text it is of, or what became of it.
        """
        parsed = orjson.loads(payload)
        record = parsed if isinstance(parsed, dict) else {}
        content_hash, fields = record.get("content_hash"), record.get("fields")
        if not isinstance(content_hash, str) or not bytes.fromhex(content_hash):
            raise ValueError("no content_hash")
        if not isinstance(fields, dict):
            fields = None
            if not _is_text(record.get("error_class")):
                raise ValueError("neither an answer nor a failure")
        facts = {
            name: record[name] if known(record.get(name)) else default
            for name, (known, default) in _FACTS.items()
        }
        facts["answered_at"] = facts["answered_at"] or time.time()
        return cls(content_hash=content_hash, fields=fields, **facts)

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


def read_outcomes(
    leftovers: Iterable[Leftover], *, retry_refused: bool = False
) -> dict[str, Outcome]:
    """The outcomes in what earlier runs left that stand, by content hash.

    A failure that may pass with time does not: its article is asked about again, as one that was
    refused for good is with ``retry_refused``. No failure stands where there is an answer.

    Raises:
        UserError: a journal cannot be read.
    """
    outcomes: dict[str, Outcome] = {}
    for leftover in leftovers:
        left_out = 0
        for payload in leftover.records():
            try:
                outcome = Outcome.decode(payload)
            except ValueError:
                left_out += 1
                continue
            stands = outcome.answered or (outcome.permanent and not retry_refused)
            known = outcomes.get(outcome.content_hash)
            if stands and (outcome.answered or known is None or not known.answered):
                outcomes[outcome.content_hash] = outcome
        if left_out:
            logger.warning(
                "%s: records left out, since they are of another version that says neither which "
                "article nor what its answer is: %d",
                leftover.name,
                left_out,
            )
    return outcomes
