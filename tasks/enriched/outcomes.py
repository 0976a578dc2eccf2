"""An outcome: what became of one text, an answer or a failure, and what it cost."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from article_flows.tasks.journal.leftovers import Leftover
from article_flows.tasks.lake.sorted_keys import KEY_BYTES, KeySet
from article_flows.tasks.llm.protocol.errors import PERMANENT_CLASSES
from article_flows.tasks.llm.protocol.results import Answer, RequestFailed

logger = logging.getLogger(__name__)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


_KNOWN: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("error_class", "message", "finish_reason", "model"), _is_text),
    **dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens", "attempts"), _is_count),
    **dict.fromkeys(("cost_usd", "latency_s", "answered_at"), _is_number),
}
"""How to know what a record tells beside its text and its answer."""


@dataclass(slots=True)
class Outcome:
    """What became of one text.

    ``fields`` is None for a failure, which has ``error_class`` and ``message`` instead. Tokens
    and ``cost_usd`` (US dollars; None where the price is unknown) are of all attempts;
    ``answered_at`` is in seconds since the epoch, ``latency_s`` in seconds.
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
        told = {name: record[name] for name, known in _KNOWN.items() if known(record.get(name))}
        return cls(content_hash, fields, **told)

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
            content_hash,
            answer.fields,
            finish_reason=answer.finish_reason,
            model=answer.model,
            latency_s=answer.latency_s,
            **_paid(answer),
        )

    @classmethod
    def of_failure(cls, content_hash: str, failure: RequestFailed) -> Outcome:
        """From the gateway's last word on an article."""
        error = failure.error
        return cls(
            content_hash, error_class=error.error_class, message=error.message, **_paid(failure)
        )


def _paid(result: Answer | RequestFailed) -> dict[str, Any]:
    """What an article has cost."""
    return {
        "prompt_tokens": result.usage.prompt,
        "cached_tokens": result.usage.cached,
        "completion_tokens": result.usage.completion,
        "cost_usd": result.cost_usd,
        "attempts": result.attempts,
    }


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


def waiting_answers(leftovers: Iterable[Leftover]) -> KeySet:
    """The texts (content hashes) that some journals have an answer to; 16 bytes each.

    Some of them may be in the table already: what was committed last before a kill.

    Raises:
        UserError: a journal cannot be read.
    """
    return KeySet(_answered_texts(leftovers))


def _answered_texts(leftovers: Iterable[Leftover]) -> Iterator[bytes]:
    for leftover in leftovers:
        for payload in leftover.records():
            try:
                outcome = Outcome.decode(payload)
                text = bytes.fromhex(outcome.content_hash)
            except ValueError:
                continue  # of another version
            if outcome.answered and len(text) == KEY_BYTES:
                yield text
