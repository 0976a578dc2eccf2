"""What the gateway returns: an answer, a failure or a stop, and the running totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from article_flows.tasks.llm.protocol.chat import Completion, Usage
from article_flows.tasks.llm.protocol.errors import LLMError

Parse = Callable[[Completion], dict[str, Any]]
"""Turns a completion into the recipe's fields; raises InvalidResponse."""


@dataclass(slots=True)
class Answer:
    """A valid answer, with the cost of all attempts.

    Attributes:
        fields: The recipe's fields.
        finish_reason: As the endpoint reports it.
        model: As the endpoint reports it.
        usage: Tokens billed, including failed attempts.
        cost_usd: US dollars, including failed attempts; None if the price is unknown.
        attempts: Requests sent.
        latency_s: Seconds that the successful request took.
    """

    fields: dict[str, Any]
    finish_reason: str
    model: str
    usage: Usage
    cost_usd: float | None
    attempts: int
    latency_s: float


class RequestFailed(Exception):
    """An article that has failed: its last error, and the cost of all attempts.

    Args:
        error: The last error.
        attempts: Requests sent.
        usage: Tokens billed.
        cost_usd: US dollars billed; None if the price is unknown.
    """

    def __init__(
        self, error: LLMError, attempts: int, usage: Usage, cost_usd: float | None
    ) -> None:
        super().__init__(f"{error.error_class}: {error.message}")
        self.error = error
        self.attempts = attempts
        self.usage = usage
        self.cost_usd = cost_usd


class RunStopped(Exception):
    """The run stopped before this article was answered; the message says what to do."""


@dataclass
class Totals:
    """Running counts of a gateway; tokens and US dollars include failed attempts.

    Attributes:
        calls: Articles that were sent to the endpoint.
        attempts: Requests sent.
        answered: Articles answered.
        reasks: Requests sent again after an invalid response.
        hedges: Second copies of slow requests.
        in_flight: Requests in flight.
        prompt_tokens: Prompt tokens billed.
        cached_tokens: Those of ``prompt_tokens`` that came from the provider's cache.
        completion_tokens: Completion tokens billed.
        cost_usd: US dollars billed.
        first_sent_at: When the first request was sent, in monotonic seconds; None before it.
        errors: Attempts that failed, by error class.
    """

    calls: int = 0
    attempts: int = 0
    answered: int = 0
    reasks: int = 0
    hedges: int = 0
    in_flight: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    first_sent_at: float | None = None
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def usage(self) -> Usage:
        """All tokens billed."""
        return Usage(self.prompt_tokens, self.cached_tokens, self.completion_tokens)

    def bill(self, usage: Usage, cost_usd: float) -> None:
        """Add what a request was billed."""
        self.prompt_tokens += usage.prompt
        self.cached_tokens += usage.cached
        self.completion_tokens += usage.completion
        self.cost_usd += cost_usd
