"""What comes out of the gateway: an answer, a failure, a stop, and the running totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from article_flows.tasks.llm.protocol.chat import Completion, Usage
from article_flows.tasks.llm.protocol.errors import LLMError

Parse = Callable[[Completion], dict[str, Any]]
"""From a completion to the recipe's fields; raises InvalidResponse."""


@dataclass(slots=True)
class Answer:
    """A usable answer and what all the calls for it cost.

    Tokens and ``cost_usd`` (US dollars, None if the model's price is unknown) include the
    failed attempts; ``latency_s`` is the seconds of the call that succeeded.
    """

    fields: dict[str, Any]
    finish_reason: str
    model: str
    usage: Usage
    cost_usd: float | None
    attempts: int
    latency_s: float


class RequestFailed(Exception):
    """An article that has failed: the last error, and what the attempts cost."""

    def __init__(
        self, error: LLMError, attempts: int, usage: Usage, cost_usd: float | None
    ) -> None:
        super().__init__(f"{error.error_class}: {error.message}")
        self.error = error
        self.attempts = attempts
        self.usage = usage
        self.cost_usd = cost_usd


class RunStopped(Exception):
    """No call can succeed until somebody acts; the message says what to do."""


@dataclass
class Totals:
    """Running counts of a gateway; tokens and US dollars include failed attempts.

    Attributes:
        calls: articles that were asked about; ``attempts`` are the requests sent for them.
        reasks: requests sent again because an answer was unusable; ``hedges`` second copies of
            requests that took long.
        in_flight: requests under way.
        first_sent_at: monotonic seconds of the first request; None before it.
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
        """All tokens."""
        return Usage(self.prompt_tokens, self.cached_tokens, self.completion_tokens)

    def bill(self, usage: Usage, cost_usd: float) -> None:
        """Count what a request was billed."""
        self.prompt_tokens += usage.prompt
        self.cached_tokens += usage.cached
        self.completion_tokens += usage.completion
        self.cost_usd += cost_usd
