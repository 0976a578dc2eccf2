"""Outcomes of requests: an answer or a failure, and its cost, for each text.

A text is the title and body of an article, identified by its content hash. A run writes each
outcome to a journal as it arrives, and reads back the outcomes of interrupted runs.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from article_flows.tasks.journal.leftovers import LeftoverJournal
from article_flows.tasks.lake.sorted_keys import KEY_BYTES, KeySet
from article_flows.tasks.llm.protocol.errors import PERMANENT_ERROR_CLASSES
from article_flows.tasks.llm.protocol.results import Answer, RequestFailed

logger = logging.getLogger(__name__)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


_IS_VALID: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("error_class", "message", "finish_reason", "model"), _is_text),
    **dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens", "attempts"), _is_count),
    **dict.fromkeys(("cost_usd", "latency_s", "answered_at"), _is_number),
}
"""Type checks of a record's optional fields."""


@dataclass(slots=True)
class Outcome:
    """The answer for one text, or the failure to get one.

    Attributes:
        content_hash: Identifies the text: 32 hex digits.
        fields: The answer, by field of the recipe; None for a failure.
        error_class, message: Why a request failed; None for an answer.
        prompt_tokens, cached_tokens, completion_tokens: Tokens of all attempts.
        cost_usd: US dollars of all attempts; None if the price is unknown.
        latency_s: Seconds that the answer took.
        answered_at: Seconds since the epoch.

    Example:
        >>> outcome = Outcome("ab" * 16, {"summary": "In short."}, cost_usd=0.002, attempts=1)
        >>> Outcome.decode(outcome.encode()) == outcome
        True
        >>> outcome.answered, outcome.as_copy().cost_usd
        (True, 0.0)
    """

    content_hash: str
    fields: dict[str, Any] | None = None
    error_class: str | None = None
    message: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None
    attempts: int = 0
    latency_s: float | None = None
    answered_at: float = field(default_factory=time.time)

    @property
    def answered(self) -> bool:
        """Whether this is an answer, not a failure."""
        return self.fields is not None

    @property
    def permanent(self) -> bool:
        """Whether this is a failure that a retry would repeat."""
        return self.error_class in PERMANENT_ERROR_CLASSES

    def encode(self) -> bytes:
        """Return the outcome as JSON, for a journal."""
        return orjson.dumps(self)

    @classmethod
    def decode(cls, payload: bytes) -> Outcome:
        """Read an outcome from a journal's JSON, which another version may have written.

        Unknown fields are ignored. Missing fields and fields of the wrong type get their default.

        Raises:
            ValueError: The record has no content hash, or neither an answer nor an error class.
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
        valid = {name: record[name] for name, check in _IS_VALID.items() if check(record.get(name))}
        return cls(content_hash, fields, **valid)

    def as_copy(self) -> Outcome:
        """Return the outcome for another article with the same text, at no cost."""
        return dataclasses.replace(
            self,
            prompt_tokens=0,
            cached_tokens=0,
            completion_tokens=0,
            cost_usd=None if self.cost_usd is None else 0.0,
            attempts=0,
        )

    @classmethod
    def from_answer(cls, content_hash: str, answer: Answer) -> Outcome:
        """Build the outcome of an answer from the gateway."""
        return cls(
            content_hash,
            answer.fields,
            finish_reason=answer.finish_reason,
            model=answer.model,
            latency_s=answer.latency_s,
            **_usage(answer),
        )

    @classmethod
    def from_failure(cls, content_hash: str, failure: RequestFailed) -> Outcome:
        """Build the outcome of a request that failed."""
        error = failure.error
        return cls(
            content_hash, error_class=error.error_class, message=error.message, **_usage(failure)
        )


def _usage(result: Answer | RequestFailed) -> dict[str, Any]:
    return {
        "prompt_tokens": result.usage.prompt,
        "cached_tokens": result.usage.cached,
        "completion_tokens": result.usage.completion,
        "cost_usd": result.cost_usd,
        "attempts": result.attempts,
    }


def read_outcomes(
    leftovers: Iterable[LeftoverJournal], *, retry_failed: bool = False
) -> dict[str, Outcome]:
    """Read the outcomes that earlier runs journaled and that are still valid, by content hash.

    Transient failures are not: their articles are retried. An answer takes precedence over a
    failure of the same text.

    Args:
        leftovers: Journals of earlier runs.
        retry_failed: Whether permanent failures are retried as well.

    Raises:
        UserError: A journal cannot be read.
    """
    outcomes: dict[str, Outcome] = {}
    for leftover in leftovers:
        skipped = 0
        for payload in leftover.records():
            try:
                outcome = Outcome.decode(payload)
            except ValueError:
                skipped += 1
                continue
            is_valid = outcome.answered or (outcome.permanent and not retry_failed)
            earlier = outcomes.get(outcome.content_hash)
            if is_valid and (outcome.answered or earlier is None or not earlier.answered):
                outcomes[outcome.content_hash] = outcome
        if skipped:
            logger.warning(
                "%s: skipped records of another version without a content hash or an outcome: %d",
                leftover.name,
                skipped,
            )
    return outcomes


def journaled_answers(leftovers: Iterable[LeftoverJournal]) -> KeySet:
    """Return the content hashes (16 bytes each) of the answers in some journals.

    A run that was killed right after a commit leaves answers that are also in the table.

    Raises:
        UserError: A journal cannot be read.
    """
    return KeySet(_answered_texts(leftovers))


def _answered_texts(leftovers: Iterable[LeftoverJournal]) -> Iterator[bytes]:
    for leftover in leftovers:
        for payload in leftover.records():
            try:
                outcome = Outcome.decode(payload)
                text = bytes.fromhex(outcome.content_hash)
            except ValueError:
                continue  # a record of another version
            if outcome.answered and len(text) == KEY_BYTES:
                yield text
